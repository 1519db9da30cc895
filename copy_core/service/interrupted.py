"""Runs that were cut off: found when a server starts, and gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from copy_core.errors import Cancelled, ConflictError, CopyJobError, TransientError
from copy_core.logs import log
from copy_core.service import runs
from copy_core.state import history, lease

if TYPE_CHECKING:
    from copy_core.service.service import Service
    from copy_core.state.base import StateStore

_LATEST = 20


def left_open(service: Service) -> list[str]:
    """The run of each job whose record is open: it is under way elsewhere, or was interrupted.

    Older ones do not matter: what they left was taken up by the run after them.
    """
    latest = (_latest(service.store, job) for job in service.catalog.names())
    return [run.run_id for run in latest if run and run.status == "running"]


async def take_up(service: Service, run_ids: Sequence[str]) -> list[str]:
    """Resumes those of some runs that were interrupted.

    Args:
        service: the service.
        run_ids: the runs, of those that `left_open` found.

    Returns:
        Those that still hold their job, or could not be resumed now: to be asked again later.
    """
    return [run_id for run_id in run_ids if not await _taken_up(service, run_id)]


async def _taken_up(service: Service, run_id: str) -> bool:
    """Resumes a run if it was interrupted; False when it is to be asked again."""
    try:
        run = await runs.get(service, run_id)
        if run.status == "running":
            return False
        latest = await asyncio.to_thread(_latest, service.store, run.job)
        if run.ended_at or (latest and latest.run_id != run_id):
            return True  # it ended by itself, somebody resumed it, or another run came after it
        if await asyncio.to_thread(_told_to_stop, service.store, run.job, run_id):
            await runs.cancel(service, run_id)
            return True
        resumed = await runs.go_on(service, run)
        if (await runs.get(service, run_id)).status == "cancelled":  # while the new one began
            await runs.cancel(service, resumed.run_id)
            return True
        log.warning("run %s was interrupted, and goes on as %s", run_id, resumed.run_id)
    except TransientError as e:
        log.warning("run %s cannot be taken up again yet: %s", run_id, e)
        return False
    except ConflictError as e:
        log.info("run %s is not taken up again: %s", run_id, e)
    except CopyJobError as e:
        log.warning("run %s cannot be taken up again: %s", run_id, e)
    return True


def _latest(store: StateStore, job: str) -> history.RunHeader | None:
    """The run of a job that began last."""
    found = history.runs(store, job, _LATEST).runs
    return next((run for run in found if run.status not in ("skipped", "conflict")), None)


def _told_to_stop(store: StateStore, job: str, run_id: str) -> bool:
    """Whether somebody cancelled a run that was dead already, as it turned out."""
    try:
        lease.check(store, job, run_id)
    except Cancelled:
        return True
    except ConflictError:  # it gave its job back, or another run has it
        return False
    return False
