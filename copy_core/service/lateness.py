"""How late a job is: how long ago the oldest moment fell due that no run has answered yet.

A run of the whole job that succeeds answers what fell due before it ended: also what was skipped
meanwhile, since it was being run. If runs had to go on with it, it answers what fell due before it
began: some of its tables are as old as that. Runs of some tables only answer nothing.

The agenda of a job keeps the oldest such moment, past or to come. While it lies ahead, a tick has
nothing to look up; after that, it looks through the latest runs until one has answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from copy_core import telemetry
from copy_core.errors import CopyJobError
from copy_core.logs import log
from copy_core.run_ids import resumed_as
from copy_core.service import waiting
from copy_core.service.schedule import upcoming
from copy_core.state import history

if TYPE_CHECKING:
    from copy_core.job import Schedule
    from copy_core.state.base import StateStore

_PAGE = 50


def first_due(schedules: Sequence[Schedule], after: datetime) -> datetime | None:
    """The first moment after another at which one of some schedules falls due; None if none does.

    Raises:
        ConfigError: a schedule cannot be read.
    """
    return min((moment for s in schedules for moment in upcoming(s, after, 1)), default=None)


def tell(
    store: StateStore,
    job: str,
    schedules: Sequence[Schedule],
    agenda: waiting.Agenda,
    now: datetime,
) -> None:
    """Tells how late a job is, if it is; and remembers which moment is the oldest now.

    Args:
        store: the state.
        job: the job.
        schedules: its schedules, for which the agenda holds.
        agenda: its agenda as it was read last.
        now: the time; an aware datetime.
    """
    owed = agenda.owed
    if owed is None or owed > now:
        return
    try:
        if upto := answered(store, job, owed):
            owed = first_due(schedules, upto)
            waiting.change(store, job, lambda found: _moved(found, agenda, owed))
    except CopyJobError as e:
        log.warning("whether a run has answered what fell due of %s cannot be told: %s", job, e)
    if owed and owed <= now:
        telemetry.late(job, (now - owed).total_seconds())


def answered(store: StateStore, job: str, owed: datetime) -> datetime | None:
    """Up to when all that fell due of a job is answered; None when not even one moment is.

    It looks no further back than to the latest runs that ended: who asks each minute has seen those
    before. Records of runs that never began do not count, however many a long run left behind.

    Args:
        store: the state.
        job: the job.
        owed: that moment.
    """
    resumed: set[str] = set()
    before = None
    while True:
        page = history.runs(store, job, _PAGE, before)
        ended = [run for run in page.runs if run.ended_at and run.status not in history.NEVER_BEGAN]
        for run in ended:
            if _moment(run.ended_at) < owed:
                return None
            went_on = resumed_as(run.run_id) in resumed
            if run.status != "succeeded" and not went_on:
                continue
            if run.trigger == "resume":
                resumed.add(run.run_id)
            elif history.whole(store, run.run_id):
                upto = _moment(run.started_at if went_on else run.ended_at)
                return upto if upto >= owed else None
        before = page.next
        if before is None or any(run.trigger != "resume" for run in ended):
            return None


def _moved(found: waiting.Agenda, seen: waiting.Agenda, owed: datetime | None) -> waiting.Agenda:
    same = (found.owed, found.schedules) == (seen.owed, seen.schedules)
    return found.model_copy(update={"owed": owed}) if same else found


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
