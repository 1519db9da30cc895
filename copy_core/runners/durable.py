"""The Azure Functions app: HTTP API, timer, orchestrators, and an activity for each step.

`run_job` orchestrates a job and starts one `copy_table` orchestration a table; both only turn what
the flow yields into Durable tasks. All work happens in the activities, which find the job and the
state by the app's settings, so that only names, counts and bounds travel through the history.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func

import copy_core
from copy_core import flow
from copy_core.errors import ConfigError
from copy_core.model import JsonDict, Outcome, TableResult
from copy_core.runners.durable_drive import drive
from copy_core.runners.durable_launcher import DurableLauncher, client
from copy_core.service.settings import Settings

if TYPE_CHECKING:
    from copy_core.context import Context
    from copy_core.service.service import Service

STEPS = (
    "begin", "plan_tables", "plan", "copy_part", "publish", "commit", "record", "finish",
)  # fmt: skip

LEASE_S = 900.0
"""Seconds for which a run keeps its job without a sign of life: longer than the app may be down
while it is deployed anew. A step that works longer gives signs itself."""

# Read as the app is loaded: with a setting that is missing or wrong it does not start at all, and
# the host's log says why.
_SETTINGS = Settings.from_environment("app")

# People who sign in have no function key; `PlatformGuard` then lets nobody in who did not sign in.
_AUTH = func.AuthLevel.ANONYMOUS if _SETTINGS.signed_in else func.AuthLevel.FUNCTION

blueprint = df.Blueprint()


@cache
def service() -> Service:
    """The app's service, opened once in each process.

    Raises:
        ConfigError: access to the state is refused.
        TransientError: it does not answer.
    """
    from copy_core.service.catalog import open_catalog
    from copy_core.service.service import Service
    from copy_core.state.registry import open_state

    store = open_state(_SETTINGS.state)
    return Service(_SETTINGS, open_catalog(_SETTINGS), store, DurableLauncher())


@cache
def _web() -> func.AsgiMiddleware:
    from copy_core.web.app import create_app
    from copy_core.web.security import PlatformGuard

    app = create_app(service, PlatformGuard(signed_in=_SETTINGS.signed_in))
    middleware: func.AsgiMiddleware = func.AsgiMiddleware(app)  # type: ignore[no-untyped-call] # it has no types
    return middleware


@blueprint.route(route="api/health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - bound by name
    """Whether the app is up: the one thing that anybody may ask, answered by itself alone."""
    said = json.dumps({"status": "ok", "version": copy_core.__version__})
    return func.HttpResponse(said, mimetype="application/json")


@blueprint.route(
    route="{*path}",
    methods=["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"],
    auth_level=_AUTH,
)
@blueprint.durable_client_input(client_name="starter")
async def api(
    req: func.HttpRequest, context: func.Context, starter: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """The API, storage events included."""
    client.set(starter)
    response: func.HttpResponse = await _web().handle_async(req, context)
    return response


@blueprint.timer_trigger(schedule="0 * * * * *", arg_name="timer", use_monitor=True)
@blueprint.durable_client_input(client_name="starter")
async def tick(timer: func.TimerRequest, starter: df.DurableOrchestrationClient) -> None:  # noqa: ARG001 - bound by name
    """Each minute: starts what is due, and once a day forgets what is old."""
    from copy_core.service import retention, ticker

    client.set(starter)
    now = datetime.now(UTC)
    await ticker.tick(service(), now)
    await retention.daily(service(), now)


@blueprint.orchestration_trigger(context_name="context")
def run_job(context: df.DurableOrchestrationContext) -> Generator[Any, Any, JsonDict | None]:
    """The orchestrator of a run; input as `flow.run_job` takes it."""
    run = context.get_input()
    return (yield from drive(context, run["job"], flow.run_job(run), dict))


@blueprint.orchestration_trigger(context_name="context")
def copy_table(context: df.DurableOrchestrationContext) -> Generator[Any, Any, JsonDict | None]:
    """The orchestrator of one table; input as `flow.copy_table` takes it, and `job`."""
    arg = context.get_input()
    return (yield from drive(context, arg["job"], flow.copy_table(arg), TableResult.to_json))


def _activity(name: str) -> None:
    def activity(arg: JsonDict) -> JsonDict:
        from copy_core.outcomes import outcome_of

        # An outcome within an outcome: the outer one tells when not even the job could be read.
        outer = outcome_of(lambda: _step(name, arg).to_json(), job=arg["job"])
        return outer.value or outer.to_json()

    activity.__name__ = name
    blueprint.activity_trigger(input_name="arg", activity=name)(activity)


for _name in STEPS:
    _activity(_name)


def _step(name: str, arg: JsonDict) -> Outcome:
    from copy_core.outcomes import outcome_of
    from copy_core.state.lease import Heartbeat
    from copy_core.steps import Steps, end_run

    store = service().store
    try:
        context = _context(arg["job"])
    except ConfigError:
        if name != "finish":
            raise
        return outcome_of(lambda: end_run(store, arg), job=arg["job"])
    with ExitStack() as held:
        if name in ("plan_tables", "plan", "copy_part", "publish"):
            beat = held.enter_context(Heartbeat(store, arg["job"], LEASE_S, arg["run_id"]))
            context = replace(context, check=beat.check)
        outcome: Outcome = getattr(Steps(context), name)(arg)
    return outcome


def _context(job: str) -> Context:
    """What the steps work with, from the app's settings."""
    from copy_core.context import Context

    loaded = service().catalog.load(job)
    return Context(
        loaded.job,
        loaded.connections,
        service().store,
        holder="Durable Functions",
        lease_s=LEASE_S,
    )
