"""Random schedules: what may happen to a job, in any order."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from tests.crash.children import Children
from tests.crash.house import House
from tests.crash.memory import MemoryHouse
from tests.crash.ops import MODES, Op, schedules
from tests.crash.play import Play

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=60)
@given(ops=schedules)
def test_in_memory(mode: str, ops: list[Op]) -> None:
    house = MemoryHouse(dict(MODES[mode]))
    try:
        Play(house).play(ops)
    finally:
        house.close()


REAL = [
    (("sqlite", "delta"), "append"),
    (("sqlite", "sqlite"), "lookback"),
    (("delta", "parquet"), "delayed"),
    (("sqlite", "parquet"), "overwrite"),
]


@pytest.mark.parametrize("case", REAL, ids=lambda case: f"{'-'.join(case[0])}-{case[1]}")
def test_real(case: tuple[tuple[str, str], str], children: Children) -> None:
    pair, mode = case

    @settings(max_examples=8)
    @given(ops=schedules)
    def plays(ops: list[Op]) -> None:
        with TemporaryDirectory() as folder:
            Play(House(Path(folder), children, pair, dict(MODES[mode]))).play(ops)

    plays()
