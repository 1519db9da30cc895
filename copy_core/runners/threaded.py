"""A run in a thread of its own, which can be followed, and cut off to go on later."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, Any

from copy_core.context import Context, Progress
from copy_core.errors import Cancelled, ConflictError, CopyJobError, TransientError
from copy_core.failures import classify
from copy_core.flow import Call
from copy_core.logs import log
from copy_core.model import JsonDict, Outcome, RunRequest, TableResult
from copy_core.runners.local import LocalRunner
from copy_core.state import history, lease

if TYPE_CHECKING:
    from copy_core.flow import Step
    from copy_core.jobfile import Loaded
    from copy_core.state.base import StateStore

_LOOK_S = 0.2
_LOOKS = 25


class ThreadedRun(LocalRunner):
    """A run in a thread of its own.

    Attributes:
        begun: done once the run holds its job, or raises why it does not.
        counts: how far it is.
    """

    def __init__(
        self,
        request: RunRequest,
        loaded: Loaded,
        store: StateStore,
        turns: BoundedSemaphore,
        ended: Callable[[str], None],
    ) -> None:
        self.begun: Future[None] = Future()
        self.counts = _Counts()
        self._request, self._turns, self._forget = request, turns, ended
        self._interrupted = self._cut = False
        super().__init__(
            Context(
                *loaded,
                store,
                observe=self.counts.observe,
                ended=self._table_ended,
                holder="copyjob serve",
            )
        )
        # A thread that waits for its source must not keep a process that was killed alive.
        self._thread = Thread(target=self._work, name=f"run {request.run_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def interrupt(self) -> None:
        """Has the run stop between two batches, with its record left open."""
        self._interrupted = True
        self.stop()

    def _work(self) -> None:
        request = self._request
        try:
            with ExitStack() as self._turn:
                self.run(request.tables, request.trigger, request.run_id, full=request.full)
        except _Interrupted:
            log.debug("run %s goes on after the next start", request.run_id)
        except Exception as e:  # noqa: BLE001 - the last words of a thread
            log.exception("run %s broke off: %s", request.run_id, classify(e))
        finally:
            self._forget(request.run_id)
            if not self.begun.done():
                self._never_held()

    def _do(self, step: Step) -> Any:
        if isinstance(step, Call) and step.name == "finish" and self._cut and self._goes_on():
            raise _Interrupted
        answer = super()._do(step)
        if isinstance(step, Call) and step.name == "begin":
            self._after_begin(answer)
        return answer

    def _table_ended(self, _number: int, result: TableResult) -> None:
        self._cut |= result.status == "cancelled"
        self.counts.ended(result)

    def _after_begin(self, outcome: Outcome) -> None:
        job = self._request.job
        if outcome.status == "done":
            self.counts.tables = outcome.value["count"]
            self.begun.set_result(None)
            self._wait_for_turn()
        elif outcome.error and outcome.error["code"] == lease.ELSEWHERE:
            self._await_other()
        elif outcome.status == "conflict" and outcome.error:
            held = lease.holder_of(self._context.store, job)
            self.begun.set_exception(_conflict(outcome.error, str(held or "")))

    def _await_other(self) -> None:
        """Another server was asked for the run too, and was faster: it takes the job, and lists the
        run a moment later.
        """
        for _ in range(_LOOKS):
            if history.run(self._context.store, self._request.run_id) is not None:
                self.begun.set_result(None)
                return
            self._stopped.wait(_LOOK_S)

    def _never_held(self) -> None:
        """Tells whoever waits: the history says why the run failed, or nobody can say."""
        request = self._request
        try:
            if history.run(self._context.store, request.run_id) is None:
                raise TransientError(
                    "the run could not begin",
                    fix="Look at the log of the server; asking again is safe",
                    code="not-begun",
                    job=request.job,
                )
        except CopyJobError as e:
            self.begun.set_exception(e)
        else:
            self.begun.set_result(None)

    def _wait_for_turn(self) -> None:
        while not self._turns.acquire(timeout=_LOOK_S):
            try:
                self._check()
            except CopyJobError:
                return  # each step says so once more
        self._turn.callback(self._turns.release)

    def _goes_on(self) -> bool:
        """Whether the next start of the server is to go on with the run; if so, its job is free.

        It is not when somebody asked for this very run to stop, or another run has the job. To give
        the job back is the look at that: nobody can ask in between.
        """
        if not self._interrupted:
            return False
        store, job, run_id = self._context.store, self._request.job, self._request.run_id
        try:
            lease.release(store, job, run_id, unless_stopped=True)
        except (Cancelled, ConflictError):
            return False
        return True


class _Interrupted(Exception):  # noqa: N818 - it goes on, so it is no error
    """The run goes on after the next start of the server."""


class _Counts:
    """How far a run is, from what its steps tell from any thread."""

    def __init__(self) -> None:
        self.tables = 0
        self._lock = Lock()
        self._began = time.monotonic()
        self._done = self._failed = self._rows = self._bytes = 0

    def observe(self, progress: Progress) -> None:
        if progress.event == "batch":
            with self._lock:
                self._rows += progress.rows
                self._bytes += progress.bytes

    def ended(self, result: TableResult) -> None:
        with self._lock:
            self._done += 1
            self._failed += result.status == "failed"

    def to_json(self) -> JsonDict:
        with self._lock:
            seconds = time.monotonic() - self._began
            return {
                "tables": self.tables,
                "done": self._done,
                "failed": self._failed,
                "rows": self._rows,
                "bytes": self._bytes,
                "rows_per_s": round(self._rows / seconds, 1) if seconds else 0.0,
            }


def _conflict(error: JsonDict, holder: str) -> ConflictError:
    return ConflictError(
        error["message"], fix=error["fix"], code=error["code"], holder=holder, **error["where"]
    )
