"""Runs as a service shows them: what is recorded, and how far those are that are under way."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from copy_core.errors import ConflictError
from copy_core.logs import log
from copy_core.model import JsonDict, RunStatus, RunSummary
from copy_core.state import history, lease
from copy_core.state.base import StateStore


class RunView(RunSummary):
    """A run as it is now.

    While it is under way, `tables` holds those that have ended, and `ended_at` is empty.

    Attributes:
        progress: how far it is, while it is under way here: `tables`, `done`, `rows` and more.
    """

    progress: JsonDict | None = None


def found(store: StateStore, run_id: str) -> RunSummary | None:
    """A run's record with its status as it is now; None when it has not begun."""
    run = history.run(store, run_id)
    if run is None or run.status != "running":
        return run
    status = history.now(store, history.RunHeader.of(run)).status
    if status == "interrupted":
        return run.model_copy(update={"status": status})
    return run if status == "running" else history.run(store, run_id)


def holder(store: StateStore, job: str) -> lease.Lease | None:
    """The lease that keeps others from running a job now; None when the job is free.

    A run that has ended keeps nobody: it records that before it gives its job back, on a busy
    machine a good while before. That is done for it.
    """
    while held := lease.holder_of(store, job):
        if not history.ended(store, held.run_id):
            return held
        with suppress(ConflictError):  # it was faster, and another run has the job
            lease.release(store, job, held.run_id)
    return None


def close(store: StateStore, run: RunView, status: RunStatus) -> RunStatus:
    """Records how a run that was interrupted is to be remembered, and gives its job back.

    Returns:
        How it is remembered: it may have ended otherwise meanwhile.
    """
    summary = {name: getattr(run, name) for name in RunSummary.model_fields}
    kept = history.end(store, RunSummary(**summary | {"status": status, "ended_at": _now()}))
    try:
        lease.release(store, run.job, run.run_id)
    except ConflictError:
        log.debug("another run has the job %s already", run.job)
    return kept.status


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
