"""What may happen to a job, and how schedules of it are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Insert:
    """New rows, each `step` above the newest: 0 ties with it, below 0 it was committed late."""

    count: int = 1
    step: int = 1


@dataclass(frozen=True)
class InsertNull:
    """A new row without a value in the incremental column."""


@dataclass(frozen=True)
class Update:
    """A new version of one of the rows, `step` above the newest; a file gets a row more."""

    which: int
    step: int = 1


@dataclass(frozen=True)
class Delete:
    """A row goes, where rows can."""

    which: int


@dataclass(frozen=True)
class Rival:
    """Another run of the job starts."""


@dataclass(frozen=True)
class Oversleep:
    """The run's lease runs out, and another run does the work, before this one goes on."""


Change = Insert | InsertNull | Update | Delete
Meanwhile = Change | Rival | Oversleep


@dataclass(frozen=True)
class DoRun:
    """A run; killed at a point of it if there are so many, while other things happen."""

    kill: int = 0
    meanwhile: tuple[tuple[int, Meanwhile], ...] = ()


@dataclass(frozen=True)
class Reset:
    """The job is reset."""

    truncate: bool = True


@dataclass(frozen=True)
class LoseState:
    """The state is lost; not where a wish to reset would be lost with it."""


@dataclass(frozen=True)
class Redefine:
    """The job's file changes, in ways that need no reset."""

    parts: int = 1
    batch_rows: int = 1


Op = Change | DoRun | Reset | LoseState | Redefine

# A run has 20 points when there is nothing to do, and 130 when it takes up a window and then plans
# another.
_POINTS = 100

_steps = st.integers(-4, 3)
_inserts = st.builds(Insert, st.integers(1, 3), _steps)
_changes: st.SearchStrategy[Change] = st.one_of(
    _inserts,
    _inserts,
    st.builds(InsertNull),
    st.builds(Update, st.integers(0, 9), _steps),
    st.builds(Delete, st.integers(0, 9)),
)
_points = st.integers(1, _POINTS)
_others: st.SearchStrategy[Meanwhile] = st.one_of(
    _changes, _changes, st.builds(Rival), st.builds(Oversleep)
)
_meanwhile = st.lists(st.tuples(_points, _others), max_size=2, unique_by=lambda at: at[0])
_runs = st.builds(DoRun, st.just(0) | _points, _meanwhile.map(tuple))
_kills = st.builds(DoRun, _points)
_rest: st.SearchStrategy[Op] = st.one_of(
    st.builds(Reset, st.booleans()),
    st.builds(LoseState),
    st.builds(Redefine, st.integers(1, 3), st.integers(1, 3)),
)

schedules: st.SearchStrategy[list[Op]] = st.lists(
    st.one_of(_changes, _changes, _runs, _kills, _kills, _rest), min_size=3, max_size=12
)

_INCREMENTS = {"mode": "incremental", "incremental_column": "v"}
APPEND: dict[str, Any] = {**_INCREMENTS, "write": "append"}
DELAYED: dict[str, Any] = {**APPEND, "delay": 3}
UPSERT: dict[str, Any] = {**_INCREMENTS, "write": "upsert", "keys": ["id"]}
LOOKBACK: dict[str, Any] = {**UPSERT, "lookback": 3}
NULLS: dict[str, Any] = {**UPSERT, "nulls": "include"}
OVERWRITE: dict[str, Any] = {"mode": "full", "write": "overwrite"}
ALL_AGAIN: dict[str, Any] = {"mode": "full", "write": "append"}
REFRESH: dict[str, Any] = {"mode": "full", "write": "upsert", "keys": ["id"]}
MODES = {
    "append": APPEND,
    "delayed": DELAYED,
    "upsert": UPSERT,
    "lookback": LOOKBACK,
    "nulls": NULLS,
    "overwrite": OVERWRITE,
    "all-again": ALL_AGAIN,
    "refresh": REFRESH,
}
