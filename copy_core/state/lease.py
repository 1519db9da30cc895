"""The lease of a job: one run at a time, taken, kept and given back by compare-and-set.

Time only decides when somebody else may take a lease over. That the old holder then stops is
decided by the row itself: each of its calls finds another run there and raises ConflictError.
Machines that share a state need clocks that agree within a small part of the lease's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Self

from copy_core.errors import Cancelled, ConflictError, CopyJobError, TransientError
from copy_core.model import Record
from copy_core.state.base import ABSENT, StateStore
from copy_core.state.encoding import parse
from copy_core.state.process import Process

LOOK_S = 5.0
"""Seconds within which a run that works on a batch finds out that it is to stop."""

ELSEWHERE = "run-elsewhere"
"""The code of the error for a run that another process carries already."""

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", None)
_KEY = "lease"
_TRIES = 20

Clock = Callable[[], float]


class Owner(Record):
    """Who asks for a lease.

    Attributes:
        run_id: the run.
        holder: what it is, as people know it, such as `copyjob run`.
        process: the process that it lives and dies with (`process.this()`); None where any worker
            may carry the run on, as under Durable Functions.
    """

    run_id: str
    holder: str
    process: Process | None = None


class Lease(Owner):
    """Who may change a job's state, and for how long.

    Attributes:
        until: when others may take it over, seconds since 1970 (UTC).
        stop: whether the run was asked to stop.
    """

    until: float
    stop: bool = False

    def free(self, now: float) -> bool:
        """Whether others may take it over: its time is up, or its process is known to be dead."""
        return self.until <= now or (self.process is not None and self.process.dead())

    def __str__(self) -> str:
        ends = datetime.fromtimestamp(self.until, UTC).isoformat(" ", "seconds")
        place = f", {self.process}" if self.process else ""
        return f"run {self.run_id} ({self.holder}{place}) until {ends}"


def claim(
    store: StateStore,
    job: str,
    lease_ttl: float,
    who: Owner,
    now: Clock = time.time,
) -> Lease:
    """Takes the job's lease, or keeps it if the run has it already.

    Args:
        store: where the lease is.
        job: the job's name.
        lease_ttl: seconds until it must have been renewed.
        who: who asks; the same run may ask again.
        now: the clock, in seconds since 1970.

    Raises:
        ConflictError: another run holds it, or another process carries this very run (code
            `ELSEWHERE`).
    """

    def next_lease(held: Lease | None) -> Lease:
        if held and (held.run_id != who.run_id or _elsewhere(held, who)) and not held.free(now()):
            raise _conflict(job, held, "the job is being run already", who.run_id)
        stop = held is not None and held.run_id == who.run_id and held.stop
        return Lease(**dict(who), until=now() + lease_ttl, stop=stop)

    return _swap(store, job, next_lease)


def renew(
    store: StateStore, job: str, lease_ttl: float, run_id: str, now: Clock = time.time
) -> Lease:
    """Holds the lease for another `lease_ttl` seconds from now.

    Raises:
        ConflictError: the run does not hold it any more.
    """

    def next_lease(held: Lease | None) -> Lease:
        return _own(job, held, run_id).model_copy(update={"until": now() + lease_ttl})

    return _swap(store, job, next_lease)


def release(store: StateStore, job: str, run_id: str, *, unless_stopped: bool = False) -> None:
    """Gives the lease back; one that nobody holds is released already.

    Args:
        store: where the lease is.
        job: the job's name.
        run_id: the run that holds it.
        unless_stopped: whether a run that was asked to stop keeps it.

    Raises:
        ConflictError: another run took it over.
        Cancelled: the run keeps it.
    """
    for _ in range(_TRIES):
        held, etag = _read(store, job)
        if held is None:
            return
        if _own(job, held, run_id).stop and unless_stopped:
            raise _told_to_stop(job)
        try:
            store.delete(job, _KEY, etag)
        except ConflictError:
            continue  # the run's own heartbeat, perhaps: look again
        return
    raise _contended(job)


def check(store: StateStore, job: str, run_id: str) -> Lease:
    """The run's lease.

    Raises:
        ConflictError: the run does not hold it any more.
        Cancelled: the run was asked to stop.
    """
    held = _own(job, _read(store, job)[0], run_id)
    if held.stop:
        raise _told_to_stop(job)
    return held


def ask_to_stop(store: StateStore, job: str, run_id: str) -> bool:
    """Asks a run to stop between two batches, wherever it runs.

    Returns:
        Whether the run holds the job: one that does not has ended, or will find out by itself.
    """
    try:
        _swap(store, job, lambda held: _own(job, held, run_id).model_copy(update={"stop": True}))
    except ConflictError:
        return False
    return True


def holder_of(store: StateStore, job: str, now: Clock = time.time) -> Lease | None:
    """The lease that keeps others from running the job now; None when the job is free."""
    held = _read(store, job)[0]
    return None if held is None or held.free(now()) else held


def elapsed() -> float:
    """Seconds since some moment, those included in which the machine was suspended: on Linux the
    monotonic clock of Python stands still meanwhile (clock_gettime(2)), and others' do not.
    """
    return time.monotonic() if _ELAPSED is None else time.clock_gettime(_ELAPSED)


class Heartbeat:
    """Renews a lease from a thread while a `with` block runs; does not release it.

    Args:
        store: where the lease is.
        job: the job's name.
        lease_ttl: seconds that a renewal holds for; there are three in that time.
        run_id: the run that holds the lease.
        look: seconds between two looks at whether the run may go on.
    """

    def __init__(
        self, store: StateStore, job: str, lease_ttl: float, run_id: str, look: float = LOOK_S
    ) -> None:
        self._store, self._job, self._ttl, self._run_id = store, job, lease_ttl, run_id
        self._look = min(look, lease_ttl / 3)
        self._renewed = elapsed()
        self._error: CopyJobError | None = None
        self._stop = Event()
        self._thread = Thread(target=self._beat, name=f"lease of {job}", daemon=True)

    @property
    def lost(self) -> CopyJobError | None:
        """Why the run must not go on; None while it holds the lease."""
        if self._error is None and elapsed() - self._renewed > self._ttl:
            return ConflictError(
                "the lease ran out, since it could not be renewed in time",
                fix="Nothing was lost: run the job again, it takes up what is left",
                code="lease-lost",
                job=self._job,
            )
        return self._error

    def check(self) -> None:
        """Raises what `lost` says, if it says something."""
        lost = self.lost
        if lost:
            raise copy(lost)  # each thread that raises it adds its own place

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._look):
            asked = elapsed()
            try:
                check(self._store, self._job, self._run_id)
                if asked - self._renewed >= self._ttl / 3:
                    renew(self._store, self._job, self._ttl, self._run_id)
                    self._renewed = asked
            except TransientError:
                continue  # the store may be back before the time is up
            except CopyJobError as e:
                self._error = e
                return


def _swap(store: StateStore, job: str, change: Callable[[Lease | None], Lease]) -> Lease:
    """Reads the lease, and writes what `change` makes of it unless it changed meanwhile."""
    for _ in range(_TRIES):
        held, etag = _read(store, job)
        lease = change(held)
        try:
            store.put(job, _KEY, lease.to_json(), etag)
        except ConflictError:
            continue  # somebody was faster: look again who holds it now
        return lease
    raise _contended(job)


def _read(store: StateStore, job: str) -> tuple[Lease | None, str]:
    row = store.get(job, _KEY)
    return (parse(Lease, row, store, job), row.etag) if row else (None, ABSENT)


def _own(job: str, held: Lease | None, run_id: str) -> Lease:
    if held is None or held.run_id != run_id:
        raise _conflict(job, held, f"run {run_id} does not hold the job any more")
    return held


def _elsewhere(held: Owner, who: Owner) -> bool:
    """Whether another process holds the lease; any worker may carry a run that has none."""
    if held.process is None or who.process is None:
        return False
    return (held.process.machine, held.process.pid) != (who.process.machine, who.process.pid)


def _told_to_stop(job: str) -> Cancelled:
    return Cancelled(
        "the run was asked to stop", fix="The next run goes on from where it stopped", job=job
    )


def _conflict(job: str, held: Lease | None, what: str, run_id: str = "") -> ConflictError:
    code = ELSEWHERE if held and held.run_id == run_id else "lease-held"
    return ConflictError(
        f"{what}: {held} holds it" if held else what,
        fix="Wait for that run to end" if held else "Run the job again",
        code=code if held else "lease-lost",
        holder=str(held or ""),
        job=job,
    )


def _contended(job: str) -> TransientError:
    return TransientError(
        "the job's lease changes all the time", fix="Look for what starts it", job=job
    )
