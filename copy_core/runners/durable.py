"""Drives the control flow with Durable Functions: orchestrators, and an activity a step.

`run_job` orchestrates a job and starts one `copy_table` orchestration a table. Both only turn what
the flow yields into Durable tasks. All work happens in the activities, which find the job and the
state by the app's settings, so that only names, counts and bounds travel through the history.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func

from copy_core import flow
from copy_core.errors import ConfigError, TerminalError, TransientError
from copy_core.job import JOB_NAME
from copy_core.model import JsonDict, Outcome, TableResult
from copy_core.tally import lost

if TYPE_CHECKING:
    from copy_core.context import Context
    from copy_core.flow import Step

STEPS = ("begin", "plan", "copy_part", "publish", "commit", "finish")

LEASE_S = 3600.0
"""Seconds for which a run keeps its job without a step: longer than any activity may take."""

blueprint = df.Blueprint()


@blueprint.route(route="jobs/{job}/runs", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@blueprint.durable_client_input(client_name="client")
async def start_run(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Starts a run of a job now; answers with the addresses at which it can be followed."""
    from copy_core.runners.local import new_run_id

    run_id = new_run_id()
    run = {"run_id": run_id, "job": req.route_params["job"], "trigger": "http", "tables": None}
    await client.start_new("run_job", run_id, run)
    response: func.HttpResponse = client.create_check_status_response(req, run_id)
    return response


@blueprint.orchestration_trigger(context_name="context")
def run_job(context: df.DurableOrchestrationContext) -> Generator[Any, Any, JsonDict]:
    """The orchestrator of a run; input as `flow.run_job` takes it."""
    run = context.get_input()
    summary: JsonDict = yield from drive(context, run["job"], flow.run_job(run))
    return summary


@blueprint.orchestration_trigger(context_name="context")
def copy_table(context: df.DurableOrchestrationContext) -> Generator[Any, Any, JsonDict]:
    """The orchestrator of one table; input as `flow.copy_table` takes it, and `job`."""
    arg = context.get_input()
    result: TableResult = yield from drive(context, arg["job"], flow.copy_table(arg))
    return result.to_json()


def _activity(name: str) -> None:
    def activity(arg: JsonDict) -> JsonDict:
        from copy_core.outcomes import outcome_of
        from copy_core.steps import Steps

        def step() -> JsonDict:
            context = _context(arg["job"])
            with context.store:
                outcome: Outcome = getattr(Steps(context), name)(arg)
            return outcome.to_json()

        # An outcome within an outcome: the outer one tells when not even the job could be read.
        outer = outcome_of(step, job=arg["job"])
        return outer.value or outer.to_json()

    activity.__name__ = name
    blueprint.activity_trigger(input_name="arg", activity=name)(activity)


for _name in STEPS:
    _activity(_name)


def _context(job: str) -> Context:
    """What the steps work with, from the app's settings.

    `COPYJOB_JOBS` is the folder of job files, `COPYJOB_STATE` the state store.
    """
    from copy_core.context import Context
    from copy_core.jobfile import load
    from copy_core.state.registry import open_state

    if not re.fullmatch(JOB_NAME, job):
        raise ConfigError(f"'{job}' is no name of a job", fix="Look for a mistyped name")
    loaded = load(Path(os.environ["COPYJOB_JOBS"], f"{job}.yaml"))
    if loaded.job.name != job:
        raise ConfigError(
            f"the file {job}.yaml holds a job named {loaded.job.name}",
            fix="Name the file after the job",
            code="job-name",
        )
    store = open_state(os.environ["COPYJOB_STATE"])
    return Context(
        loaded.job, loaded.connections, store, holder="Durable Functions", lease_s=LEASE_S
    )


@dataclass
class _Frame:
    """A flow that waits for something, and who waits for its result."""

    flow: flow.Flow
    done: Callable[[Any], None]


@dataclass
class _Drive:
    """Runs nested flows side by side inside one orchestrator, as a scheduler without threads.

    The order in which tasks are made depends only on the flows and on the order in which tasks
    completed, both of which a replay repeats.
    """

    context: df.DurableOrchestrationContext
    job: str
    ready: deque[tuple[_Frame, Any]] = field(default_factory=deque)
    waiting: list[tuple[Any, _Frame, Callable[[Any], Any]]] = field(default_factory=list)

    def start(self, steps: flow.Flow, done: Callable[[Any], None]) -> None:
        self.ready.append((_Frame(steps, done), None))

    def advance(self) -> None:
        """Takes every flow as far as it goes without waiting."""
        while self.ready:
            frame, answer = self.ready.popleft()
            try:
                step = frame.flow.send(answer)
            except StopIteration as end:
                frame.done(end.value)
            else:
                self._schedule(frame, step)

    def complete(self, task: Any) -> None:
        """Hands a finished task's result to the flow that waited for it."""
        for at, (pending, frame, decode) in enumerate(self.waiting):
            if pending is task:
                del self.waiting[at]
                self.ready.append((frame, decode(task.result)))
                return

    def _schedule(self, frame: _Frame, step: Step) -> None:
        context = self.context
        match step:
            case flow.Call(name, arg):
                task = context.call_activity(name, {**arg, "job": self.job})
                self.waiting.append((task, frame, _outcome))
            case flow.Wait(seconds):
                until = context.current_utc_datetime + timedelta(seconds=seconds)
                self.waiting.append((context.create_timer(until), frame, lambda _: None))
            case flow.CopyTable(arg):
                task = context.call_sub_orchestrator("copy_table", {**arg, "job": self.job})
                self.waiting.append((task, frame, lambda result: _table(arg, result)))
            case flow.Gather(flows, limit):
                self._gather(frame, flows, limit)

    def _gather(self, frame: _Frame, flows: Any, limit: int) -> None:
        """Starts flows as a sliding window: one that ends lets the next begin."""
        results: list[Any] = [None] * len(flows)
        left = deque(enumerate(flows))
        open_flows = len(flows)

        def begin() -> None:
            number, each = left.popleft()
            self.start(each, lambda value: end(number, value))

        def end(number: int, value: Any) -> None:
            nonlocal open_flows
            results[number] = value
            open_flows -= 1
            if left:
                begin()
            elif open_flows == 0:
                self.ready.append((frame, results))

        for _ in range(min(limit, len(flows))):
            begin()


def drive(
    context: df.DurableOrchestrationContext, job: str, steps: flow.Flow
) -> Generator[Any, Any, Any]:
    """Runs a flow inside an orchestrator and returns what it returns.

    Args:
        context: the orchestrator's context.
        job: the job's name, which every activity is told.
        steps: the flow.
    """
    ended: list[Any] = []
    scheduler = _Drive(context, job)
    scheduler.start(steps, ended.append)
    scheduler.advance()
    while not ended:
        task = yield context.task_any([task for task, _, _ in scheduler.waiting])
        scheduler.complete(task)
        scheduler.advance()
    return ended[0]


def _outcome(result: Any) -> Outcome:
    """An activity's outcome; one that died (host lost, ran too long) may be run again."""
    if isinstance(result, Exception):
        error = TransientError(str(result), code="activity-lost")
        return Outcome(status="transient", error=error.to_json())
    return Outcome.model_validate(result)


def _table(arg: JsonDict, result: Any) -> TableResult:
    if isinstance(result, Exception):
        return lost(arg["table"], TerminalError(str(result), code="orchestration-lost"))
    return TableResult.model_validate(result)
