"""The host as a whole: an app, its engine and its doors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from aiohttp import web

from tests.durable.host.activities import Activities
from tests.durable.host.engine import Engine
from tests.durable.host.functions import Functions
from tests.durable.host.inbox import Inbox
from tests.durable.host.instances import Instances
from tests.durable.host.limits import Limits
from tests.durable.host.management import Management
from tests.durable.host.options import Options
from tests.durable.host.store import Store
from tests.durable.host.timers import Timers
from tests.durable.host.triggers import Triggers

_ACTIVITIES_AT_ONCE = 10
"""The extension's default on the Consumption plan."""
_LARGEST_BODY = 100 * 2**20


class Host:
    """A host that serves one app on the loopback address.

    Args:
        folder: the app.
        database: the SQLite file; one that a host before has left is gone on with.
        key: the key of functions that are not anonymous, and of the admin API.
        options: how it behaves.
    """

    def __init__(self, folder: Path, database: str, key: str, options: Options) -> None:
        self._options = options
        self._functions = Functions(folder)
        durable = self._functions.settings.get("extensions", {}).get("durableTask", {})
        at_once = durable.get("maxConcurrentActivityFunctions", _ACTIVITIES_AT_ONCE)
        self._store = Store(database)
        inbox, limits = Inbox(self._store), Limits(self._store, options.message_bytes)
        self._activities = Activities(self._store, inbox, self._functions, limits, at_once, options)
        self._instances = Instances(self._store, inbox, self._activities)
        self._engine = Engine(self._store, inbox, self._instances, self._functions, limits, options)
        hub = durable.get("hubName", "TestHubName")
        self._management = Management(self._engine, self._instances, hub)
        self._timers = Timers(self._store, self._functions)
        self._triggers = Triggers(self._functions, key)

    async def start(self, port: int) -> int:
        """Serves; returns the port, a free one when 0 was asked for."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_get("/admin/host/report", self._report)
        app.router.add_post("/admin/functions/{name}", self._fire)
        self._management.add_to(app.router)
        self._triggers.add_to(app.router)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        port = self._runner.addresses[0][1]
        self._functions.bind_client(self._management.client(f"http://127.0.0.1:{port}"))
        await self._activities.start()
        await self._engine.start()
        if self._options.timers:
            self._timers.start()
        return port

    async def stop(self) -> None:
        """Stops; what is under way is taken up by the next host on the same file."""
        await self._runner.cleanup()
        await self._timers.stop()
        await self._engine.stop()
        await self._activities.stop()
        self._store.close()

    async def _fire(self, request: web.Request) -> web.Response:
        """Runs a timer function now, as the admin API of the real host does."""
        if not self._triggers.allowed(request):
            return web.Response(status=401)
        return web.Response(status=202 if self._timers.fire(request.match_info["name"]) else 404)

    async def _report(self, request: web.Request) -> web.Response:
        """What tests ask for.

        `instances` by orchestrator and status, `longest` history in events by orchestrator,
        `replays` and `activities` since the host was started, and all `complaints`.
        """
        if not self._triggers.allowed(request):
            return web.Response(status=401)
        longest: Counter[str] = Counter()
        instances: dict[str, Counter[str]] = {}
        for row in self._instances.all():
            longest[row["name"]] = max(longest[row["name"]], row["longest"])
            instances.setdefault(row["name"], Counter())[row["status"]] += 1
        return web.json_response(
            {
                "instances": instances,
                "longest": longest,
                "replays": self._engine.replays,
                "activities": self._activities.runs,
                "complaints": [r["text"] for r in self._store.all("SELECT text FROM complaints")],
            }
        )
