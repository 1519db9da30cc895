"""Kills of runs that meet a live server: at points that are shared out, and at any moment."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

from tests.crash import child
from tests.crash.house import House, Run
from tests.crash.look import Look, look_of
from tests.crash.ops import (
    APPEND,
    LOOKBACK,
    OVERWRITE,
    UPSERT,
    DoRun,
    Insert,
    InsertNull,
    Op,
    Update,
)
from tests.crash.play import Play

Pair = tuple[str, str]
"""The kinds of a source and a destination."""

WRITES: dict[str, dict[str, Any]] = {"append": APPEND, "upsert": UPSERT, "overwrite": OVERWRITE}
CLOCKED = {"append": APPEND, "lookback": LOOKBACK, "overwrite": OVERWRITE}
SHARES = 4
"""The points are shared out over so many tests that run side by side."""
_MOMENTS = 6


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


def _schedule(kill: int) -> list[Op]:
    """A first load that is killed at that point, and a run that repairs it, copies what is new and
    is killed at that point too.
    """
    first: list[Op] = [Insert(3), InsertNull(), DoRun(kill)]
    return [*first, Insert(2), Update(1), DoRun(kill)]


def play_points(killed: Iterable[tuple[int, Struck]], name: str) -> None:
    """Plays the schedule in each of these houses, killed at the point of its number, until there is
    no such point.
    """
    for kill, house in killed:
        played = Play(house)
        try:
            played.play(_schedule(kill))
        except AssertionError as e:
            e.add_note(f"{name}, killed at point {kill}")
            raise
        if not played.kills:
            assert kill > SHARES, "there is no such point"
            return


def play_moments(struck: Struck, rng: random.Random) -> None:
    """Kills runs of a house at moments that are drawn from how long its first one took."""
    play = Play(struck)
    play.do(Insert(4))
    began = time.monotonic()
    struck.run()
    length = time.monotonic() - began
    play.note_run()
    play.do(Insert(3))
    for _ in range(_MOMENTS):
        struck.after = rng.uniform(0, length)
        play.do(DoRun())
        play.do(Insert(2))
        play.do(Update(rng.randrange(5)))
    play.play([])
