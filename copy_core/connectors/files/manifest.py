"""Manifests: what a copy of objects has placed, in sorted runs that are merged as they are read.

A run is a packed object of a line of JSON for each object, sorted by the key at the destination.
Runs that do not overlap are opened one after the other, so a million objects take no memory.
"""

from __future__ import annotations

import gzip
import heapq
import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from copy_core.errors import ConfigError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Entry, Store
    from copy_core.model import JsonDict

RUN = 10_000
"""Objects in a run."""


class Placed(NamedTuple):
    """An object that was placed.

    Attributes:
        key: its key at the destination.
        source: its key at the source.
        etag: the etag that it had there.
    """

    key: str
    source: str
    etag: str


class Run(NamedTuple):
    """A sorted run.

    Attributes:
        name: the key of its object.
        objects: how many objects it tells of.
        first: the first key at the destination.
    """

    name: str
    objects: int
    first: str


class Manifest:
    """Writes what is placed as runs.

    Args:
        store: the destination.
        stem: what the keys of the runs begin with.
    """

    def __init__(self, store: Store, stem: str) -> None:
        self._store, self._stem = store, stem
        self._held: list[Placed] = []
        self.runs: list[Run] = []

    def add(self, placed: Placed) -> None:
        """Takes in an object."""
        self._held.append(placed)
        if len(self._held) >= RUN:
            self.flush()

    def flush(self) -> None:
        """Writes what is held."""
        if not self._held:
            return
        held = list(once(sorted(self._held)))
        text = "".join(json.dumps(placed, separators=(",", ":")) + "\n" for placed in held)
        name = f"{self._stem}-{len(self.runs):05}.json.gz"
        self._store.put(name, gzip.compress(text.encode(), 6, mtime=0))
        self.runs.append(Run(name, len(held), held[0].key))
        self._held.clear()

    @property
    def count(self) -> int:
        """How many objects the runs tell of."""
        return sum(run.objects for run in self.runs)


def merged(store: Store, runs: Iterable[Run]) -> Iterator[Placed]:
    """What runs tell of, by the key at the destination.

    Raises:
        TerminalError: a run is gone (`staged-missing`).
    """
    waiting = sorted(runs, key=lambda run: run.first, reverse=True)
    heads: list[tuple[Placed, int, Iterator[Placed]]] = []
    while waiting or heads:
        while waiting and (not heads or waiting[-1].first <= heads[0][0].key):
            lines = _lines(store, waiting.pop())
            heapq.heappush(heads, (next(lines), len(waiting), lines))
        placed, number, lines = heads[0]
        yield placed
        if (following := next(lines, None)) is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following, number, lines))


def once(placed: Iterable[Placed]) -> Iterator[Placed]:
    """The same, sorted as they are.

    Raises:
        ConfigError: two objects were given one name (`name-twice`).
    """
    before: Placed | None = None
    for each in placed:
        if before is not None and before.key == each.key:
            raise ConfigError(
                f"'{before.source}' and '{each.source}' would both be called '{each.key}'",
                fix="Set `hierarchy: preserve`, or leave one of them out with `exclude`",
                code="name-twice",
                file=each.source,
            )
        yield each
        before = each


def strangers(listing: Iterable[Entry], placed: Iterable[Placed]) -> Iterator[Entry]:
    """The objects of a listing that are not among those that were placed, both sorted."""
    keys = (each.key for each in placed)
    key = next(keys, None)
    for entry in listing:
        while key is not None and key < entry.key:
            key = next(keys, None)
        if key != entry.key:
            yield entry


def to_json(runs: Iterable[Run]) -> list[JsonDict]:
    return [run._asdict() for run in runs]


def from_json(runs: Iterable[JsonDict]) -> list[Run]:
    return [Run(**run) for run in runs]


def _lines(store: Store, run: Run) -> Iterator[Placed]:
    """What a run tells of; held packed, and unpacked a line at a time."""
    if (entry := store.stat(run.name)) is None:
        raise TerminalError(
            "the list of what was placed is gone",
            fix="Run the job again; it copies the part anew",
            code="staged-missing",
            file=run.name,
        )
    with gzip.open(BytesIO(store.read(entry, 0, entry.size)), "rt", encoding="utf-8") as lines:
        for line in lines:
            yield Placed(*json.loads(line))
