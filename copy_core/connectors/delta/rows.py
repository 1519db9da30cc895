"""The rows of data files, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.versions import COMMIT_VERSION
from copy_core.decimals import exact_cast
from copy_core.errors import TerminalError

# Read by one thread: parts are what runs side by side, and each thread more keeps memory.
# Measured on 20 million rows: 1 MB reads from a disk keep 300 MB resident in all, where a dataset
# scanner keeps 650 MB to 1.4 GB and is slower. An object store is asked for whole row groups.
_LOCAL_BUFFER = 1 << 20

# Timestamps of 96 bits, as Spark still writes them, would not all fit in nanoseconds.
INT96 = "us"

ROW = "\0row"
"""The column of row numbers that `Rows.read` adds: no column of a table has this name."""


class Where(NamedTuple):
    """A condition on rows.

    Attributes:
        expression: exact, for each row.
        columns: the columns that it looks at.
    """

    expression: pc.Expression
    columns: tuple[str, ...]

    def prunes(self, schema: pa.Schema) -> bool:
        """Whether row groups may be left out by their statistics: those of floats hide NaN."""
        kinds = [schema.field(column).type for column in self.columns]
        return not any(pa.types.is_floating(kind) for kind in kinds)


class Span(NamedTuple):
    """Some rows of a file.

    Attributes:
        file: the file.
        start: the first of them.
        stop: the first that is none of them; None for all that follow.
    """

    file: DataFile
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table.

    Attributes:
        number: its place in the order of paths.
        path: below the table's folder.
        size: in bytes.
        rows: how many rows the log says it has; None when it does not.
        fragment: the file with what its partition and statistics promise.
        partition: the values of the partition columns, which the file does not have.
        version: what `COMMIT_VERSION` is in it; None where the table has no such hidden column.
    """

    number: int
    path: str
    size: int
    rows: int | None
    fragment: ds.ParquetFileFragment
    partition: Mapping[str, pa.Scalar[Any]] = field(default_factory=dict)
    version: int | None = None

    @property
    def constants(self) -> dict[str, pa.Scalar[Any]]:
        """The columns that have one value in all of its rows."""
        if self.version is None:
            return dict(self.partition)
        return {**self.partition, COMMIT_VERSION: pa.scalar(self.version, pa.int64())}


