"""The oracle of a table that is copied in full: each commit shows the source as it was read.

What is read of a row that comes, changes or goes while its window is open (a run is under way, or
died and is resumed) is not promised; all others are there exactly once for each commit that adds
them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.crash.look import Look, raise_if
from tests.crash.places import Row


@dataclass
class Reading:
    """What a window reads: the rows that it finds for sure, and those that it may find."""

    sure: set[Row]
    perhaps: set[Row]


@dataclass
class FullCopies:
    """The oracle of full copies.

    Attributes:
        write: `overwrite`, `append` or `upsert` by the key.
        live: the rows that the source has now, by key.
    """

    write: str
    live: dict[int, Row] = field(default_factory=dict)
    _there: Counter[Row] = field(default_factory=Counter)
    _sequence: int = 0
    _plan: str = ""
    _dropped: str = ""
    _open: Reading = field(default_factory=lambda: Reading(set(), set()))
    _fresh: Reading = field(default_factory=lambda: Reading(set(), set()))
    _emptied: bool = False

    def due(self) -> int | None:
        """Full copies have no watermark."""
        return None

    def came(self, row: Row, look: Look, *, running: bool = False) -> None:
        """The source has got a row, or a new version of one."""
        if row[0] in self.live:
            self.went(row[0], look, running=running)
        self.live[row[0]] = row
        for reading in (self._open, self._fresh):
            reading.perhaps.add(row)

    def went(self, key: int, look: Look, *, running: bool = False) -> None:
        """The source has a row no longer."""
        del look, running
        row = self.live.pop(key)
        for reading in (self._open, self._fresh):
            reading.sure.discard(row)

    def planned_anew(self, look: Look) -> None:
        """A pending window was given up."""
        del look
        self._plan, self._dropped = "", self._plan

    def reset(self, look: Look, *, truncate: bool) -> None:
        """A pending window was given up; the next commit may have to empty the destination."""
        self.planned_anew(look)
        self._emptied = truncate

    def begins(self, look: Look) -> None:
        """A run is about to start: it takes up the pending window, or reads the source anew."""
        self._fresh = Reading(set(self.live.values()), set(self.live.values()))
        pending = look.pending
        if pending is None or pending.doomed or pending.plan_id != self._plan:
            self._open = self._fresh

    def check(self, look: Look) -> None:
        """Holds what is visible against what must be.

        Raises:
            Violation: rows are lost, doubled or not due.
        """
        commits = look.sequence - self._sequence
        reading = self._open
        if commits > 1:
            reading = Reading(
                self._open.sure & self._fresh.sure, self._open.perhaps | self._fresh.perhaps
            )
        there = self._there
        if commits and (self._emptied or self.write == "overwrite"):
            there = Counter()
        if commits and self.write == "upsert":
            _check_keys(look, there, reading)
            self._settle(look, commits)
            return
        times = min(commits, 1) if self.write == "overwrite" else commits
        new = Counter(look.rows)
        new.subtract(there)
        raise_if("doubled", [r for r, n in new.items() if n > times and r in reading.perhaps])
        raise_if("undue", [r for r, n in new.items() if n > 0 and r not in reading.perhaps])
        raise_if("lost", [r for r, n in new.items() if n < 0])
        raise_if("lost", [r for r in reading.sure if new[r] < times])
        self._settle(look, commits)

    def _settle(self, look: Look, commits: int) -> None:
        self._there, self._sequence = look.rows, look.sequence
        if commits:
            self._emptied = False
        pending = look.pending
        if pending is not None and pending.plan_id not in (self._plan, self._dropped):
            self._plan, self._open = pending.plan_id, self._fresh


def _check_keys(look: Look, there: Counter[Row], reading: Reading) -> None:
    """Of each key one row: as it was read, or else as it was there."""
    keys = Counter(row[0] for row in look.rows.elements())
    raise_if("doubled", [key for key, number in keys.items() if number > 1])
    raise_if("undue", [r for r in look.rows if r not in reading.perhaps and r not in there])
    raise_if("lost", [row for row in reading.sure if row not in look.rows])
    raise_if("lost", [row for row in there if row[0] not in keys])
