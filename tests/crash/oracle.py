"""What must be at the destination: a model in plain Python, that knows nothing of the protocol but
what `docs/guarantees.md` promises.

The ledger of the destination says how far rows are visible: `sequence` commits, up to `watermark`.
For every version of a row that the source ever had, the oracle knows when it was there, and so
from which sequence on it *must* be visible, and from which it *may* be. The two differ for a
version that came or went while its own window was open: a resumed window may have read its part
before or after. Everything else is exact, after every run, whether it ended or was killed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from copy_core.state.tables import Pending
from tests.crash.look import Look, raise_if
from tests.crash.places import Row

NEVER = 10**9


@dataclass
class Version:
    """A version of a row, and the sequences from which on it must and may be visible."""

    row: Row
    must: int = NEVER
    may: int = NEVER


@dataclass(frozen=True)
class Rules:
    """What the job says about increments. Attributes as in a job file."""

    write: str = "append"
    lookback: int = 0
    delay: int = 0
    nulls: str = "skip"


@dataclass
class Increments:
    """The oracle of a table that is copied by its increments.

    Attributes:
        live: the version of each row that the source has now, by key.
        since: the sequence that was visible at the last reset.
        there: rows that were at the destination before that, and stay.
        emptied: whether the first commit after it empties the destination.
    """

    rules: Rules
    live: dict[int, Version] = field(default_factory=dict)
    since: int = 0
    there: Counter[Row] = field(default_factory=Counter)
    emptied: bool = False
    _versions: list[Version] = field(default_factory=list)
    _top: int | None = None

    def due(self) -> int | None:
        """Up to where a run that starts now has to copy; None when nothing has a value."""
        values = [v.row[1] for v in self.live.values() if v.row[1] is not None]
        return max(values) - self.rules.delay if values else None

    def came(self, row: Row, look: Look, *, running: bool = False) -> None:
        """The source has got a row, or a new version of one.

        Args:
            row: the row.
            look: what was there at that moment.
            running: whether a run was under way.
        """
        if row[0] in self.live:
            self.went(row[0], look, running=running)
        version = Version(row)
        self.live[row[0]] = version
        self._versions.append(version)
        self._judge(version, look, running=running)
        if row[1] is not None:
            self._top = row[1] if self._top is None else max(self._top, row[1])

    def went(self, key: int, look: Look, *, running: bool = False) -> None:
        """The source has a row, or this version of it, no longer."""
        version = self.live.pop(key)
        if self._visible(version, look) == "must":
            return
        version.must = NEVER
        pending, value = look.pending, version.row[1]
        beyond = pending is not None and value is not None and _above(value, _high(pending))
        if not running and (pending is None or beyond):
            version.may = NEVER  # no window that could have read it

    def planned_anew(self, look: Look) -> None:
        """A pending window was given up: what it did not make visible is read by the next one."""
        for version in self.live.values():
            if self._visible(version, look) == "no":
                self._judge(version, look, running=False)

    def reset(self, look: Look, *, truncate: bool) -> None:
        """The job forgets how far it was; the destination keeps its rows until it is emptied."""
        self.since, self.there, self.emptied = look.sequence, look.rows, truncate
        self._versions = list(self.live.values())
        forgotten = look._replace(state=look.state.model_copy(update={"pending": None}))
        for version in self._versions:
            self._judge(version, forgotten, running=False)

    def begins(self, look: Look) -> None:
        """A run is about to start."""

    def check(self, look: Look) -> None:
        """Holds what is visible against what must be.

        Raises:
            Violation: rows are lost, doubled or not due.
        """
        kept = Counter() if self.emptied and look.sequence > self.since else self.there
        if self.rules.write == "upsert":
            self._check_keys(look, kept)
        else:
            self._check_rows(look, kept)
        new = look.rows if self.rules.write == "upsert" else look.rows - kept
        for version in self._versions:
            if self._visible(version, look) == "may":
                # What might have been read by a window was or was not, once that is visible.
                if version.row in new:
                    version.must = version.may
                else:
                    version.may = version.must

    def _judge(self, version: Version, look: Look, *, running: bool) -> None:
        """Decides from which sequences on a version must and may be visible."""
        value, now = version.row[1], look.sequence
        pending, first = look.pending, now <= self.since
        open_window = running or pending is not None
        later = now + 2 if open_window else now + 1
        if value is None:
            again = self.rules.nulls == "include"
            version.may = now + 1 if first or again else NEVER
            version.must = later if again else now + 1 if first and not open_window else NEVER
            return
        lookback = self.rules.lookback
        low = None if first else look.watermark
        floor = None if low is None else low - lookback
        if not open_window:
            version.may = version.must = now + 1 if _above(value, floor) else NEVER
            return
        if pending is not None:
            high, floor = _high(pending), _low(pending)
        else:  # the run may know a window that nobody else knows yet
            high = None if self._top is None else self._top - self.rules.delay
        version.may = now + 1 if _above(value, floor) else NEVER
        version.must = NEVER
        if _above(value, high):
            version.must = now + 1  # the first window that ends above it is planned after it came
        elif lookback and high is not None and value > high - lookback:
            version.must = later

    def _visible(self, version: Version, look: Look) -> str:
        value = version.row[1]
        mark = look.watermark if look.sequence > self.since else None
        if value is not None and (mark is None or value > mark):
            return "no"
        if look.sequence >= version.must:
            return "must"
        return "may" if look.sequence >= version.may else "no"

    def _check_rows(self, look: Look, kept: Counter[Row]) -> None:
        new = Counter(look.rows)
        new.subtract(kept)
        rows = {v.row: self._visible(v, look) for v in self._versions}
        raise_if("doubled", [row for row, count in new.items() if count > 1])
        raise_if("lost", [row for row, count in new.items() if count < 0])
        raise_if("lost", [r for r, visible in rows.items() if visible == "must" and not new[r]])
        raise_if("undue", [r for r, n in new.items() if n and rows.get(r, "no") == "no"])

    def _check_keys(self, look: Look, kept: Counter[Row]) -> None:
        """For each key, the newest version that must be there, or one after it that may."""
        keys = Counter(row[0] for row in look.rows.elements())
        raise_if("doubled", [key for key, count in keys.items() if count > 1])
        allowed: dict[int, list[Row | None]] = {row[0]: [row] for row in kept}
        for version in self._versions:
            visible = self._visible(version, look)
            known = allowed.setdefault(version.row[0], [None])
            if visible == "must":
                known.clear()
            if visible != "no":
                known.append(version.row)
        found = {row[0]: row for row in look.rows}
        raise_if("undue", [row for key, row in found.items() if key not in allowed])
        wrong = {k: a for k, a in allowed.items() if found.get(k) not in a}
        raise_if("lost", [f"{found.get(key)} instead of {a}" for key, a in wrong.items()])


def _above(value: int, bound: int | None) -> bool:
    return bound is None or value > bound


def _high(pending: Pending) -> int | None:
    high = pending.window.high
    return int(high.value) if high else None


def _low(pending: Pending) -> int | None:
    low = pending.window.low
    return int(low.value) if low else None
