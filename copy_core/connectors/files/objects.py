"""Reads folders of objects as they are: what is in them does not matter, only what describes them.

A part is a range of keys. Each worker lists its range, and keeps what is in the window and meets
the patterns: neither a plan nor a state ever holds the names of a million objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.base import Source, SourceCapabilities, TableInfo
from copy_core.connectors.files.manifest import Placed
from copy_core.connectors.files.newest import FILE_MODIFIED, newest, within
from copy_core.connectors.files.patterns import matcher
from copy_core.connectors.files.places import Place, folder_of, members, names, place_of
from copy_core.connectors.files.received import ObjectDestination
from copy_core.errors import ConfigError
from copy_core.model import Slice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from copy_core.connectors.base import Destination
    from copy_core.connectors.file_options import FileOptions
    from copy_core.connectors.files.store import Entry, Store
    from copy_core.job import TableCopy
    from copy_core.watermark import Watermark

__all__ = ["ObjectDestination", "ObjectSource"]

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("modified", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
    ]
)
"""What describes an object."""

OBJECTS_PER_PART = 10_000
BYTES_PER_PART = 1 << 30
"""What one part is meant to hold: minutes of work at the slowest rates that were measured."""

_COUNTED = 5_000
# As many as a service removes in less than a second, and not so many at a time that it is busy.
_BATCH = 256
_REMOVERS = 4


class ObjectSource(Source):
    """Reads objects below a store's root.

    A table is a folder, an object or a pattern such as `orders/2024*.csv`; `.` is the root. Its
    incremental column is the time at which objects were last changed.

    Args:
        store: where they are.
        options: the connection's options.
    """

    capabilities = SourceCapabilities(incremental=True, splits=True, objects=True)

    def __init__(self, store: Store, options: FileOptions) -> None:
        del options
        self.store = store

    def objects(self) -> list[str]:
        return names(self.store)

    def describe(self, name: str, query: str = "") -> TableInfo:
        """Counts a few thousand objects; how many more there are nobody knows. There are none in
        a folder that does not exist: no store knows empty ones.
        """
        del query
        some = members(self.store, place_of(self.store, name))
        sizes = [entry.size for entry, _ in islice(some, _COUNTED)]
        known = len(sizes) < _COUNTED
        return TableInfo(
            object=name,
            schema=SCHEMA,
            rows=len(sizes) if known else None,
            bytes=sum(sizes) if known else None,
            watermarks={FILE_MODIFIED: "timestamp"},
        )

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        del column
        place = place_of(self.store, info.object)
        listing = (entry for entry, _ in members(self.store, place))
        return newest(self.store, place.prefix, listing, above)

    def count_nulls(self, info: TableInfo, column: str) -> int:
        del info, column
        return 0

    def predicate(self, part: Slice) -> str:
        bounds, window = part.range or {}, part.window
        terms = [
            ("path after", bounds.get("after")),
            ("path up to", bounds.get("to")),
            ("modified after", window.low and window.low.value),
            ("modified up to", window.high and window.high.value),
            ("path like", " or ".join(part.include)),
            ("path not like", " or ".join(part.exclude)),
        ]
        return " and ".join(f"{what} {value}" for what, value in terms if value)

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        """Cuts the listing into ranges of keys, of about the same size where that is known, and
        of what takes minutes in any case.
        """
        share = BYTES_PER_PART if info.bytes is None else max(-(-info.bytes // parts), 1)
        most = min(share, BYTES_PER_PART)
        found: list[Slice] = []
        size = count = 0
        after = last = None
        place, meets = place_of(self.store, whole.object), self._wanted(whole)
        for entry, path in members(self.store, place):
            if meets(entry, path):
                if count and (count >= OBJECTS_PER_PART or size + entry.size // 2 > most):
                    found.append(_range(whole, after, last))
                    after, size, count = last, 0, 0
                last, size, count = entry.key, size + entry.size, count + 1
            elif not count:
                after = entry.key
        return [*found, _range(whole, after, last)]

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        listing = self.entries(part)
        while some := list(islice(listing, batch_rows)):
            columns = [
                [path for _, path in some],
                [entry.size for entry, _ in some],
                [entry.modified // 1000 for entry, _ in some],
                [entry.etag for entry, _ in some],
            ]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
            yield pa.record_batch(arrays, schema=SCHEMA).select(list(part.columns))

    def entries(self, part: Slice) -> Iterator[tuple[Entry, str]]:
        """The objects of a part as they are now, each with its path below the table's folder."""
        bounds = part.range or {}
        after, to = bounds.get("after") or "", bounds.get("to")
        place, meets = place_of(self.store, part.object), self._wanted(part)
        for entry, path in members(self.store, place, after):
            if to is not None and entry.key > to:
                return
            if meets(entry, path):
                yield entry, path

    def keeps(self, part: Slice) -> Callable[[Entry], bool]:
        """Whether an object that changed while it was read is still one of a part; if not, it is
        one of a later window.
        """
        holds = within(part.window)
        return lambda entry: holds(entry.modified)

    def place(self, name: str) -> Place:
        """What a name stands for."""
        return place_of(self.store, name)

    def discard(self, copied: Iterable[Placed]) -> None:
        """Removes objects that were copied, if they are the same still. May be called again."""
        waiting = ((placed.source, placed.etag) for placed in copied)
        batches = iter(lambda: list(islice(waiting, _BATCH)), [])
        with ThreadPoolExecutor(_REMOVERS, thread_name_prefix="discard") as pool:
            while some := list(islice(batches, _REMOVERS)):
                list(pool.map(self.store.discard, some))

    def close(self) -> None:
        self.store.close()

    def _wanted(self, part: Slice) -> Callable[[Entry, str], bool]:
        holds, meets = within(part.window), matcher(part.include, part.exclude)
        return lambda entry, path: holds(entry.modified) and meets(path)


def check_apart(source: Source, destination: Destination, table: TableCopy) -> None:
    """Refuses to copy objects into the folder that they are in, or one that would be replaced.

    Raises:
        ConfigError: the one folder lies in the other, in the same store.
    """
    assert isinstance(source, ObjectSource)  # noqa: S101 - their capabilities say so
    assert isinstance(destination, ObjectDestination)  # noqa: S101 - likewise
    place = source.place(table.source)
    here = f"{source.store.label.rstrip('/')}/{place.base}"
    there = f"{destination.store.label.rstrip('/')}/{folder_of(table.destination)}"
    below = there.startswith(here) if place.whole else there == here
    above = here.startswith(there) and table.write == "overwrite"
    if below or above:
        raise ConfigError(
            "the objects would be copied into the folder that they are in"
            if below
            else "the overwrite would remove the objects that it copies, which are in its folder",
            fix="Copy them to a folder beside it",
            code="copied-onto-itself",
            table=table.source,
        )
    if not place.whole and table.source == table.destination:
        raise ConfigError(
            "objects are copied into a folder, and this is the name of one object, or a pattern",
            fix="Name the folder to copy to in `destination`; `.` is the root",
            code="destination-missing",
            table=table.source,
        )


def _range(whole: Slice, after: str | None, to: str | None) -> Slice:
    return whole.model_copy(update={"range": {"after": after, "to": to}})
