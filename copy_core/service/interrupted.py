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

_PAGE = 50
_LATEST = 20


def left_open(service: Service) -> list[str]:
    """The runs whose records are open: they are under way elsewhere, or were interrupted.

    Those before a run of the whole job do not matter: what they left was taken up by that.
    """
    return [run_id for job in service.catalog.names() for run_id in _open(service.store, job)]


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
        left = await asyncio.to_thread(_open, service.store, run.job)
        if run.ended_at or run_id not in left:
            return True  # it ended by itself, somebody resumed it, or another run came after it
        if left[0] != run_id:
            return False  # one after the other
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


def _open(store: StateStore, job: str) -> list[str]:
    """The open runs of a job, newest first, down to the latest run of the whole job.

    It looks no further back than some runs that began, however many did not.
    """
    found: list[str] = []
    began, before = 0, None
    while True:
        page = history.runs(store, job, _PAGE, before)
        for run in page.runs:
            if run.status in history.NEVER_BEGAN:
                continue
            if not run.ended_at:
                found.append(run.run_id)
            began += 1
            if began == _LATEST or history.whole(store, run.run_id):
                return found
        before = page.next
        if before is None:
            return found


def _told_to_stop(store: StateStore, job: str, run_id: str) -> bool:
    """Whether somebody cancelled a run that was dead already, as it turned out."""
    try:
        lease.check(store, job, run_id)
    except Cancelled:
        return True
    except ConflictError:  # it gave its job back, or another run has it
        return False
    return False
