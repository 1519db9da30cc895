"""Rows into Parquet files of one partition each: in bounded memory, none left by an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from pyarrow import fs as pafs

from copy_core.connectors.delta import partitions
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.parquet import DataWriter, Written, remove

_FILE_BYTES = 512 << 20
# Rows that go into several partitions are held until they are many, for each open file holds a row
# group and a part of its upload: rows that come partition by partition make large files, and those
# that come in any order more and smaller ones, in the same memory.
_HELD_BYTES = 32 << 20
_OPEN = 4

_Partition = tuple[str | None, ...]


def write(
    files: pafs.FileSystem,
    stem: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    by: Sequence[str] = (),
) -> list[Written]:
    """Writes rows to `<stem>-0.parquet`, `<stem>-1.parquet` and so on; none for no rows.

    When anything fails, the files are removed and the error goes through; one of `batches`
    unchanged.

    Args:
        files: the table's files.
        stem: how their paths begin.
        schema: the rows' columns.
        batches: the rows.
        by: the partition columns: a file has rows of one partition.
    """
    writer = _Files(files, stem, schema, by)
    with faults():
        files.create_dir(stem.rpartition("/")[0], recursive=True)
    try:
        for batch in batches:
            if batch.num_rows:
                writer.add(batch)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return writer.written


class _Files:
    """The files of some rows while they are written: one open at a time for each partition."""

    def __init__(
        self, files: pafs.FileSystem, stem: str, schema: pa.Schema, by: Sequence[str]
    ) -> None:
        self._files, self._stem, self._by = files, stem, by
        self._schema = pa.schema([field for field in schema if field.name not in by])
        self._paths: list[str] = []
        self._held: dict[_Partition, list[pa.RecordBatch]] = {}
        self._sizes: dict[_Partition, int] = {}
        self._open: dict[_Partition, DataWriter] = {}
        self.written: list[Written] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        if not self._by:
            self._write((), batch)
            return
        for partition, rows in partitions.apart(batch, self._by):
            inside = rows.select(self._schema.names)
            self._held.setdefault(partition, []).append(inside)
            self._sizes[partition] = self._sizes.get(partition, 0) + inside.nbytes
        while sum(self._sizes.values()) > _HELD_BYTES:
            self._flush(max(self._sizes, key=self._sizes.__getitem__))

    def close(self) -> None:
        """Makes all files whole."""
        for partition in list(self._held):
            self._flush(partition)
        for partition in list(self._open):
            self._close(partition)

    def abandon(self) -> None:
        """Removes all files."""
        for file in self._open.values():
            file.abandon()
        remove(self._files, self._paths)

    def _flush(self, partition: _Partition) -> None:
        del self._sizes[partition]
        for batch in self._held.pop(partition):
            self._write(partition, batch)

    def _write(self, partition: _Partition, batch: pa.RecordBatch) -> None:
        file = self._open.get(partition)
        if file is None:
            if len(self._open) == _OPEN:
                self._close(max(self._open, key=lambda key: self._open[key].size))
            self._paths.append(f"{self._stem}-{len(self._paths)}.parquet")
            values = dict(zip(self._by, partition, strict=True))
            file = DataWriter(self._files, self._paths[-1], self._schema, values)
            self._open[partition] = file
        file.write(batch)
        if file.size >= _FILE_BYTES:
            self._close(partition)

    def _close(self, partition: _Partition) -> None:
        self.written.append(self._open[partition].close())
        del self._open[partition]
