"""The clock of a service: each minute, starts what the schedules of its jobs ask for.

Ticks may be missed, doubled or die half-way. What came due meanwhile is one run; its name follows
from the job and the moment, and `copy_core.service.waiting` sees to it that it is started once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from copy_core import telemetry
from copy_core.errors import CopyJobError
from copy_core.failures import classify
from copy_core.logs import log, within
from copy_core.model import RunRequest
from copy_core.service import lateness, waiting
from copy_core.service.schedule import due

if TYPE_CHECKING:
    from copy_core.job import Job, Schedule
    from copy_core.service.service import Service

PERIOD = timedelta(minutes=1)
"""The time between two ticks."""

_SIDE_BY_SIDE = 16
_CLOCKS_DIFFER = timedelta(hours=1)


async def tick(service: Service, now: datetime) -> list[RunRequest]:
    """Starts what has come due since the last tick, and what waited for a job that is free now.

    It also tells which jobs are late, and with its own duration that somebody looks after them.

    A job that is seen for the first time, or whose schedules were changed, is looked at from one
    tick before now on: what it missed before is not made up for.

    Args:
        service: the service.
        now: the time; an aware datetime.

    Returns:
        The runs that were started.

    Raises:
        CopyJobError: the jobs cannot be listed. What concerns one job alone is logged, and made up
            for by the next tick.
    """
    began = time.perf_counter()
    jobs = await asyncio.to_thread(lambda: list(service.catalog.loaded()))
    gate = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def one(name: str, job: Job) -> RunRequest | None:
        async with gate:
            with within(job=name):
                try:
                    return await _job(service, name, job, now)
                except Exception as e:  # noqa: BLE001 - one job does not take the others along
                    report(name, e)
                    return None

    looks = []
    for name, loaded in jobs:
        if isinstance(loaded, CopyJobError):
            report(name, loaded)
        elif loaded.job.schedules or loaded.job.watch:
            looks.append(one(name, loaded.job))
    started = [each for each in await asyncio.gather(*looks) if each]
    telemetry.ticked(time.perf_counter() - began)
    return started


def report(job: str, error: Exception) -> None:
    """Logs and counts why nothing could be started of a job."""
    known = isinstance(error, CopyJobError)
    telemetry.not_started(job, classify(error))
    log.log(
        logging.WARNING if known else logging.ERROR,
        "nothing of job %s can be started: %s",
        job,
        classify(error),
        exc_info=None if known else error,
    )


class _Due(NamedTuple):
    """What the schedules of a job ask for at a tick."""

    request: RunRequest
    patient: bool


async def _job(service: Service, name: str, job: Job, now: datetime) -> RunRequest | None:
    store = service.store
    agenda = await asyncio.to_thread(waiting.load, store, name)
    if job.schedules:
        if agenda.schedules == _digest(job.schedules):
            await asyncio.to_thread(lateness.tell, store, name, job.schedules, agenda, now)
        if _next(name, job.schedules, agenda, now) != agenda:
            holder = await waiting.busy(service, name, agenda, now)
            agenda = await asyncio.to_thread(
                waiting.change,
                store,
                name,
                lambda found: _next(name, job.schedules, found, now, holder),
            )
    return None if agenda.idle else await waiting.settle(service, name, now)


def _next(
    job: str, schedules: Sequence[Schedule], agenda: waiting.Agenda, now: datetime, holder: str = ""
) -> waiting.Agenda:
    """The agenda after a tick; the same while there is nothing new to remember."""
    digest = _digest(schedules)
    after = agenda.last or now - PERIOD
    ahead, anew = after > now + _CLOCKS_DIFFER, agenda.schedules != digest
    if ahead:
        log.warning("the clock was ahead, at %s: the schedules of %s go on from now", after, job)
        after = now - PERIOD
    if anew:
        after = max(after, now - PERIOD)
    if ahead or anew or agenda.owed is None:
        agenda = agenda.model_copy(update={"owed": lateness.first_due(schedules, after)})
    found = _due(job, schedules, after, now)
    if found is None and not anew:
        return agenda
    agenda = agenda.model_copy(update={"last": max(after, now), "schedules": digest})
    if found is None:
        return agenda
    if holder and not found.patient:
        return agenda.with_skipped(found.request, holder, now)
    return agenda.with_waiting(found.request, patient=found.patient)


def _digest(schedules: Sequence[Schedule]) -> str:
    told = "\n".join(schedule.model_dump_json() for schedule in schedules)
    return sha256(told.encode()).hexdigest()[:16]


def _due(job: str, schedules: Sequence[Schedule], after: datetime, now: datetime) -> _Due | None:
    """One run for all that came due, named by the latest moment."""
    moments = {s: moment for s in schedules if (moment := due(s, after, now))}
    if not moments:
        return None
    latest = max(moments.values())
    request = RunRequest(run_id=waiting.run_id(job, latest), job=job, trigger="schedule")
    return _Due(request, any(schedule.overlap == "queue" for schedule in moments))
