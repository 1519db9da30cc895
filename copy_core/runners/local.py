"""Drives the control flow on one machine with threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from copy_core import flow, telemetry
from copy_core.errors import Cancelled
from copy_core.failures import classify
from copy_core.model import Outcome, RunRequest, RunSummary, TableResult
from copy_core.run_ids import new_run_id
from copy_core.state import lease, process
from copy_core.steps import Steps
from copy_core.tally import lost

if TYPE_CHECKING:
    from copy_core.context import Context
    from copy_core.flow import Step


_STOPPED_WAIT_S = 1.0
_LOOK_S = 1.0


class LocalRunner:
    """Runs one job in this process.

    Args:
        context: what the steps work with; the runner sets the process that the run dies with, and
            what stops it.
    """

    def __init__(self, context: Context) -> None:
        self._stopped = threading.Event()
        self._heartbeat: lease.Heartbeat | None = None
        self._tables: dict[int, TableResult] = {}
        self._context = replace(
            context,
            check=self._check,
            ended=self._ended,
            process=process.this(),
        )
        self._tell_ended = context.ended
        self._steps = Steps(self._context)

    def stop(self) -> None:
        """Asks the run to stop between two batches; the next run goes on from there."""
        self._stopped.set()

    def run(
        self,
        tables: Sequence[str] | None = None,
        trigger: str = "manual",
        run_id: str | None = None,
        *,
        full: bool = False,
    ) -> RunSummary:
        """Runs the job to its end; what it is asked for is told as in `RunRequest`.

        Args:
            tables: the tables to copy; all when None.
            trigger: what started the run, for its record.
            run_id: its name; a new one when None.
            full: whether the tables are copied anew.

        Returns:
            The run's summary; failures are in it, not raised.
        """
        request = RunRequest(
            run_id=run_id or new_run_id(),
            job=self._context.job.name,
            trigger=trigger,
            tables=None if tables is None else tuple(tables),
            full=full,
        )
        with telemetry.run(request.run_id, request.job), ExitStack() as self._held:
            # One thread plans one table: nothing is gained by planning several in a step.
            summary = self._drive(flow.run_job({**request.to_json(), "group": 1}))
        results = [self._tables[number] for number in sorted(self._tables)]
        return RunSummary.model_validate({**summary, "tables": results})

    def _ended(self, number: int, result: TableResult) -> None:
        self._tables[number] = result
        self._tell_ended(number, result)

    def _keep_lease(self, run_id: str) -> None:
        context = self._context
        beat = lease.Heartbeat(context.store, context.job.name, context.lease_s, run_id)
        self._heartbeat = self._held.enter_context(beat)

    def _check(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.check()
        if self._stopped.is_set():
            raise Cancelled("the run was asked to stop", fix="The next run goes on from here")

    def _drive(self, steps: Generator[Step, Any, Any]) -> Any:
        """Runs a flow: hands it what came of each step it yields, until it returns."""
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value
            answer = self._do(step)

    def _do(self, step: Step) -> Any:
        match step:
            case flow.Call(name, arg):
                outcome: Outcome = getattr(self._steps, name)(arg)
                if name == "begin" and outcome.status == "done":
                    self._keep_lease(arg["run_id"])
                return outcome
            case flow.Wait(seconds):
                # Steps that finish what was begun are tried again in a stopped run as well.
                if self._stopped.wait(seconds):
                    time.sleep(min(seconds, _STOPPED_WAIT_S))
                return None
            case flow.CopyTable(arg):
                try:
                    return self._drive(flow.copy_table(arg)), True
                except Exception as e:  # noqa: BLE001 - one table does not take the others along
                    return lost(arg["table"], classify(e).to_json()), False
            case flow.Report():
                return None  # progress is told by the steps, batch by batch
            case flow.Renew(name, arg):
                return self._drive(flow.FLOWS[name](arg))
            case flow.Gather(flows, limit):
                return self._gather(flows, limit)

    def _gather(self, flows: Any, limit: int) -> list[Any]:
        if limit == 1:
            return [self._drive(each) for each in flows]
        with ThreadPoolExecutor(limit, thread_name_prefix="copy") as pool:
            # A thread starts without the context that says which run, and which trace, it is in.
            futures = [pool.submit(copy_context().run, self._drive, each) for each in flows]
            try:
                _wait_for(futures)
                return [future.result() for future in futures]
            except BaseException:
                self.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _wait_for(futures: Sequence[Future[Any]]) -> None:
    """Waits until all are done, or one has failed.

    It looks up now and then: a signal that comes just as the main thread begins to wait would
    otherwise be handled only when the wait is over.
    """
    while True:
        done, left = wait(futures, _LOOK_S, FIRST_EXCEPTION)
        if not left or any(future.exception() for future in done):
            return
