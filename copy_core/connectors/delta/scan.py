"""The data files of one version of a table, and which of them to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from copy_core.connectors.delta import partitions
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.rows import INT96, DataFile, Rows, Span, Where
from copy_core.connectors.delta.storage import Lake
from copy_core.connectors.delta.versions import COMMIT_VERSION, Pin, hidden
from copy_core.errors import ConfigError
from copy_core.schema import copyable


class Position(NamedTuple):
    """A place between two rows of a version of a table.

    Attributes:
        file: the number of the file, in the order of their paths.
        row: the number of the row in it that comes next.
    """

    file: int
    row: int


class Scan:
    """One version of a table.

    Attributes:
        pin: the version.
        schema: its columns, canonical.
        uncopyable: those that are not in it, and why.
        hidden: those that are read besides when they are named.
        readable: both.
        files: its data files, sorted by path.
        data: reads them.
    """

    def __init__(
        self, lake: Lake, name: str, table: DeltaTable, adds: pa.Table | None = None
    ) -> None:
        """All of a version, or its rows in some files alone, as `log.as_adds` gives them."""
        self.name, self.pin = name, Pin.of(table)
        self.schema, self.uncopyable = copyable(pa.schema(table.schema().to_arrow()))
        self.hidden = hidden(self.schema)
        self.readable = pa.schema([*self.schema, *self.hidden])
        self._partitions = table.metadata().partition_columns
        with faults(table=name):
            if adds is None:
                adds = pa.table(table.get_add_actions(flatten=True))
            paths = [inside(path, name) for path in adds["path"].to_pylist()]
            sizes = dict(zip(paths, adds["size_bytes"].to_pylist(), strict=True))
            files = lake.files(name, sizes)
        self._adds = adds.set_column(0, "path", pa.array(paths, pa.string())).sort_by("path")
        self._format = ds.ParquetFileFormat(
            read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit=INT96)
        )
        self.data = Rows(files, name, self.readable)
        self.files = [
            DataFile(
                number,
                path,
                sizes[path],
                rows,
                self._format.make_fragment(path, files, self._promise(number)),
                self._partition(number),
                self._version(number),
            )
            for number, (path, rows) in enumerate(
                zip(
                    self._adds["path"].to_pylist(),
                    self._adds["num_records"].to_pylist(),
                    strict=True,
                )
            )
        ]
        fragments = [file.fragment for file in self.files]
        self._dataset = ds.FileSystemDataset(fragments, self.readable, self._format, files)

    @property
    def rows(self) -> int | None:
        """How many rows the log says there are; None when a file's count is missing."""
        counts = [file.rows for file in self.files]
        return None if None in counts else sum(filter(None, counts))

    def holding(self, where: Where | None) -> list[DataFile]:
        """The files that may hold rows that meet a condition, by partitions and statistics."""
        if where is None:
            return self.files
        with faults(table=self.name):
            fragments = self._dataset.get_fragments(filter=where.expression)
            kept = {fragment.path for fragment in fragments}
        return [file for file in self.files if file.path in kept]

    def upper(self, file: DataFile, column: str) -> pa.Scalar[Any] | None:
        """A value that no value of the column in the file exceeds; None when nobody knows."""
        _, high = self._bounds(file.number, self.schema.field(column))
        return high

    def cuts(self, where: Where | None, parts: int) -> list[Position]:
        """Where to cut the table so that the files that may hold rows under a condition fall into
        at most `parts` parts of about the same size. The first is its beginning, the last its end.
        """
        files = self.holding(where)
        total = sum(file.size for file in files)
        cuts, before = {Position(0, 0), Position(len(self.files), 0)}, 0
        for file in files:
            for part in range(1, parts):
                share = (total * part / parts - before) / max(file.size, 1)
                if 0 <= share < 1:
                    cuts.add(Position(file.number, int(share * (file.rows or 0))))
            before += file.size
        return sorted(cuts)

    def between(self, files: Iterable[DataFile], start: Position, end: Position) -> Iterator[Span]:
        """The rows of `files` that lie between two positions."""
        for file in files:
            if start.file <= file.number <= end.file:
                first = start.row if file.number == start.file else 0
                stop = end.row if file.number == end.file else None
                yield Span(file, first, stop)

    def _promise(self, number: int) -> pc.Expression:
        """What the log says of every row of a file.

        delta-rs has such an expression too, but takes a bound that is missing for null, which
        denies every row (1.6.6). Bounds of floats hide NaN, those of decimals pass through floats
        in many writers: they promise nothing.
        """
        promise = partitions.promise(self._partition(number))
        if (version := self._version(number)) is not None:
            promise &= pc.field(COMMIT_VERSION) == version
        rows = self._adds["num_records"][number].as_py()
        for field in self.schema:
            column = pc.field(field.name)
            if field.name in self._partitions:
                continue
            nulls = self._value(f"null_count.{field.name}", number).as_py()
            if nulls is not None and nulls == rows:
                promise &= column.is_null()
                continue
            low, high = self._bounds(number, field)
            terms = [column >= low] if low is not None else []
            terms += [column <= high] if high is not None else []
            for term in terms:
                promise &= term if nulls == 0 else (term | column.is_null())
            if nulls == 0:
                promise &= column.is_valid()
        return promise

    def _bounds(
        self, number: int, field: pa.Field
    ) -> tuple[pa.Scalar[Any] | None, pa.Scalar[Any] | None]:
        """The least and the largest value of a column in a file, where the log can be trusted."""
        t, kind = pa.types, field.type
        if not (t.is_integer(kind) or t.is_date(kind) or t.is_timestamp(kind) or t.is_string(kind)):
            return None, None
        low, high = (self._value(f"{end}.{field.name}", number) for end in ("min", "max"))
        if not (low.is_valid and high.is_valid):
            return None, None
        low, high = low.cast(kind), high.cast(kind)
        if t.is_timestamp(kind):
            # Maxima of times are cut off after the milliseconds.
            high = pc.add(high, pa.scalar(999, pa.duration("us")))
        return low, high

    def _partition(self, number: int) -> dict[str, pa.Scalar[Any]]:
        """The values of the partition columns in a file."""
        return {
            name: self._value(f"partition.{name}", number).cast(self.schema.field(name).type)
            for name in self._partitions
        }

    def _version(self, number: int) -> int | None:
        """What `COMMIT_VERSION` is in a file; None where the table has a column of that name."""
        if not self.hidden.names:
            return None
        told: int | None = self._value(COMMIT_VERSION, number).as_py()
        return self.pin.version if told is None else told

    def _value(self, column: str, number: int) -> pa.Scalar[Any]:
        # A column may be called like one of the log's own, or like a field of a struct.
        if self._adds.column_names.count(column) != 1:
            return pa.scalar(None)
        return self._adds[column][number]


def inside(path: str, name: str) -> str:
    """A path of the log as the file system has it.

    Raises:
        ConfigError: it leads out of the table's folder.
    """
    decoded = unquote(path)
    if "://" in path or decoded.startswith("/") or ".." in decoded.split("/"):
        raise ConfigError(
            "the Delta table is a shallow clone: its files are in another table's folder",
            fix="Copy from that table, or make a full clone",
            code="table-feature",
            table=name,
            file=path,
        )
    return decoded
