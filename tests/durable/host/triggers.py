"""HTTP triggers behind their keys, and the part of the admin API that tests need."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func
from aiohttp import web
from azure.functions.decorators.function_app import Function

from tests.durable.host.functions import HTTP, Functions, name_of, trigger_of

_SEGMENT = re.compile(r"\{(?P<rest>\*)?(?P<name>\w+)(?::(?P<kind>\w+))?(?P<optional>\?)?\}")
_KINDS = {"int": r"-?\d+", "guid": r"[0-9a-fA-F-]{36}", "alpha": "[A-Za-z]+"}

log = logging.getLogger("host")


class Triggers:
    """Serves the app's HTTP functions.

    Args:
        functions: the app's functions.
        key: what a function that is not anonymous asks for.
    """

    def __init__(self, functions: Functions, key: str) -> None:
        self._functions, self._key = functions, key
        http = functions.settings.get("extensions", {}).get("http", {})
        self._prefix = http.get("routePrefix", "api")

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the routes, the most specific first, as ASP.NET looks at them."""
        for function in sorted(self._functions.of(HTTP).values(), key=_specificity):
            trigger = trigger_of(function)
            path = _route(f"{self._prefix}/{trigger.route}")
            for method in trigger.methods or ["*"]:
                router.add_route(getattr(method, "value", method), path, self._handler(function))

    def allowed(self, request: web.Request) -> bool:
        """Whether a request brings the key."""
        given = request.headers.get("x-functions-key") or request.query.get("code")
        return given == self._key

    def _handler(self, function: Function) -> Callable[[web.Request], Awaitable[web.Response]]:
        trigger = trigger_of(function)
        level = getattr(trigger.auth_level, "value", trigger.auth_level)

        async def handle(request: web.Request) -> web.Response:
            if str(level).lower() != "anonymous" and not self.allowed(request):
                return web.Response(status=401)
            given = func.HttpRequest(
                request.method,
                str(request.url),
                headers=dict(request.headers),
                params=dict(request.query),
                route_params={k: v for k, v in request.match_info.items() if v},
                body=await request.read(),
            )
            try:
                return _response(await self._functions.call(function, given))
            except Exception:
                log.exception("function %s failed", name_of(function))
                return web.Response(status=500)

        return handle


def _response(answer: Any) -> web.Response:
    if not isinstance(answer, func.HttpResponse):
        return web.Response(status=204) if answer is None else web.Response(text=str(answer))
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-length"}
    if "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = f"{answer.mimetype}; charset={answer.charset}"
    return web.Response(body=answer.get_body(), status=answer.status_code, headers=headers)


def _specificity(function: Function) -> list[int]:
    trigger = trigger_of(function)
    parts = str(trigger.route).strip("/").split("/")
    return [2 if p.startswith("{*") else 1 if p.startswith("{") else 0 for p in parts]


def _route(template: str) -> str:
    """A route of the Functions host in the way of aiohttp."""
    out = ""
    for part in filter(None, template.split("/")):
        found = _SEGMENT.fullmatch(part)
        if not found:
            out += f"/{part}"
        elif found["rest"]:
            out += f"/{{{found['name']}:.*}}"
        elif found["optional"]:
            out += f"{{{found['name']}:(?:/{_KINDS.get(found['kind'], '[^/]+')})?}}"
        else:
            out += f"/{{{found['name']}:{_KINDS.get(found['kind'], '[^/]+')}}}"
    return out or "/"
