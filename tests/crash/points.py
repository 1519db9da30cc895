"""Points of a run at which something may happen: before and after every call that leaves it.

`Watched` stands between the steps and a state store, a source or a destination. It passes every
call on, and reaches a point before it, after it, and at every batch of rows that goes through; of
files that are copied as they are, at every call of the stores that they lie in.
Production code knows nothing of it: it is put in place of what the registry opens.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from copy_core.connectors import registry
from copy_core.connectors.options import Connection
from copy_core.connectors.registry import open_destination as _open_destination
from copy_core.connectors.registry import open_source as _open_source
from copy_core.state.base import StateStore

# The thread that renews a run's lease. It beats by the clock, so that only a slow machine would
# have its points, and it comes while a call of the run is under way.
_HEARTBEAT = "lease of "


class Points:
    """Counts the points of one run, from 1.

    Args:
        kill: the number of the point at which the run dies; 0 for none.
        die: makes it die; is told the point's name.
        stops: the numbers of points at which something else happens, or rather at the next one
            where no call of the run is under way.
        stop: makes it happen; is told which of the numbers are due.
        among: a pattern; points count that it is found in, and the run passes by the others.
    """

    def __init__(
        self,
        kill: int = 0,
        die: Callable[[str], None] = lambda _: None,
        stops: Iterable[int] = (),
        stop: Callable[[list[int]], None] = lambda _: None,
        among: str = "",
    ) -> None:
        self._kill, self._die = kill, die
        self._stops, self._stop = frozenset(stops), stop
        self._among = re.compile(among)
        self._due: list[int] = []
        self._lock = threading.Lock()
        self.count = 0
        self.dead: BaseException | None = None

    def reach(self, name: str, *, quiet: bool = True) -> None:
        """Arrives at a point; `quiet` when no call is under way there."""
        if threading.current_thread().name.startswith(_HEARTBEAT) or not self._among.search(name):
            return
        if self.dead is not None:
            raise self.dead
        with self._lock:
            self.count += 1
            number, due = self.count, []
            if number in self._stops:
                self._due.append(number)
            if quiet:
                due, self._due = self._due, []
        if number == self._kill:
            self._die(name)
        if due:
            self._stop(due)


class Watched:
    """A store, source or destination whose calls are points."""

    def __init__(self, role: str, inner: Any, points: Points) -> None:
        self._role, self._inner, self._points = role, inner, points

    # Who asks what it is sees through it.
    __class__ = property(lambda self: type(self._inner))

    def __enter__(self) -> Watched:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._inner.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if name == "store":
            return Watched(f"{self._role}.store", member, self._points)
        if not callable(member):
            return member
        point = f"{self._role}.{name}"

        def call(*args: Any, **named: Any) -> Any:
            self._points.reach(f"before {point}")
            if name == "stage":
                *first, batches = args
                args = (*first, self._stream(f"batch to {point}", batches))
            answer = member(*args, **named)
            if name == "read" and self._role == "source":
                return self._stream(f"batch from {point}", answer)
            self._points.reach(f"after {point}")
            return answer

        return call

    def _stream(self, point: str, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            self._points.reach(point, quiet=False)
            yield batch
        self._points.reach(f"end of {point}", quiet=False)


def watched_store(store: StateStore, points: Points) -> StateStore:
    """The store, its calls being points."""
    return cast("StateStore", Watched("store", store, points))


@contextmanager
def watched_connectors(points: Points) -> Iterator[None]:
    """All that the registry opens in the block, its calls being points."""
    before = registry.open_source, registry.open_destination

    def open_source(connection: Connection) -> Any:
        return Watched("source", _open_source(connection), points)

    def open_destination(connection: Connection) -> Any:
        return Watched("destination", _open_destination(connection), points)

    registry.open_source, registry.open_destination = open_source, open_destination
    try:
        yield
    finally:
        registry.open_source, registry.open_destination = before
