"""What the text formats share: values as text and back, lines, blocks that grow. Exact both ways.

Dates and times are ISO 8601, with six digits and `Z` where they are UTC; numbers have all their
digits; binary is base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.files.format import Writer, bad_value
from copy_core.connectors.files.packed import Packed
from copy_core.decimals import exact_cast
from copy_core.errors import TerminalError

# Arrow reads text block by block, and a row must fit into a block. A small one keeps memory low
# and is as fast; a row that is longer makes the file be read again with larger blocks.
BLOCK = 1 << 20
LONGEST_ROW = 256 << 20
# As much as this is looked at of each file to infer the types of its columns.
SAMPLE = 8 << 20
# What is turned into text at a time: Arrow's text arrays end at 2 GB.
_CHUNK = 16 << 20


LONG = {"integers": "long"}
"""Metadata of an inferred column of integers: a float would not keep the digits of all of them."""


def long_integers(schemas: Sequence[tuple[str, pa.Schema]]) -> Iterator[tuple[str, str]]:
    """The files and columns that are marked as `LONG`."""
    for file, schema in schemas:
        yield from ((file, field.name) for field in schema if field.metadata)


def streamed(open_at: Callable[[int], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """The batches of a file whose rows may be longer than a block.

    Args:
        open_at: reads the file from its beginning, in blocks of so many bytes.
    """
    block, done = BLOCK, 0
    while True:
        skip = done
        try:
            for batch in open_at(block):
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                fresh = batch.slice(skip)
                skip = 0
                done += fresh.num_rows
                yield fresh
        except pa.ArrowInvalid as e:
            if "straddl" not in str(e):
                raise
            if block >= LONGEST_ROW:
                raise too_long() from e
            block *= 8
        else:
            return


def too_long() -> TerminalError:
    """The error for a row that takes too much memory."""
    return TerminalError(
        f"a row is longer than {LONGEST_ROW >> 20} MB",
        fix="Look for a quote that is never closed",
        code="bad-file",
    )


def sliced(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of at most so many rows."""
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def as_text(array: pa.Array) -> pa.Array:
    """Each value of a canonical type as the text that stands for it; null stays null."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_binary(kind):
        coded = [None if v is None else base64.b64encode(v).decode() for v in array.to_pylist()]
        return pa.array(coded, pa.string())
    written = array.cast(pa.string())
    if pa.types.is_timestamp(kind):
        return pc.replace_substring(written, " ", "T", max_replacements=1)
    return written


def from_text(array: pa.Array, kind: pa.DataType, column: str) -> pa.Array:
    """The values of `kind` that text stands for.

    Raises:
        TerminalError: text that stands for none; names the column.
    """
    try:
        if pa.types.is_binary(kind):
            values = array.to_pylist()
            decoded = [None if v is None else base64.b64decode(v, validate=True) for v in values]
            return pa.array(decoded, kind)
        if pa.types.is_time(kind):
            dated = pc.binary_join_element_wise("1970-01-01", array, " ")
            return dated.cast(pa.timestamp("us")).cast(kind)
        return exact_cast(array, kind)
    except (pa.ArrowException, binascii.Error) as e:
        raise bad_value(str(e), column) from e


def typed(raw: pa.RecordBatch, schema: pa.Schema, columns: Sequence[str]) -> pa.RecordBatch:
    """The chosen columns; those that Arrow read as text in the types of `schema`.

    Raises:
        TerminalError: text that stands for no value of its type; names the column.
    """
    if not columns:
        return raw.select([])
    fields = [schema.field(name) for name in columns]
    arrays = [raw.column(field.name) for field in fields]
    values = [
        array if array.type == field.type else from_text(array, field.type, field.name)
        for array, field in zip(arrays, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(values, schema=pa.schema(fields))


class LineWriter(Writer):
    """Writes each row as a line that `line` makes of a batch."""

    def __init__(
        self, sink: Packed, line: Callable[[pa.RecordBatch], pa.Array], header: str = ""
    ) -> None:
        self._sink = sink
        self._line = line
        sink.write(header.encode())

    def write(self, batch: pa.RecordBatch) -> None:
        pieces = batch.nbytes // _CHUNK + 1
        step = max(1, -(-batch.num_rows // pieces))
        for start in range(0, batch.num_rows, step):
            lines = self._line(batch.slice(start, step))
            ended = pc.binary_join_element_wise(lines, "", "\n")
            # The lines lie one after the other in Arrow's buffer: that is the file.
            text = ended.buffers()[2]
            if text is not None:
                self._sink.write(text.slice(0, pc.sum(pc.binary_length(ended)).as_py()))

    def close(self) -> None:
        self._sink.close()

    def abandon(self) -> None:
        self._sink.abandon()
