"""The run of a job that waits to be started, shared by schedules and events.

A job has one such run at most: a newer one takes its place, since one run copies all that is new.
Each move is written before it is made, by compare-and-set on one row a job, so that of two who
come at once one makes it, and one who dies is followed up:

* `waiting` becomes `started`, then the launcher is asked. A run that is not seen to begin is asked
  for again, under the same id; launchers start an id once.
* A run that was started, but found its job taken when it wanted to begin, waits once more; under
  another id, since its own is used up.
* A run that may not wait is recorded as skipped when its job is being run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from copy_core.errors import ConflictError, TransientError
from copy_core.model import Record, RunRequest, RunSummary
from copy_core.service import run_records
from copy_core.state import history
from copy_core.state.base import ABSENT
from copy_core.state.encoding import parse

if TYPE_CHECKING:
    from copy_core.service.service import Service
    from copy_core.state.base import StateStore

_KEY = "schedule"
_TRIES = 20
# A start that was asked for this short a time ago is under way: it is not asked for again.
_STARTING = timedelta(seconds=30)


class Candidate(Record):
    """A run to be started.

    Attributes:
        request: the run.
        patient: whether it waits while its job is being run; if not, it is skipped then.
    """

    request: RunRequest
    patient: bool


class Agenda(Record):
    """What is to be started of a job.

    Attributes:
        last: up to when its schedules were acted upon; None when they never were.
        schedules: a digest of the schedules that `last` and `owed` hold for.
        owed: the oldest moment of the schedules, past or to come, that no run has answered yet; see
            `copy_core.service.lateness`. None when there is none, or nobody has looked.
        waiting: the run that waits.
        started: the run that was started last, until it is seen to begin.
        started_at: when the launcher was asked for it.
        skipped: the record of a run that was skipped, until it is in the history.
    """

    last: datetime | None = None
    schedules: str = ""
    owed: datetime | None = None
    waiting: Candidate | None = None
    started: Candidate | None = None
    started_at: datetime | None = None
    skipped: RunSummary | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to be done now."""
        return self.waiting is None and self.started is None and self.skipped is None

    def with_waiting(self, request: RunRequest, *, patient: bool) -> Agenda:
        """The agenda with a newer run to be started; who waited before waits on with it."""
        patient = patient or (self.waiting is not None and self.waiting.patient)
        return self.model_copy(update={"waiting": Candidate(request=request, patient=patient)})

    def with_skipped(self, request: RunRequest, holder: str, now: datetime) -> Agenda:
        """The agenda with a run that is not started, because of who holds the job."""
        error = ConflictError(
            f"not started, since the job was being run: {holder}",
            fix="Set `overlap: queue` at the schedule to have it run afterwards, or let it come"
            " due less often",
            code="skipped",
            job=request.job,
        )
        at = now.astimezone(UTC).isoformat(timespec="milliseconds")
        skipped = RunSummary(
            **request.model_dump(include={"run_id", "job", "trigger"}),
            status="skipped",
            started_at=at,
            ended_at=at,
            error=error.to_json(),
        )
        return self.model_copy(update={"skipped": skipped})


def run_id(job: str, at: datetime, *cause: str) -> str:
    """The name of a run by what causes it: the same cause gives the same name.

    It sorts by time as those of other runs do, and has more digits than theirs, since hundreds of
    jobs may fall due at the same moment.

    Args:
        job: the job.
        at: when the cause occurred; an aware datetime.
        cause: what tells it from other causes at that moment.
    """
    at = at.astimezone(UTC)
    told = "\n".join((job, at.isoformat(), *cause))
    # JSON may hold half a surrogate pair, which UTF-8 cannot.
    digest = sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{at:%Y%m%dT%H%M%S}-{digest[:12]}"


def load(store: StateStore, job: str) -> Agenda:
    """A job's agenda, without what is done: a skip is in the history now, or a run has begun."""
    agenda, _ = _read(store, job)
    done: dict[str, None] = {}
    if agenda.skipped:
        history.record(store, agenda.skipped)
        done["skipped"] = None
    if agenda.started and _began(store, agenda.started.request.run_id):
        done |= {"started": None, "started_at": None}

    def without(found: Agenda) -> Agenda:
        same = all(getattr(found, name) == getattr(agenda, name) for name in done)
        return found.model_copy(update=done) if same else found

    return change(store, job, without) if done else agenda


