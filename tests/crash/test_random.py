"""Kills at moments that no boundary marks: within a call, by the clock or by an audit event."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.crash.children import Children
from tests.crash.house import House, Run
from tests.crash.look import check_state
from tests.crash.ops import APPEND, LOOKBACK, OVERWRITE, DoRun, Insert, Update
from tests.crash.play import Play

pytestmark = pytest.mark.timeout(900)

CASES = {
    "sqlite-delta-append": (("sqlite", "delta"), APPEND),
    "sqlite-sqlite-lookback": (("sqlite", "sqlite"), LOOKBACK),
    "sqlite-delta-lookback": (("sqlite", "delta"), LOOKBACK),
    "delta-delta-overwrite": (("delta", "delta"), OVERWRITE),
    "parquet-jsonl-append": (("parquet", "jsonl"), APPEND),
}
SEEDS = range(3)
KILLS = 4
each_case = pytest.mark.parametrize("case", CASES)


class Struck(House):
    """A house whose next run is killed at a moment of its own."""

    strike: dict[str, Any]

    def run(self, *args: Any, **how: Any) -> Run:
        """Runs the job and kills it, once; then as any other."""
        how |= self.strike
        self.strike = {}
        return super().run(*args, **how)


def struck(folder: Path, children: Children, case: str) -> tuple[Struck, Play]:
    pair, settings = CASES[case]
    house = Struck(folder, children, pair, dict(settings))
    house.strike = {}
    play = Play(house)
    for op in (Insert(4), DoRun(), Insert(3)):
        play.do(op)
    return house, play


@pytest.mark.parametrize("seed", SEEDS)
@each_case
def test_killed_by_the_clock(tmp_path: Path, children: Children, case: str, seed: int) -> None:
    rng = random.Random(f"{case} {seed}")
    house, play = struck(tmp_path, children, case)
    for _ in range(KILLS):
        house.strike = {"after": rng.uniform(0.005, 0.12)}
        play.do(DoRun())
        play.do(Insert(2))
        play.do(Update(rng.randrange(5)))
    play.play([])


@pytest.mark.parametrize("seed", SEEDS)
@each_case
def test_killed_at_an_audit_event(tmp_path: Path, children: Children, case: str, seed: int) -> None:
    rng = random.Random(f"{case} {seed}")
    house, play = struck(tmp_path, children, case)
    events = house.run().events
    assert events > 3
    play.note_run()
    for _ in range(KILLS):
        play.do(Insert(2))
        house.strike = {"event": rng.randint(1, events)}
        play.do(DoRun())
    play.play([])
    assert play.kills


@each_case
def test_runs_that_start_at_the_same_moment(tmp_path: Path, children: Children, case: str) -> None:
    house, play = struck(tmp_path, children, case)
    runs = house.race(3)
    statuses = sorted(run.summary.status for run in runs if run.summary)
    assert set(statuses) <= {"succeeded", "conflict"}
    assert "succeeded" in statuses
    check_state(house.look())
    play.note_run()
    play.play([])
