"""Real kills (SIGKILL) at every point of a run, between real systems.

Each play loads a table for the first time, and then an increment; both runs are killed at the
same point, each is repaired by the run after it, and the oracle looks at every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.crash.children import Children
from tests.crash.house import House
from tests.crash.ops import (
    APPEND,
    DELAYED,
    LOOKBACK,
    OVERWRITE,
    REFRESH,
    UPSERT,
    DoRun,
    Insert,
    InsertNull,
    Op,
    Update,
)
from tests.crash.play import Play

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(900)

Pair = tuple[str, str]
MODES = {"append": APPEND, "delayed": DELAYED, "lookback": LOOKBACK, "upsert": UPSERT}
MODES |= {"overwrite": OVERWRITE, "refresh": REFRESH}

# Every point, shared out over so many tests that run side by side.
EVERY: list[tuple[Pair, str]] = [
    (("sqlite", "delta"), "append"),
    (("sqlite", "sqlite"), "lookback"),
    (("delta", "parquet"), "overwrite"),
]
SHARES = 8
# A few points each; the others come to the same connectors through other doors.
SOME: list[tuple[Pair, str]] = [
    *((pair, "append") for pair in (
        ("sqlite", "sqlite"), ("sqlite", "parquet"), ("sqlite", "csv"), ("sqlite", "jsonl"),
        ("delta", "sqlite"), ("delta", "delta"), ("delta", "parquet"), ("parquet", "sqlite"),
        ("parquet", "delta"), ("parquet", "parquet"), ("csv", "delta"), ("jsonl", "csv"),
    )),
    *((pair, "delayed") for pair in (("delta", "delta"), ("sqlite", "parquet"))),
    *((pair, "upsert") for pair in (("sqlite", "delta"), ("delta", "sqlite"), ("delta", "delta"))),
    *((pair, "overwrite") for pair in (
        ("sqlite", "sqlite"), ("sqlite", "delta"), ("parquet", "delta"), ("delta", "csv"),
    )),
    (("sqlite", "delta"), "refresh"),
]  # fmt: skip
STRIDE = 13


def names(cases: list[tuple[Pair, str]]) -> list[str]:
    return [f"{source}-{destination}-{mode}" for (source, destination), mode in cases]


def schedule(kill: int, again: int = 0) -> list[Op]:
    """A first load and an increment, each killed at a point (and its repair perhaps too)."""
    repair: list[Op] = [DoRun(again)] if again else []
    first: list[Op] = [Insert(4), InsertNull(), DoRun(kill), *repair, Insert(1), DoRun()]
    return [*first, Insert(3), Update(1), InsertNull(), DoRun(kill), *repair, Insert(2)]


def play(folder: Path, children: Children, pair: Pair, mode: str, ops: list[Op]) -> int:
    """Plays in a new house; how many runs were killed."""
    folder.mkdir()
    settings: dict[str, Any] = dict(MODES[mode])
    played = Play(House(folder, children, pair, settings))
    played.play(ops)
    return played.kills


def sweep(folder: Path, children: Children, case: tuple[Pair, str], kills: Iterator[int]) -> None:
    """Plays with each of the points, until a run has none of that number."""
    pair, mode = case
    for kill in kills:
        try:
            if not play(folder / str(kill), children, pair, mode, schedule(kill)):
                return
        except AssertionError as e:
            e.add_note(f"{pair[0]} to {pair[1]}, {mode}, killed at point {kill}")
            raise


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("case", EVERY, ids=names(EVERY))
def test_every_point(
    tmp_path: Path, children: Children, case: tuple[Pair, str], share: int
) -> None:
    sweep(tmp_path, children, case, count(share + 1, SHARES))


@pytest.mark.parametrize("case", SOME, ids=names(SOME))
def test_some_points(
    tmp_path: Path, children: Children, case: tuple[Pair, str], pytestconfig: pytest.Config
) -> None:
    every = pytestconfig.getoption("--every-point")
    few = count(1 + SOME.index(case) % STRIDE, STRIDE)
    sweep(tmp_path, children, case, count(1) if every else few)


@pytest.mark.parametrize("case", EVERY, ids=names(EVERY))
def test_a_run_that_dies_while_it_repairs_another(
    tmp_path: Path, children: Children, case: tuple[Pair, str]
) -> None:
    pair, mode = case
    for kill in (30, 60, 70):
        for again in (9, 15, 21, 27):
            folder = tmp_path / f"{kill} {again}"
            assert play(folder, children, pair, mode, schedule(kill, again)) == 4
