"""What happens to a real run from outside while it stands still at a point: rows come and change,
another run starts, or its lease runs out and another run does its work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.children import Children
from tests.crash.house import House
from tests.crash.ops import (
    APPEND,
    LOOKBACK,
    OVERWRITE,
    DoRun,
    Insert,
    InsertNull,
    Meanwhile,
    Oversleep,
    Rival,
    Update,
)
from tests.crash.play import Play

pytestmark = pytest.mark.timeout(900)

CASES: dict[str, tuple[tuple[str, str], dict[str, Any]]] = {
    "sqlite-delta-append": (("sqlite", "delta"), APPEND),
    "delta-sqlite-append": (("delta", "sqlite"), APPEND),
    "sqlite-sqlite-lookback": (("sqlite", "sqlite"), LOOKBACK),
    "parquet-parquet-append": (("parquet", "parquet"), APPEND),
    "sqlite-delta-overwrite": (("sqlite", "delta"), OVERWRITE),
}
HAPPENINGS: dict[str, Meanwhile] = {
    "insert": Insert(2),
    "late": Insert(1, -2),
    "update": Update(4),
    "rival": Rival(),
    "oversleep": Oversleep(),
}
POINTS = (2, 9, 17, 23, 29, 36, 45, 54, 66, 75, 80, 84)


@pytest.mark.parametrize("happening", HAPPENINGS)
@pytest.mark.parametrize("case", CASES)
def test_meanwhile(tmp_path: Path, children: Children, case: str, happening: str) -> None:
    pair, settings = CASES[case]
    what = HAPPENINGS[happening]
    first = sorted(HAPPENINGS).index(happening) % 2  # two of them share the points
    for point in POINTS[first::2]:
        folder = tmp_path / str(point)
        folder.mkdir()
        play = Play(House(folder, children, pair, dict(settings)))
        try:
            meanwhile = DoRun(meanwhile=((point, what),))
            play.play([Insert(4), InsertNull(), DoRun(), Insert(3), meanwhile, Insert(1)])
        except AssertionError as e:
            e.add_note(f"{case}, {happening} at point {point}")
            raise
