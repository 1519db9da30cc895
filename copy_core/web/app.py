"""Puts the API together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fastapi import FastAPI, Security
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import copy_core
from copy_core.service.service import Service
from copy_core.web import connections, events, examples, jobs, problems, runs, watermarks
from copy_core.web.deps import Askers, Opener
from copy_core.web.edge import Edge
from copy_core.web.security import Guard

_DEADLINE_S = 90.0
_ROUTERS = (jobs.router, runs.router, watermarks.router, connections.router, events.router)


class Health(BaseModel):
    """That the service is up; it says nothing about stores and connections."""

    model_config = examples.shown({"status": "ok", "version": copy_core.__version__})

    status: Literal["ok"] = "ok"
    version: str = copy_core.__version__


def create_app(
    service: Callable[[], Service], guard: Guard, *, deadline_s: float = _DEADLINE_S
) -> FastAPI:
    """Makes the API.

    Args:
        service: opens the service; called when it is first needed, again only if it failed.
        guard: who may ask.
        deadline_s: seconds after which a request that hangs is answered with 504.
    """
    app = _Api(
        title="copyjob",
        version=copy_core.__version__,
        summary="Copy jobs: definitions, runs, watermarks and connections.",
        openapi_url="/api/openapi.json",
        # The pages for it would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.opener = Opener(service)
    app.state.askers = Askers()
    app.add_middleware(Edge, guard=guard, deadline_s=deadline_s)
    problems.install(app)
    app.add_api_route("/api/health", health, tags=["health"])
    for router in _ROUTERS:
        app.include_router(
            router,
            prefix="/api",
            dependencies=[Security(guard.scheme)],
            responses=problems.documented(*problems.EVERYWHERE),
        )
    return app


async def health() -> Health:
    """Says that the service is up. Needs no credentials."""
    return Health()


class _Api(FastAPI):
    """FastAPI, whose OpenAPI has the schema of problems, which no route returns by itself."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _, shared = models_json_schema(
                [(problems.Problem, "serialization")], ref_template="#/components/schemas/{model}"
            )
            super().openapi()["components"]["schemas"] |= shared["$defs"]
        return super().openapi()
