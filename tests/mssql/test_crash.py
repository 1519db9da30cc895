"""Real kills (SIGKILL) of runs from and to a live server, at every point and at any moment."""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.crash import child
from tests.crash.children import Children
from tests.crash.house import House, Run
from tests.crash.look import Look, look_of
from tests.crash.ops import (
    APPEND,
    LOOKBACK,
    MODES,
    OVERWRITE,
    UPSERT,
    DoRun,
    Insert,
    InsertNull,
    Op,
    Update,
    schedules,
)
from tests.crash.places import Row
from tests.crash.play import Play
from tests.mssql.server import Databases

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(3600)

Pair = tuple[str, str]
BOTH: Pair = ("mssql", "mssql")
PAIRS: list[Pair] = [
    ("sqlite", "mssql"),
    ("mssql", "sqlite"),
    ("mssql", "delta"),
    ("delta", "mssql"),
    BOTH,
]
WRITES: dict[str, dict[str, Any]] = {"append": APPEND, "upsert": UPSERT, "overwrite": OVERWRITE}
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
SHARES = 4
"""The points are shared out over so many tests that run side by side."""
EXAMPLES = 5
MOMENTS = 6
CLOCKED = {"append": APPEND, "lookback": LOOKBACK, "overwrite": OVERWRITE}

each_pair = pytest.mark.parametrize("pair", PAIRS, ids="-".join)


class Struck(House):
    """A house whose next run may be killed after some seconds, whatever it is at."""

    after: float | None = None

    def look(self) -> Look:
        """Looks from this process, whose sessions stay: a new one may take the server long."""
        found: dict[str, Any] = {}
        child.work(self._spec("look"), found.update)
        return look_of(found)

    def run(self, *args: Any, **how: Any) -> Run:
        """Runs the job and kills it, once; then as any other."""
        how["after"], self.after = self.after, None
        return super().run(*args, **how)


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


def schedule(kill: int) -> list[Op]:
    """A first load that is killed at that point, and a run that repairs it, copies what is new and
    is killed at that point too.
    """
    first: list[Op] = [Insert(3), InsertNull(), DoRun(kill)]
    return [*first, Insert(2), Update(1), DoRun(kill)]


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{'-'.join(case[0])}-{case[1]}")
def test_every_point(
    tmp_path: Path, children: Children, databases: Databases, case: tuple[Pair, str], share: int
) -> None:
    pair, write = case
    for kill in count(share + 1, SHARES):
        folder = tmp_path / str(kill)
        folder.mkdir()
        killed = house(folder, children, databases, pair, WRITES[write])
        killed.among = points(pair)
        played = Play(killed)
        try:
            played.play(schedule(kill))
        except AssertionError as e:
            e.add_note(f"{'-'.join(pair)}, {write}, killed at point {kill}")
            raise
        if not played.kills:
            assert kill > SHARES, "there is no such point"
            return


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
    rng = random.Random(f"{pair} {mode}")
    struck = house(tmp_path, children, databases, pair, CLOCKED[mode])
    play = Play(struck)
    play.do(Insert(4))
    began = time.monotonic()
    struck.run()
    length = time.monotonic() - began
    play.note_run()
    play.do(Insert(3))
    for _ in range(MOMENTS):
        struck.after = rng.uniform(0, length)
        play.do(DoRun())
        play.do(Insert(2))
        play.do(Update(rng.randrange(5)))
    play.play([])
