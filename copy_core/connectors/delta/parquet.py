"""A Parquet file for a Delta table, and what its log has to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Literal

import pyarrow as pa
from deltalake.exceptions import DeltaError
from pyarrow import fs as pafs

from copy_core.connectors.delta import partitions
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.stats import Statistics
from copy_core.connectors.parquet_layout import RowGroup, open_writer
from copy_core.model import Record

# Measured on 2 million rows: a tenth slower to write than snappy, and 40 % smaller.
_COMPRESSION: Literal["zstd"] = "zstd"


class Written(Record):
    """A Parquet file that was written.

    Attributes:
        path: below the table's folder.
        size: in bytes.
        rows: how many rows it has.
        stats: its statistics, as the log keeps them.
        nulls: how many nulls each column has.
        partition: the values of the partition columns, which it does not have.
    """

    path: str
    size: int
    rows: int
    stats: str
    nulls: dict[str, int]
    partition: partitions.Values = {}


def remove(files: pafs.FileSystem, paths: Sequence[str]) -> None:
    """Removes files; one that is not there is no error."""
    for path in paths:
        with faults(), suppress(FileNotFoundError):
            files.delete_file(path)


class DataWriter:
    """A file while it is written."""

    def __init__(
        self,
        files: pafs.FileSystem,
        path: str,
        schema: pa.Schema,
        partition: partitions.Values,
    ) -> None:
        self._path, self._partition = path, partition
        self._group = RowGroup(schema)
        self._statistics = Statistics(schema)
        with faults(file=path):
            self._sink = files.open_output_stream(path)
            self._parquet = open_writer(self._sink, schema, _COMPRESSION)

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return int(self._sink.tell())

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        self._group.add(batch)
        if self._group.full:
            self._flush()

    def close(self) -> Written:
        """Makes the file whole."""
        self._flush()
        with faults(file=self._path):
            self._parquet.close()
            size = self._sink.tell()
            self._sink.close()
        # What the file says of itself, not what was meant to go in.
        rows = self._parquet.writer.metadata.num_rows
        absent = {name: rows for name, value in self._partition.items() if value is None}
        return Written(
            path=self._path,
            size=size,
            rows=rows,
            stats=self._statistics.text(rows),
            nulls=self._statistics.null_counts() | absent,
            partition=self._partition,
        )

    def abandon(self) -> None:
        """Ends it as it is, to be removed."""
        # Else Arrow would try to end the file when the writer is forgotten.
        self._parquet.is_open = False
        with suppress(DeltaError, OSError, pa.ArrowException):
            self._sink.close()  # What could not be written is not wanted any more.

    def _flush(self) -> None:
        if not (rows := self._group.take()):
            return
        with faults(file=self._path), ThreadPoolExecutor(1) as beside:
            counted = beside.submit(self._statistics.add, rows)
            self._parquet.write_table(rows, row_group_size=rows.num_rows)
            counted.result()
