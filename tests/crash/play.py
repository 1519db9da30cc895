"""Plays schedules: does to a job what they say, and has the oracle look at every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tests.crash.full import FullCopies
from tests.crash.house import Happening, Run
from tests.crash.look import Look, Violation, check_finished, check_state
from tests.crash.ops import (
    Change,
    Delete,
    DoRun,
    Insert,
    InsertNull,
    LoseState,
    Meanwhile,
    Op,
    Oversleep,
    Redefine,
    Reset,
    Rival,
    Update,
)
from tests.crash.oracle import Increments, Rules
from tests.crash.places import Row


class AnyHouse(Protocol):
    """A `House` or a `MemoryHouse`."""

    source: Any
    settings: dict[str, Any]
    batch_rows: int

    def run(self, kill: int = 0, happenings: Sequence[Happening] = ()) -> Run: ...
    def look(self) -> Look: ...
    def reset(self, *, truncate: bool) -> None: ...
    def expire(self) -> None: ...
    def lose_state(self) -> None: ...


# What a run says that another one has overtaken.
_TOO_LATE = {"lease-held", "lease-lost", "fenced-off", "parts-missing", "overtaken"}


class Play:
    """Plays a schedule in a house, and holds every run against an oracle.

    Args:
        house: a new house.

    Attributes:
        kills: how many runs were killed.
    """

    def __init__(self, house: AnyHouse) -> None:
        settings = house.settings = {"parts": 2, **house.settings}
        self._house = house
        self._incremental = settings["mode"] == "incremental"
        known = {name: settings[name] for name in Rules.__annotations__ if name in settings}
        full = FullCopies(settings["write"])
        self.oracle: Increments | FullCopies = Increments(Rules(**known))
        if not self._incremental:
            self.oracle = full
        self._look = house.look()
        self._newest = self._revision = 0
        self._excused = self._resetting = self._disturbed = False
        self._due: int | None = None
        self._broken: Exception | None = None
        self.kills = 0

    def play(self, ops: Sequence[Op]) -> None:
        """Plays; then ends with a run that nothing happens to, and one that finds nothing to do.

        Raises:
            Violation: a promise was broken.
        """
        for op in [*ops, DoRun(), DoRun()]:
            self.do(op)

    def do(self, op: Op) -> None:
        """Does one thing."""
        match op:
            case DoRun(kill, meanwhile):
                self._run(kill, meanwhile)
                return
            case Reset(truncate):
                self._house.reset(truncate=truncate)
                self.oracle.reset(self._look, truncate=truncate)
                self._resetting = True
            case LoseState() if self._resetting:
                return
            case LoseState():
                self._house.lose_state()
                self._gave_up_pending()
            case Redefine(parts, batch_rows):
                self._house.batch_rows = batch_rows
                if not self._given_up():  # or its definition might come back
                    self._house.settings["parts"] = parts
                if self._given_up():
                    self._gave_up_pending()
            case Insert() | InsertNull() | Update() | Delete():
                self._change(op, self._known(), running=False)
                return
        self._look = self._house.look()

    def note_run(self) -> None:
        """Takes in that there was a run of which only what it left is known."""
        self.oracle.begins(self._known())
        self._look = self._house.look()
        self.oracle.check(self._look)
        check_state(self._look)

    def _given_up(self) -> bool:
        """Whether the next run plans anew, since the pending window has another definition."""
        pending = self._look.pending
        return pending is not None and pending.table.parts != self._house.settings["parts"]

    def _known(self) -> Look:
        """The last look, with no window pending if the next run will not take it up."""
        if not self._given_up():
            return self._look
        return _without_pending(self._look)

    def _gave_up_pending(self) -> None:
        self.oracle.planned_anew(_without_pending(self._look))
        self._excused = True

    def _change(self, change: Change, look: Look, *, running: bool) -> None:
        live, source = list(self.oracle.live), self._house.source
        match change:
            case Insert(count, step):
                values = [self._newest + step * (n + 1) for n in range(count)]
                self._came([self._row(value) for value in values], look, running=running)
            case InsertNull():
                self._came([self._row(None)], look, running=running)
            case Update(which, step) if live and source.updates:
                row = self._row(self._newest + step)
                row = (live[which % len(live)], *row[1:])
                source.update(row)
                self.oracle.came(row, look, running=running)
            case Delete(which) if live and source.deletes:
                source.delete(live[which % len(live)])
                self.oracle.went(live[which % len(live)], look, running=running)

    def _came(self, rows: list[Row], look: Look, *, running: bool) -> None:
        self._house.source.insert(rows)
        for row in rows:
            self.oracle.came(row, look, running=running)

    def _row(self, value: int | None) -> Row:
        self._revision += 1
        self._newest = max(self._newest, value or 0)
        return (self._revision, value, self._revision)

    def _run(self, kill: int, meanwhile: Sequence[tuple[int, Meanwhile]]) -> None:
        before, self._due = self._known(), self.oracle.due()
        self._disturbed, self._broken = False, None
        self.oracle.begins(before)
        happenings = [(at, self._happening(what)) for at, what in meanwhile]
        run = self._house.run(kill, happenings)
        if self._broken is not None:
            raise self._broken
        look = self._look = self._house.look()
        self.oracle.check(look)
        check_state(look)
        if look.sequence > before.sequence:
            self._resetting = False
        if run.summary is None:
            self.kills += 1
            if look.lease:
                raise Violation("behind", "a dead run holds the job")
        elif run.summary.status == "succeeded":
            copied = run.summary.tables[0].status == "copied"
            if not self._disturbed:
                check_finished(look, due=self._due, tidy=copied or not self._excused)
                self._excused = self._excused and not copied
        elif not self._may_stop(run):
            raise Violation("behind", f"a run failed: {run.summary.model_dump_json(indent=1)}")

    def _may_stop(self, run: Run) -> bool:
        """Whoever overslept has to stop, unless all was done already."""
        assert run.summary is not None
        errors = [run.summary.error, *(table.error for table in run.summary.tables)]
        codes = {error["code"] for error in errors if error}
        return self._disturbed and codes <= _TOO_LATE

    def _happening(self, what: Meanwhile) -> Callable[[], None]:
        def happen() -> None:
            try:
                self._happen(what)
            except Exception as e:  # noqa: BLE001 - raised again when the run has ended
                self._broken = e

        return happen

    def _happen(self, what: Meanwhile) -> None:
        match what:
            case Rival():
                held = self._house.look().lease
                self._check_rival(self._house.run(), "conflict" if held else "succeeded")
            case Oversleep():
                self._disturbed = self._excused = True
                self._house.expire()
                self._check_rival(self._house.run(), "succeeded")
            case _:
                self._change(what, self._house.look(), running=True)
                due = self.oracle.due()
                self._due = None if due is None or self._due is None else min(due, self._due)

    def _check_rival(self, rival: Run, status: str) -> None:
        assert rival.summary is not None
        if rival.summary.status != status:
            raise Violation("behind", f"a second run ended otherwise than {status}: {rival}")


def _without_pending(look: Look) -> Look:
    return look._replace(state=look.state.model_copy(update={"pending": None}))
