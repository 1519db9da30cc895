"""Signals that end a command: the first asks it to stop, a later one kills it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SAME_WISH_S = 1.0


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within it, the first SIGINT or SIGTERM calls `stop`; a later one kills.

    What comes within a second is the same wish: a terminal, `timeout` and `make` may all pass
    one Ctrl-C on.

    Args:
        stop: asks whatever runs to stop; called in a signal handler.
    """
    asked: list[float] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        asked.append(time.monotonic())
        if len(asked) == 1:
            stop()
        elif asked[-1] - asked[0] > _SAME_WISH_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    old = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in old.items():
            signal.signal(each, handler)