class Rows:
    """Reads data files of one schema.

    Args:
        filesystem: where their paths begin.
        table: the table's name, for errors.
        schema: the types to yield.
    """

    def __init__(
        self,
        filesystem: pafs.FileSystem,
        table: str,
        schema: pa.Schema,
    ) -> None:
        self.schema = schema
        self._filesystem, self._table = filesystem, table
        self._local = not isinstance(filesystem, pafs.PyFileSystem)

    def read(
        self,
        spans: Iterable[Span],
        columns: Sequence[str],
        batch_rows: int,
        where: Where | None = None,
        *,
        numbered: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of files that meet a condition, at most `batch_rows` at a time.

        Args:
            spans: what to read, in this order.
            columns: the columns to yield, in this order.
            batch_rows: the size of a batch.
            where: the condition; every row when it is None.
            numbered: whether a column `ROW` follows, with the numbers of the rows in their file.

        Raises:
            TerminalError: a file is missing, corrupt, or does not fit the table's schema.
        """
        wanted = list(dict.fromkeys([*columns, *(where.columns if where else ())]))
        for span in spans:
            for start, batch in self._batches(span, wanted, batch_rows, where):
                rows = batch
                if numbered:
                    rows = rows.append_column(ROW, counting(start, rows.num_rows))
                if where is not None:
                    rows = rows.filter(where.expression)
                if rows.num_rows:
                    yield rows.select([*columns, ROW] if numbered else list(columns))

    def _batches(
        self, span: Span, columns: list[str], batch_rows: int, where: Where | None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of a span in the table's types, and the number of the first of each batch."""
        file = span.file
        with _about(file.path, self._table):
            groups = None
            if where is not None and where.prunes(self.schema):
                groups = _groups(file, where, self.schema)
            if groups == set():
                return
            shape = pa.schema([self.schema.field(c) for c in columns])
            for start, batch in self._decode(span, columns, batch_rows, groups):
                yield start, _shaped(batch, shape, file.constants)

    def _decode(
        self, span: Span, columns: list[str], batch_rows: int, groups: set[int] | None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of a span as the file has them, in those row groups."""
        with self._filesystem.open_input_file(span.file.path) as source:
            file = pq.ParquetFile(
                source,
                coerce_int96_timestamp_unit=INT96,
                buffer_size=_LOCAL_BUFFER if self._local else 0,
                pre_buffer=not self._local,
            )
            constant = span.file.constants
            present = [c for c in columns if c in file.schema_arrow.names and c not in constant]
            end = 0
            for group in range(file.metadata.num_row_groups):
                start, end = end, end + file.metadata.row_group(group).num_rows
                outside = end <= span.start or (span.stop is not None and start >= span.stop)
                if outside or (groups is not None and group not in groups):
                    continue
                if present:
                    batches = file.iter_batches(batch_rows, [group], present, use_threads=False)
                else:
                    batches = _bare(end - start, batch_rows)
                for batch in batches:
                    first = max(span.start, start)
                    upto = start + batch.num_rows
                    last = upto if span.stop is None else min(span.stop, upto)
                    if first < last:
                        yield first, batch.slice(first - start, last - first)
                    start = upto


def _groups(file: DataFile, where: Where, schema: pa.Schema) -> set[int] | None:
    """The row groups that may hold rows under a condition; None where that cannot be told.

    A file says itself what Arrow type its text is read as. delta-rs writes `string_view` when it
    deletes, updates or merges, which Arrow 26 cannot compare with `string` before it is cast.
    """
    try:
        subset = file.fragment.subset(filter=where.expression, schema=schema)
    except pa.ArrowNotImplementedError:
        return None
    return {group.id for group in subset.row_groups}


def counting(start: int, rows: int) -> pa.Int64Array:
    """The numbers from `start`, `rows` of them."""
    return pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), rows), start=start - 1)


def _shaped(
    batch: pa.RecordBatch, shape: pa.Schema, constants: Mapping[str, pa.Scalar[Any]]
) -> pa.RecordBatch:
    """The batch in the table's types; columns that a file does not have are null."""
    arrays = []
    for column in shape:
        if column.name in constants:
            arrays.append(pa.repeat(constants[column.name], batch.num_rows))
        elif column.name in batch.schema.names:
            arrays.append(exact_cast(batch.column(column.name), column.type))
        else:
            arrays.append(pa.nulls(batch.num_rows, column.type))
    return pa.record_batch(arrays, schema=shape)


def _bare(rows: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Rows of which no column is asked for that the file has."""
    for start in range(0, rows, batch_rows):
        yield pa.record_batch({"": pa.nulls(min(batch_rows, rows - start))})


@contextmanager
def _about(path: str, table: str) -> Iterator[None]:
    """Errors inside are about this file; the one of a file that is gone says so."""
    try:
        with faults(file=path, table=table):
            yield
    except TerminalError as e:
        if isinstance(e.__cause__, FileNotFoundError):
            raise TerminalError(
                "the file is gone, though this version of the table names it",
                fix="If the table was vacuumed meanwhile, run again: that reads the newest version;"
                " if the newest lacks the file too, RESTORE the table to an older version, or take"
                " the file off it with FSCK REPAIR TABLE (which gives its rows up)",
                code="file-missing",
                table=table,
                file=path,
            ) from e.__cause__
        raise TerminalError(
            f"the file cannot be read: {e.what}",
            fix="Put back a whole file, or RESTORE the table to a version that does not name it",
            code="corrupt-file",
            table=table,
            file=path,
        ) from e.__cause__
