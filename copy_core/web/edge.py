"""What every request meets first: the guard, a limit of size and a limit of time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from copy_core.errors import ConfigError, CopyJobError, TransientError
from copy_core.failures import classify
from copy_core.logs import log
from copy_core.web.problems import answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from copy_core.web.security import Guard

LARGEST_BODY = 1 << 20
"""Bytes that the body of a request may have; Event Grid sends no more at once."""


class Edge:
    """ASGI middleware that no request passes by, and that answers whatever happens behind it.

    Args:
        app: what answers the requests that pass.
        guard: who may ask.
        deadline_s: seconds within which a request is answered.
    """

    def __init__(self, app: ASGIApp, guard: Guard, deadline_s: float) -> None:
        self._app, self._guard, self._deadline_s = app, guard, deadline_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = _Reply(send)
        task = asyncio.create_task(self._handle(scope, receive, reply))
        self._tasks.add(task)  # asyncio itself would not keep it alive
        task.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait({task}, timeout=self._deadline_s)
        if done:
            task.result()
            return
        # Not cancelled: a thread cannot be, and half a change would be worse than a late one. What
        # hangs keeps its place among the threads, so that there are never too many.
        taken = reply.take_over()
        if taken is not None:
            late = TransientError(
                f"there was no answer within {self._deadline_s:g} s",
                fix="See whether a change took effect before asking again",
                code="deadline",
            )
            await answer(late)(scope, receive, taken)

    async def _handle(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        """Never raises: there may be nobody left to raise to."""
        try:
            self._guard.check(scope["method"], scope["path"], Headers(scope=scope))
            body = await _body(scope, receive)
            if body is not None:
                await self._app(scope, _replay(body, receive), reply)
        except Exception as e:  # noqa: BLE001 - the last resort of every request
            error = classify(e)
            if not isinstance(e, CopyJobError):
                log.exception("%s %s failed unexpectedly", scope["method"], scope["path"])
            if not reply.begun:
                await answer(error)(scope, receive, reply)


class _Reply:
    """Sends messages on until somebody else takes the answering over."""

    def __init__(self, send: Send) -> None:
        self._send, self._gone = send, False
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if not self._gone:
            self.begun = True
            await self._send(message)

    def take_over(self) -> Send | None:
        """Where to send another answer; None when this one has begun already."""
        self._gone = True
        return None if self.begun else self._send


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body; None when it broke off, for half of a definition may well be one too.

    Raises:
        ConfigError: it is too large.
    """
    said = Headers(scope=scope).get("content-length", "")
    parts, size = [], int(said) if said.isdecimal() and len(said) < 20 else 0
    more = size <= LARGEST_BODY
    received = 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        received += len(parts[-1])
        more = message.get("more_body", False) and received <= LARGEST_BODY
    if max(size, received) > LARGEST_BODY:
        raise ConfigError(
            "the body of the request is larger than 1 MB",
            fix="Send less at once",
            code="too-large",
        )
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, then what follows it."""
    unread = [body]

    async def again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return again
