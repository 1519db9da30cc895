"""Parquet files for a Delta table: written in bounded memory, and none left behind by an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.stats import Statistics
from copy_core.connectors.parquet_layout import GROUP_BYTES, GROUP_ROWS, dictionary_columns
from copy_core.model import Record

_FILE_BYTES = 512 << 20
_BATCH_ROWS, _BUFFER_BYTES = 1 << 16, 1 << 20
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
    """

    path: str
    size: int
    rows: int
    stats: str
    nulls: dict[str, int]


def write(
    files: pafs.FileSystem, stem: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> list[Written]:
    """Writes rows to `<stem>-0.parquet`, `<stem>-1.parquet` and so on; none for no rows.

    When anything fails, the files are removed and the error goes through; one of `batches`
    unchanged.
    """
    written: list[Written] = []
    groups = _groups(batches, schema)
    with faults():
        files.create_dir(stem.rpartition("/")[0], recursive=True)
    try:
        while (first := next(groups, None)) is not None:
            path = f"{stem}-{len(written)}.parquet"
            written.append(Written(path=path, size=0, rows=0, stats="", nulls={}))
            written[-1] = _write_file(files, path, schema, first, groups)
    except BaseException:
        remove(files, [file.path for file in written])
        raise
    return written


def remove(files: pafs.FileSystem, paths: Sequence[str]) -> None:
    """Removes files; one that is not there is no error."""
    with faults():
        for path, info in zip(paths, files.get_file_info(list(paths)), strict=True):
            if info.type == pafs.FileType.File:
                files.delete_file(path)


def rows_of(files: pafs.FileSystem, file: Written) -> Iterator[pa.RecordBatch]:
    """The rows of a file that was written."""
    with faults(file=file.path), files.open_input_file(file.path) as source:
        parquet = pq.ParquetFile(source, buffer_size=_BUFFER_BYTES)
        yield from parquet.iter_batches(_BATCH_ROWS)


def _write_file(
    files: pafs.FileSystem,
    path: str,
    schema: pa.Schema,
    first: pa.Table,
    groups: Iterator[pa.Table],
) -> Written:
    """Writes row groups to one file until it is full or there are no more."""
    group: pa.Table | None = first
    statistics = Statistics(schema)
    with faults(file=path):
        sink = files.open_output_stream(path)
        writer = pq.ParquetWriter(
            sink, schema, compression=_COMPRESSION, use_dictionary=dictionary_columns(schema)
        )
    try:
        with ThreadPoolExecutor(1) as beside:
            while group is not None:
                with faults(file=path):
                    counted = beside.submit(statistics.add, group)
                    writer.write_table(group, row_group_size=group.num_rows)
                    counted.result()
                    full = sink.tell() >= _FILE_BYTES
                group = None if full else next(groups, None)
    finally:
        with faults(file=path):
            writer.close()
            size = sink.tell()
            sink.close()
    # What the file says of itself, not what was meant to go in.
    rows = writer.writer.metadata.num_rows
    return Written(
        path=path,
        size=size,
        rows=rows,
        stats=statistics.text(rows),
        nulls=statistics.null_counts(),
    )


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Gathers batches to row groups."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if batch.num_rows:
            held.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(held, schema)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema)
