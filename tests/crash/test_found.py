"""Schedules that once broke a promise, each as small as it could be made, at every point."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.memory import MemoryHouse
from tests.crash.ops import LOOKBACK, DoRun, Insert, InsertNull, LoseState, Op, Redefine
from tests.crash.play import Play

FOUND: dict[str, Callable[[int], list[Op]]] = {
    # What a lost state took over from the ledger lacked the definition that it belongs to.
    "a job file changes after a run that died on a lost state": lambda kill: [
        Insert(),
        DoRun(),
        LoseState(),
        Insert(),
        DoRun(kill),
        Redefine(parts=1),
    ],
    # The ledger of a table that has no value yet reads as if it had been copied in full.
    "the state of a table without a value is lost": lambda kill: [
        InsertNull(),
        DoRun(),
        LoseState(),
        DoRun(kill),
    ],
}


@pytest.mark.parametrize("found", FOUND)
def test_found_once(found: str) -> None:
    for kill in range(1, 90):
        house = MemoryHouse(dict(LOOKBACK))
        try:
            Play(house).play(FOUND[found](kill))
        finally:
            house.close()
