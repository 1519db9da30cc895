"""Drives a flow inside a Durable orchestrator, as a scheduler without threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from copy_core import flow
from copy_core.errors import TerminalError, TransientError
from copy_core.model import JsonDict, Outcome, TableResult
from copy_core.tally import lost

if TYPE_CHECKING:
    from copy_core.flow import Step


# Long enough not to fire while a flow is under way: each time it would be replayed for nothing.
_NEVER = timedelta(days=1)


def drive(
    context: Any, job: str, steps: flow.Flow, shape: Callable[[Any], JsonDict]
) -> Generator[Any, Any, JsonDict | None]:
    """Runs a flow inside an orchestrator.

    Args:
        context: the orchestrator's context, a `DurableOrchestrationContext`.
        job: the job's name, which every activity is told.
        steps: the flow.
        shape: makes the orchestrator's output of what the flow returns.

    Returns:
        The output; None when the orchestration goes on as a new one.
    """
    ended: list[Any] = []
    scheduler = _Scheduler(context, job)
    scheduler.start(steps, ended.append)
    scheduler.advance()
    while not ended:
        if scheduler.renewed is not None:
            context.continue_as_new(scheduler.renewed)
            return None
        task = yield context.task_any(scheduler.tasks())
        scheduler.complete(task)
        scheduler.advance()
    return shape(ended[0])


@dataclass
class _Frame:
    """A flow that waits for something, and who waits for its result."""

    flow: flow.Flow
    done: Callable[[Any], None]


@dataclass
class _Scheduler:
    """Runs nested flows side by side.

    The order in which tasks are made depends only on the flows and on the order in which tasks
    completed, both of which a replay repeats.
    """

    context: Any
    job: str
    renewed: JsonDict | None = None
    made: int = 0
    ready: deque[tuple[_Frame, Any]] = field(default_factory=deque)
    waiting: list[tuple[Any, _Frame, Callable[[Any], Any]]] = field(default_factory=list)

    def tasks(self) -> list[Any]:
        """What is waited for; whichever is done first is to be completed.

        The Durable extension awaits what an orchestrator asks for in order, and is only told of
        tasks that are new: of these it would wait for one to end before it looks at anything else,
        and the window would shrink to one. A timer that is cancelled at once lets it go on.
        """
        tasks = [task for task, _, _ in self.waiting]
        if 0 < self.made < len(tasks):
            go_by = self.context.create_timer(self.context.current_utc_datetime + _NEVER)
            go_by.cancel()
            tasks.append(go_by)
        self.made = 0
        return tasks

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
                self._wait(
                    context.call_activity(name, {**arg, "job": self.job}), frame, self._outcome
                )
            case flow.Wait(seconds):
                until = context.current_utc_datetime + timedelta(seconds=seconds)
                self._wait(context.create_timer(until), frame, lambda _: None)
            case flow.CopyTable(arg):
                task = context.call_sub_orchestrator("copy_table", {**arg, "job": self.job})
                self._wait(task, frame, lambda result: _table(arg, result))
            case flow.Gather(flows, limit):
                self._gather(frame, flows, limit)
            case flow.Report(progress):
                context.set_custom_status(progress)
                self.ready.append((frame, None))
            case flow.Renew(_, arg):
                self.renewed = {**arg, "job": self.job}

    def _wait(self, task: Any, frame: _Frame, decode: Callable[[Any], Any]) -> None:
        self.waiting.append((task, frame, decode))
        self.made += 1

    def _outcome(self, result: Any) -> Outcome:
        """An activity's outcome; one that died (host lost, ran too long) may be run again."""
        if not isinstance(result, Exception):
            return Outcome.model_validate(result)
        error = TransientError(str(result), code="activity-lost")
        now = self.context.current_utc_datetime.replace(tzinfo=UTC).timestamp()
        return Outcome(status="transient", error=error.to_json(), started=now, ended=now)

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


def _table(arg: JsonDict, result: Any) -> tuple[TableResult, bool]:
    """A table's result, and whether it is recorded: one that broke off could not do so."""
    if isinstance(result, Exception):
        error = TerminalError(
            str(result),
            fix="Run the job again; if it stays, please report this with the log of the run",
            code="orchestration-lost",
        )
        return lost(arg["table"], error.to_json()), False
    return TableResult.model_validate(result), True
