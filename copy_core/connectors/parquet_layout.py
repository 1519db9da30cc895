"""How Parquet files are laid out, for every connector that writes them. Measured, not guessed."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 1 << 20
GROUP_BYTES = 16 << 20
"""A row group ends with the batch that reaches either. Each part that is copied at the same time
holds one, and takes some 10 MB more to write it, whatever its size. It is 100,000 rows of TPC-H's
lineitem, about as many as DuckDB puts into its own; groups of twice the size are 1 % smaller."""


def open_writer(
    sink: pa.NativeFile,
    schema: pa.Schema,
    compression: Literal["none", "snappy", "gzip", "zstd"],
) -> pq.ParquetWriter:
    """A writer of one file into `sink`, which stays the caller's to close.

    Decimals of up to 18 digits become integers, as Spark writes them: that is smaller, and faster
    to write and to read.
    """
    return pq.ParquetWriter(
        sink,
        schema,
        compression=compression,
        # Arrow's own level of gzip (9) is many times slower, and saves little.
        compression_level=1 if compression == "gzip" else None,
        use_dictionary=dictionary_columns(schema),
        store_decimal_as_integer=True,
    )


def dictionary_columns(schema: pa.Schema) -> list[str]:
    """The columns that are worth a dictionary. One of numbers costs as much time as the rest of
    the writing and saves no space that compression does not save as well.
    """
    t = pa.types
    return [f.name for f in schema if t.is_string(f.type) or t.is_binary(f.type)]


class RowGroup:
    """Gathers batches until they are worth a row group."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes

    @property
    def full(self) -> bool:
        """Whether it is to be written before more is added."""
        return self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES

    def take(self) -> pa.Table:
        """All rows, which are then only the caller's: a group that is still referred to while the
        next one is gathered would double what a part takes of memory.
        """
        rows = pa.Table.from_batches(self._batches, self._schema)
        self._batches, self._rows, self._bytes = [], 0, 0
        return rows