def change(store: StateStore, job: str, update: Callable[[Agenda], Agenda]) -> Agenda:
    """Changes a job's agenda by compare-and-set.

    Args:
        store: the state.
        job: the job.
        update: what to make of it; called again when somebody else changed it meanwhile.

    Returns:
        What it became.

    Raises:
        TransientError: others changed it all the time.
    """
    for _ in range(_TRIES):
        agenda, etag = _read(store, job)
        new = update(agenda)
        if new == agenda:
            return agenda
        try:
            store.put(job, _KEY, new.to_json(), etag)
        except ConflictError:
            continue
        return new
    raise TransientError(
        "what is to be started of the job is being changed by others all the time",
        code="contended",
        job=job,
    )


async def busy(service: Service, job: str, agenda: Agenda, now: datetime) -> str:
    """What keeps a job from being run now, as people know it; "" when it is free."""
    if agenda.started and agenda.started_at:
        run = agenda.started.request.run_id
        just_now = now - agenda.started_at < _STARTING
        begins = just_now or await service.launcher.progress(run) is not None
        if begins and not await asyncio.to_thread(_began, service.store, run):
            return f"run {run}, which is about to begin"
    held = await asyncio.to_thread(run_records.holder, service.store, job)
    return str(held) if held else ""


async def settle(service: Service, job: str, now: datetime) -> RunRequest | None:
    """Makes the next move for a job: starts what waits if the job is free.

    Args:
        service: the service.
        job: the job.
        now: the time; an aware datetime.

    Returns:
        The run that was started now; None when none was.
    """
    store = service.store
    agenda = await asyncio.to_thread(load, store, job)
    chosen = agenda.waiting or agenda.started
    if chosen is None:
        return None
    if holder := await busy(service, job, agenda, now):
        if not chosen.patient and chosen is agenda.waiting:
            await asyncio.to_thread(_skip, store, job, chosen, holder, now)
        return None
    if not await asyncio.to_thread(_take, store, job, agenda, chosen, now):
        return None
    try:
        if await service.launcher.start(chosen.request):
            return chosen.request
    except ConflictError as e:
        await asyncio.to_thread(_return, store, job, chosen, e.holder or e.what, now)
        return None
    run = chosen.request.run_id
    if await service.launcher.progress(run) is None:
        await asyncio.to_thread(_rename, store, job, chosen)
    return None


def _read(store: StateStore, job: str) -> tuple[Agenda, str]:
    row = store.get(job, _KEY)
    return (parse(Agenda, row, store, job), row.etag) if row else (Agenda(), ABSENT)


def _began(store: StateStore, run: str) -> bool:
    return history.run(store, run) is not None


def _take(store: StateStore, job: str, seen: Agenda, chosen: Candidate, now: datetime) -> bool:
    """Notes that a run is being started; False when somebody else was here since the look."""
    taken = False

    def update(found: Agenda) -> Agenda:
        nonlocal taken
        taken = all(
            getattr(found, name) == getattr(seen, name)
            for name in ("waiting", "started", "started_at")
        )
        update = {"waiting": None, "started": chosen, "started_at": now}
        return found.model_copy(update=update) if taken else found

    change(store, job, update)
    return taken


def _skip(store: StateStore, job: str, chosen: Candidate, holder: str, now: datetime) -> None:
    def update(found: Agenda) -> Agenda:
        if found.waiting != chosen:
            return found
        rest = found.model_copy(update={"waiting": None})
        return rest.with_skipped(chosen.request, holder, now)

    change(store, job, update)
    load(store, job)


def _return(store: StateStore, job: str, chosen: Candidate, holder: str, now: datetime) -> None:
    """The launcher found the job taken: the run waits again, or is skipped."""
    if _began(store, chosen.request.run_id):
        return  # elsewhere, before the job was taken

    def update(found: Agenda) -> Agenda:
        if found.started != chosen:
            return found
        rest = found.model_copy(update={"started": None, "started_at": None})
        if not chosen.patient:
            return rest.with_skipped(chosen.request, holder, now)
        return rest.model_copy(update={"waiting": rest.waiting or chosen})

    change(store, job, update)
    load(store, job)


def _rename(store: StateStore, job: str, chosen: Candidate) -> None:
    """A run was started before, and is neither under way nor recorded: its job was taken when it
    wanted to begin. It waits again, under another id.
    """
    if _began(store, chosen.request.run_id):
        return
    old = chosen.request.run_id
    at = datetime.strptime(old.split("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    request = chosen.request.model_copy(update={"run_id": run_id(job, at, "again", old)})
    again = chosen.model_copy(update={"request": request})

    def update(found: Agenda) -> Agenda:
        if found.started != chosen:
            return found
        update = {"waiting": found.waiting or again, "started": None, "started_at": None}
        return found.model_copy(update=update)

    change(store, job, update)
