"""Many random schedules, shared out over processes."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.crash.children import Children
from tests.crash.house import House
from tests.crash.look import Violation
from tests.crash.memory import MemoryHouse
from tests.crash.ops import MODES, Op, schedules
from tests.crash.play import Play

SHARE = 25
"""Schedules that one worker plays in one go."""
EVERY_REAL = 20
"""One share of so many is played between real systems, and killed by SIGKILL."""
PAIRS = [("sqlite", "delta"), ("delta", "sqlite"), ("sqlite", "parquet"), ("delta", "delta")]


class Share(NamedTuple):
    """Some schedules of one mode; `pair` is None for those in memory."""

    mode: str
    pair: tuple[str, str] | None
    size: int
    seed: int


class Done(NamedTuple):
    """What became of a share."""

    schedules: int
    kills: int
    violations: Counter[str]
    report: str


def shares(total: int, first_seed: int) -> Iterator[Share]:
    """Shares that hold so many schedules together, each with a seed of its own."""
    modes = list(MODES)
    for number, start in enumerate(range(0, total, SHARE)):
        mode = modes[number % len(modes)]
        real = number // len(modes) % EVERY_REAL == 0
        pair = PAIRS[number % len(PAIRS)]
        if MODES[mode]["write"] == "upsert" and pair[1] == "parquet":
            pair = ("sqlite", "sqlite")
        size = min(SHARE, total - start)
        yield Share(mode, pair if real else None, size, first_seed * 1_000_003 + number)


def play(share: Share) -> Done:
    """Plays the schedules of a share, up to the first violation, which is then made small."""
    logging.getLogger("copyjob").setLevel(logging.CRITICAL)
    played = Counter[str]()

    @seed(share.seed)
    @settings(
        max_examples=share.size,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(ops=schedules)
    def plays(ops: list[Op]) -> None:
        played["schedules"] += 1
        played["kills"] += _play(share, children, ops)

    with Children() as children:
        try:
            plays()
        except Exception as e:  # noqa: BLE001 - whatever was found is reported
            kinds = Counter(error.kind for error in _violations(e)) or Counter(["error"])
            report = "\n".join([f"{share}: {e}", *getattr(e, "__notes__", [])])
            return Done(played["schedules"], played["kills"], kinds, report)
    return Done(played["schedules"], played["kills"], Counter(), "")


def _play(share: Share, children: Children, ops: list[Op]) -> int:
    rules = dict(MODES[share.mode])
    with TemporaryDirectory() as folder:
        house = (
            House(Path(folder), children, share.pair, rules) if share.pair else MemoryHouse(rules)
        )
        try:
            played = Play(house)
            played.play(ops)
        finally:
            house.close()
    return played.kills


def _violations(error: BaseException) -> Iterator[Violation]:
    if isinstance(error, Violation):
        yield error
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _violations(each)


def run(wanted: int, first_seed: int, workers: int) -> int:
    """Plays them all, prints progress and a summary; 1 when a promise was broken, else 0."""
    total, violations, shown = Counter[str](), Counter[str](), time.monotonic()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(play, s) for s in shares(wanted, first_seed)]):
            done = future.result()
            total.update(schedules=done.schedules, kills=done.kills)
            violations += done.violations
            if done.report:
                print(done.report, file=sys.stderr, flush=True)
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                print(f"... {total['schedules']} of {wanted}", file=sys.stderr, flush=True)
    other = violations.total() - violations["lost"] - violations["doubled"]
    print(
        f"crash: {total['schedules']} schedules, {total['kills']} kills,"
        f" {violations['lost']} lost, {violations['doubled']} doubled"
        + (f", {other} otherwise broken" if other else "")
    )
    return 1 if violations else 0
