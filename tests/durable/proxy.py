"""A reverse proxy before Azurite's tables, which makes trouble when told to."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from tests import servers

_BODY = (
    '{"odata.error": {"code": "%s", "message": {"lang": "en-US", "value": "made by the tests"}}}'
)
_CODES = {503: "ServerBusy", 412: "UpdateConditionNotSatisfied"}
_HOP_BY_HOP = {"connection", "content-length", "content-encoding", "transfer-encoding", "host"}


class Proxy:
    """Serves from a thread of its own, between `with` and its end.

    Args:
        azurite: the storage behind it.

    Attributes:
        left: how many requests are still to fail.
        requests: how many have come so far.
    """

    def __init__(self, azurite: servers.Azurite) -> None:
        self._azurite = azurite
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._status, self.left, self._every, self._after = 0, 0, 1, False
        self.requests = self._seen = 0
        self._port = 0

    @property
    def environment(self) -> dict[str, str]:
        """Settings of an app whose state is behind the proxy."""
        direct = self._azurite.table_endpoint
        through = direct.replace(f":{self._azurite.table_port}/", f":{self._port}/")
        return {"COPYJOB_STORAGE": self._azurite.connection_string.replace(direct, through)}

    def fail(self, status: int, times: int, *, every: int = 1, after: bool = False) -> None:
        """Has the next requests answered with an error.

        Args:
            status: 503, or 412, which only conditional writes are answered with.
            times: how many requests fail.
            every: each how many-th fails.
            after: whether the request is carried out all the same, and only its answer is lost.
        """
        self._status, self._every, self._after, self.left = status, every, after, times

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _pass(self, request: web.Request) -> web.Response:
        self.requests += 1
        trouble = self._is_due(request)
        if trouble and not self._after:
            return self._error()
        # The request is signed: it goes on as it came.
        async with self._client.request(
            request.method,
            URL(f"http://127.0.0.1:{self._azurite.table_port}{request.raw_path}", encoded=True),
            headers={k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP},
            skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
            data=await request.read() or None,
        ) as answer:
            body = await answer.read()
            if trouble:
                return self._error()
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, headers=kept, body=body)

    def _is_due(self, request: web.Request) -> bool:
        conditional = request.headers.get("If-Match", "*") != "*"
        if self.left == 0 or (self._status == 412 and not conditional):
            return False
        self._seen += 1
        if self._seen % self._every:
            return False
        self.left -= 1
        return True

    def _error(self) -> web.Response:
        return web.Response(
            status=self._status,
            text=_BODY % _CODES[self._status],
            content_type="application/json",
        )
