"""Real kills (SIGKILL) of runs from and to a live server, at every point and at any moment."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.crash.children import Children
from tests.crash.ops import (
    APPEND,
    MODES,
    Op,
    schedules,
)
from tests.crash.places import Row
from tests.crash.play import Play
from tests.mssql.kills import CLOCKED, SHARES, WRITES, Pair, Struck, play_moments, play_points
from tests.mssql.server import Databases

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(3600)

BOTH: Pair = ("mssql", "mssql")
PAIRS: list[Pair] = [
    ("sqlite", "mssql"),
    ("mssql", "sqlite"),
    ("mssql", "delta"),
    ("delta", "mssql"),
    BOTH,
]
# What a server does as source does not depend on what it is copied to, nor the other way round.
CASES: list[tuple[Pair, str]] = [
    (BOTH, "append"),
    (BOTH, "upsert"),
    (BOTH, "overwrite"),
    (("delta", "mssql"), "append"),
    (("sqlite", "mssql"), "upsert"),
    (("delta", "mssql"), "overwrite"),
    (("mssql", "sqlite"), "append"),
    (("mssql", "delta"), "overwrite"),
]
EXAMPLES = 5

each_pair = pytest.mark.parametrize("pair", PAIRS, ids="-".join)


def house(
    folder: Path, children: Children, databases: Databases, pair: Pair, rules: dict[str, Any]
) -> Struck:
    """A new house; the servers' databases are empty again."""
    source, target = (
        f"mssql:{databases.take(role).name}" if kind == "mssql" else kind
        for role, kind in zip(("source", "target"), pair, strict=True)
    )
    return Struck(folder, children, (source, target), dict(rules))


def points(pair: Pair) -> str:
    """The points that a server has to do with. Between two servers these are all but those at which
    everything is as it was at the one before: around a look into the state, before a change of it.
    """
    if pair == BOTH:
        return r" (source|destination)|after store\.(put|delete)"
    return " source" if pair[0] == "mssql" else " destination"


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{'-'.join(case[0])}-{case[1]}")
def test_every_point(
    tmp_path: Path, children: Children, databases: Databases, case: tuple[Pair, str], share: int
) -> None:
    pair, write = case

    def houses() -> Iterator[tuple[int, Struck]]:
        for kill in count(share + 1, SHARES):
            folder = tmp_path / str(kill)
            folder.mkdir()
            killed = house(folder, children, databases, pair, WRITES[write])
            killed.among = points(pair)
            yield kill, killed

    play_points(houses(), f"{'-'.join(pair)}, {write}")


def test_a_first_load_goes_on_where_it_stopped(
    tmp_path: Path, children: Children, databases: Databases
) -> None:
    stopped = house(tmp_path, children, databases, BOTH, {**APPEND, "parts": 4})
    stopped.among = "before destination.publish"
    rows: list[Row] = [(n, n, n) for n in range(1, 41)]
    stopped.source.insert(rows)
    assert stopped.run(1).at == stopped.among
    assert len(stopped.look().waiting) == 4
    stopped.source.update((1, 1, 99))  # it has been read, and is not read again
    summary = stopped.run().summary
    assert summary is not None
    assert (summary.status, summary.tables[0].resumed) == ("succeeded", True)
    assert (stopped.look().rows, stopped.look().waiting) == (Counter(rows), [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[2], PAIRS[4]], ids="-".join)
def test_any_schedule(pair: Pair, mode: str, children: Children, databases: Databases) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(ops=schedules)
    def plays(ops: list[Op]) -> None:
        with TemporaryDirectory() as folder:
            Play(house(Path(folder), children, databases, pair, MODES[mode])).play(ops)

    plays()


@pytest.mark.parametrize("mode", CLOCKED)
@each_pair
def test_any_moment(
    tmp_path: Path, children: Children, databases: Databases, pair: Pair, mode: str
) -> None:
    struck = house(tmp_path, children, databases, pair, CLOCKED[mode])
    play_moments(struck, random.Random(f"{pair} {mode}"))
