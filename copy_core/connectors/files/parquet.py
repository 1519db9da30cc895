"""Parquet files: types from the footers, row groups that cannot match are never read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from copy_core.connectors.files.format import (
    Format,
    Input,
    Wanted,
    Writer,
    check_unique,
    reading,
    shaped,
)
from copy_core.connectors.parquet_layout import RowGroup, open_writer
from copy_core.errors import ConfigError, TerminalError
from copy_core.schema import canonical_schema, type_name, widens

if TYPE_CHECKING:
    from copy_core.connectors.file_options import Packing

# Read by one thread: parts are what runs side by side, and each thread more keeps memory.
# Measured on 4 million rows of 8 columns: as fast as a whole-column read, a third of a dataset
# scan's memory. A memory map would be no faster, and a file cut short would kill the process.
_BUFFER = 1 << 20


class Parquet(Format):
    """Parquet.

    Args:
        packing: how the pages of files that are written are packed.
    """

    extension = ".parquet"
    endings: ClassVar[frozenset[str]] = frozenset({".parquet", ".parq", ".pq"})
    typed = True

    def __init__(self, packing: Packing = "snappy") -> None:
        self._packing = packing

    def schema(self, file: Input) -> pa.Schema:
        with reading(file.name), file.open() as raw, _opened(raw) as parquet:
            return check_unique(parquet.schema_arrow, file.name)

    def rows(self, file: Input) -> int:
        with reading(file.name), file.open() as raw, _opened(raw) as parquet:
            return int(parquet.metadata.num_rows)

    def unify(self, schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
        merged: dict[str, pa.Field] = {}
        for file, schema in schemas:
            with reading(file):
                known = canonical_schema(schema)
            for raw, field in zip(schema, known, strict=True):
                merged[field.name] = _wider(merged.get(field.name), raw, field, file)
        for _, schema in schemas:
            for name in merged.keys() - set(schema.names):
                merged[name] = merged[name].with_nullable(True)
        return canonical_schema(pa.schema(merged.values()))

    def batches(self, file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        with reading(file.name), file.open() as raw, _opened(raw) as parquet:
            groups = _groups(parquet, raw, wanted)
            have = parquet.schema_arrow.names
            # Without a column Arrow would not even count the rows.
            chosen = [name for name in wanted.columns if name in have] or have[:1]
            size = wanted.batch_rows
            for batch in parquet.iter_batches(size, groups, chosen, use_threads=False):
                yield shaped(batch, wanted.schema, wanted.columns)

    def writer(self, sink: pa.NativeFile, schema: pa.Schema) -> Writer:
        return _ParquetWriter(sink, schema, self._packing)


class _ParquetWriter(Writer):
    """Gathers batches into row groups."""

    def __init__(self, sink: pa.NativeFile, schema: pa.Schema, packing: Packing) -> None:
        self._parquet = open_writer(sink, schema, packing)
        self._group = RowGroup(schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._group.add(batch)
        if self._group.full:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._parquet.close()

    def abandon(self) -> None:
        # Else Arrow would try to end the file when the writer is forgotten.
        self._parquet.is_open = False

    def _flush(self) -> None:
        if rows := self._group.take():
            self._parquet.write_table(rows, row_group_size=rows.num_rows)


def _opened(raw: pa.NativeFile) -> pq.ParquetFile:
    """INT96 times become microseconds: as nanoseconds, years past 2262 would wrap around."""
    return pq.ParquetFile(
        raw,
        buffer_size=_BUFFER,
        pre_buffer=False,
        coerce_int96_timestamp_unit="us",
        arrow_extensions_enabled=False,
    )


def _groups(parquet: pq.ParquetFile, raw: pa.NativeFile, wanted: Wanted) -> list[int]:
    """The row groups that may hold rows that meet a condition, by their statistics."""
    everything = list(range(parquet.num_row_groups))
    if wanted.where is None or not everything:
        return everything
    fragment = ds.ParquetFileFormat().make_fragment(raw)
    try:
        return [
            group.id for group in fragment.subset(wanted.where, schema=wanted.schema).row_groups
        ]
    except pa.ArrowException:
        # Types that Arrow cannot compare before they are cast; every row is looked at then.
        return everything


def _wider(old: pa.Field | None, raw: pa.Field, new: pa.Field, file: str) -> pa.Field:
    """The field that holds the values of both. A column that is all null has any type."""
    if pa.types.is_null(raw.type):
        return pa.field(new.name, old.type if old else pa.null(), nullable=True)
    if old is None:
        return new
    nullable = old.nullable or new.nullable
    if pa.types.is_null(old.type) or widens(new.type, old.type):
        return pa.field(new.name, new.type, nullable)
    if widens(old.type, new.type):
        return pa.field(new.name, old.type, nullable)
    raise TerminalError(
        f"the column is {_named(new.type)} here and {_named(old.type)} in other files",
        fix="Make the files agree, or copy those of one type by a pattern such as orders/2024*",
        code="incompatible-type",
        file=file,
        column=new.name,
    )


def _named(of: pa.DataType) -> str:
    try:
        return type_name(of)
    except ConfigError:
        return str(of)
