"""The Durable HTTP API, with which the real client starts, asks after and purges instances."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from tests.durable.host.engine import Engine
from tests.durable.host.events import iso
from tests.durable.host.instances import TERMINAL, AlreadyRunningError, Instances
from tests.durable.host.limits import TooLargeError

CODE = "the-durable-extension-s-own-key"
_WEBHOOK, _RPC = "/runtime/webhooks/durabletask", "/durabletask"
_OPERATIONS = {
    "statusQueryGetUri": "",
    "sendEventPostUri": "/raiseEvent/{eventName}",
    "terminatePostUri": "/terminate?reason={text}",
    "rewindPostUri": "/rewind?reason={text}",
    "purgeHistoryDeleteUri": "",
    "restartPostUri": "/restart",
    "suspendPostUri": "/suspend?reason={text}",
    "resumePostUri": "/resume?reason={text}",
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Management:
    """The API: for the client inside the app, and for whoever was given an address by it.

    Args:
        engine: what starts instances.
        instances: their records.
        hub: the task hub's name.
    """

    def __init__(self, engine: Engine, instances: Instances, hub: str) -> None:
        self._engine, self._instances, self._hub = engine, instances, hub

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the routes; the client's own are for this machine only and ask for no key."""
        for prefix, guard in ((_WEBHOOK, _keyed), (_RPC, _open)):
            for tail in ("{name}", "{name}/{instance}"):
                router.add_post(f"{prefix}/orchestrators/{tail}", guard(self._start))
            router.add_route("*", prefix + "/instances{slash:/?}", guard(self._several))
            router.add_route("*", prefix + "/instances/{instance}", guard(self._one))

    def client(self, origin: str) -> str:
        """What a `durableClient` binding receives, as JSON."""
        start = f"{origin}{_WEBHOOK}/orchestrators/{{functionName}}[/{{instanceId}}]?code={CODE}"
        return json.dumps(
            {
                "taskHubName": self._hub,
                "connectionName": None,
                "creationUrls": {
                    "createNewInstancePostUri": start,
                    "createAndWaitOnNewInstancePostUri": start,
                },
                "managementUrls": self._urls("INSTANCEID", origin),
                "baseUrl": origin + _WEBHOOK,
                "requiredQueryStringParameters": f"code={CODE}",
                "rpcBaseUrl": f"{origin}{_RPC}/",
            }
        )

    def _urls(self, instance: str, origin: str) -> dict[str, str]:
        urls = {"id": instance}
        for name, tail in _OPERATIONS.items():
            url = f"{origin}{_WEBHOOK}/instances/{quote(instance, safe='')}{tail}"
            mark = "&" if "?" in url else "?"
            urls[name] = f"{url}{mark}taskHub={self._hub}&connection=Storage&code={CODE}"
        return urls

    async def _start(self, request: web.Request) -> web.Response:
        name, instance = request.match_info["name"], request.match_info.get("instance")
        try:
            instance = self._engine.start_new(name, instance, (await request.text()) or None)
        except (KeyError, TooLargeError) as e:
            said = {
                "Message": "One or more of the arguments submitted is incorrect",
                "ExceptionMessage": str(e.args[0]),
                "ExceptionType": "System.ArgumentException",
            }
            return web.json_response(said, status=400)
        except AlreadyRunningError as e:
            return web.json_response({"Message": str(e)}, status=409)
        urls = self._urls(instance, f"{request.scheme}://{request.host}")
        headers = {"Location": urls["statusQueryGetUri"], "Retry-After": "10"}
        return web.json_response(urls, status=202, headers=headers)

    async def _several(self, request: web.Request) -> web.Response:
        query = request.query
        rows = [row for row in self._instances.all() if _wanted(row, dict(query))]
        if request.method == "GET":
            return web.json_response([self._status(r, with_input=False) for r in rows])
        if request.method != "DELETE":
            return web.Response(status=405)
        if "createdTimeFrom" not in query:
            said = "Please provide value for 'createdTimeFrom' parameter."
            return web.json_response(said, status=400)
        ended = [row["id"] for row in rows if row["status"] in TERMINAL]
        purged = self._instances.purge(ended)
        return web.json_response({"instancesDeleted": purged}, status=200 if purged else 404)

    async def _one(self, request: web.Request) -> web.Response:
        row = self._instances.get(request.match_info["instance"])
        if row is None:
            return web.Response(status=404)
        if request.method == "DELETE":
            purged = self._instances.purge([row["id"]])
            return web.json_response({"instancesDeleted": purged})
        if request.method != "GET":
            return web.Response(status=405)
        query = request.query
        status = self._status(row, with_input=query.get("showInput", "true").lower() == "true")
        if query.get("showHistory", "").lower() == "true":
            status["historyEvents"] = self._instances.history(row["id"])
        if row["status"] in TERMINAL:
            return web.json_response(status)
        headers = {"Location": str(request.url), "Retry-After": "5"}
        return web.json_response(status, status=202, headers=headers)

    @staticmethod
    def _status(row: sqlite3.Row, *, with_input: bool) -> dict[str, Any]:
        def parsed(text: str | None) -> Any:
            return None if text is None else json.loads(text)

        return {
            "name": row["name"],
            "instanceId": row["id"],
            "runtimeStatus": row["status"],
            "input": parsed(row["input"]) if with_input else None,
            "customStatus": parsed(row["custom"]),
            "output": parsed(row["output"]),
            "createdTime": iso(row["created"])[:19] + "Z",
            "lastUpdatedTime": iso(row["updated"])[:19] + "Z",
        }


def _wanted(row: sqlite3.Row, query: dict[str, str]) -> bool:
    low, high = (_moment(query.get(k)) for k in ("createdTimeFrom", "createdTimeTo"))
    statuses = query.get("runtimeStatus")
    return (
        (low is None or row["created"] >= low)
        and (high is None or row["created"] <= high)
        and (statuses is None or row["status"] in statuses.split(","))
        and row["id"].startswith(query.get("instanceIdPrefix", ""))
    )


def _moment(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def _open(handler: Handler) -> Handler:
    return handler


def _keyed(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.Response:
        if request.query.get("code") != CODE:
            return web.Response(status=401)
        return await handler(request)

    return guarded
