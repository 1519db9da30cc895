"""What routes work with: the service, opened when it is first asked for, and settled names."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import Depends, Path, Request
from pydantic import Field

from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.failures import classify
from copy_core.job import JOB_NAME
from copy_core.service.service import Service

T = TypeVar("T")

_AT_ONCE = 4
_PATIENCE_S = 10.0


class Opener:
    """Opens a service once, when it is first needed; one that failed to open is tried again.

    Args:
        open_service: opens it.
    """

    def __init__(self, open_service: Callable[[], Service]) -> None:
        self._open, self._lock = open_service, Lock()
        self._service: Service | None = None

    def __call__(self) -> Service:
        """The service.

        Raises:
            TerminalError: its settings are wrong.
            TransientError: what it works with does not answer.
        """
        with self._lock:
            if self._service is None:
                try:
                    self._service = self._open()
                except ConfigError as e:
                    # No request can mend what is wrong with the service itself.
                    raise TerminalError(e.what, fix=e.fix, code=e.code, **e.where) from e
            return self._service


def _service(request: Request) -> Service:
    opener: Opener = request.app.state.opener
    return opener()


class Askers:
    """Threads that ask the systems behind connections, a few for each: one that hangs keeps its
    own, and stops no others.
    """

    def __init__(self) -> None:
        self._limits: defaultdict[str, CapacityLimiter] = defaultdict(
            lambda: CapacityLimiter(_AT_ONCE)
        )
        self._threads = CapacityLimiter(math.inf)

    async def ask(self, connection: str, work: Callable[[], T]) -> T:
        """Does some work at a connection that exists.

        Raises:
            TransientError: others wait for an answer of its system already. The work was not
                begun, and will not be: what is refused must not happen later.
        """
        limit = self._limits[connection]
        try:
            with fail_after(_PATIENCE_S):
                await limit.acquire_on_behalf_of(work)
        except TimeoutError:
            raise TransientError(
                f"{_AT_ONCE} other requests wait for this connection's system already",
                fix="See whether it answers, then ask again; nothing was done",
                code="connection-busy",
                connection=connection,
            ) from None
        try:
            return await to_thread.run_sync(work, limiter=self._threads)
        finally:
            limit.release_on_behalf_of(work)


def _askers(request: Request) -> Askers:
    askers: Askers = request.app.state.askers
    return askers


TheService = Annotated[Service, Depends(_service)]
"""The service; a route that takes it answers 500 or 503 when it cannot be opened."""

Asking = Annotated[Askers, Depends(_askers)]
"""Asks the systems behind connections."""

JobName = Annotated[
    str, Path(alias="job", pattern=JOB_NAME, description="The job's name.", examples=["sales"])
]
"""The job in a path."""

TableName = Annotated[str, Field(pattern=r"^.", max_length=1000)]
"""A table in a body. The pattern has pydantic refuse half a surrogate pair, which is no text."""


@contextmanager
def at_connection(name: str) -> Iterator[None]:
    """Says in every error of a connection's system which connection that is."""
    try:
        yield
    except (CopyJobError, OSError) as e:
        raise classify(e).at(connection=name) from e
