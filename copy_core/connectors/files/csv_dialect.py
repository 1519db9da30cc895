"""Arrow's reader of CSV, asked so that no value changes on its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from copy_core.connectors.files.encoded import as_utf8
from copy_core.connectors.files.text import typed
from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.file_options import CsvOptions
    from copy_core.connectors.files.format import Input

_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]


class Dialect:
    """Reads the CSV of a connection.

    Args:
        options: how the connection writes CSV.
        lenient: rows of too many or too few values are passed over when types are looked for.
    """

    def __init__(self, options: CsvOptions, *, lenient: bool = False) -> None:
        self.options = options
        self.lenient = lenient

    @contextmanager
    def text(self, file: Input) -> Iterator[pa.NativeFile | None]:
        """A file's text in UTF-8; None when it is empty."""
        with file.stream() as stream:
            empty = not stream.read(1)
        if empty:
            yield None
            return
        with file.stream() as stream:
            yield as_utf8(stream, self.options.encoding, file.name)

    def open(
        self,
        stream: pa.NativeFile,
        options: arrow_csv.ReadOptions,
        *,
        alone: bool = False,
        lenient: bool = False,
        **convert: Any,
    ) -> arrow_csv.CSVStreamingReader:
        """Arrow's reader of a text.

        Args:
            stream: the text.
            options: how to read it.
            alone: it has one column alone.
            lenient: rows of too many or too few values are passed over.
            **convert: what to make of the values.
        """
        return arrow_csv.open_csv(
            stream,
            options,
            # In a file of one column an empty line is a row without a value.
            arrow_csv.ParseOptions(
                delimiter=self.options.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=not alone,
                invalid_row_handler=(lambda _: "skip") if lenient else None,
            ),
            arrow_csv.ConvertOptions(
                null_values=[self.options.null],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=_TRUE,
                false_values=_FALSE,
                **convert,
            ),
        )

    def names(self, head: bytes) -> list[str]:
        """The names of the columns that the first line of a text tells."""
        options = arrow_csv.ReadOptions(use_threads=False)
        with self.open(pa.BufferReader(head + b"\n"), options) as reader:
            return list(reader.schema.names)

    def rows(
        self,
        stream: pa.NativeFile,
        schema: pa.Schema,
        columns: Sequence[str],
        block: int,
        *,
        names: Sequence[str] | None,
        lenient: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a text.

        Args:
            stream: the text.
            schema: the columns of the whole table; one that the text lacks is null.
            columns: which of them to read.
            block: how many bytes to read at a time; a row must fit in.
            names: the columns that the text has; None when its first line tells.
            lenient: rows of too many or too few values are passed over.

        Raises:
            ArrowInvalid: a damaged text, or a value that does not fit.
            TerminalError: a value that does not fit; gives the number of its row.
        """
        options = arrow_csv.ReadOptions(
            # One thread is as fast here, and knows the number of a row that does not fit.
            use_threads=False,
            block_size=block,
            column_names=names,
        )
        # Columns that nobody asked for are not converted; of none, the first counts the rows.
        chosen = list(dict.fromkeys(columns)) or schema.names[:1]
        kinds = {name: schema.field(name).type for name in chosen}
        extra = {
            "column_types": _parsed(kinds),
            "include_columns": chosen,
            "include_missing_columns": True,
        }
        alone, done = len(schema.names) == 1, int(names is None)
        with self.open(stream, options, alone=alone, lenient=lenient, **extra) as reader:
            for batch in reader:
                yield _typed(batch, schema, columns, done)
                done += batch.num_rows


def _parsed(kinds: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
    """What Arrow's reader is asked for; base64 is text to it, and decimals that it parses itself
    may wrap around.
    """
    t = pa.types
    return {
        n: pa.string() if t.is_binary(kind) or t.is_decimal(kind) else kind
        for n, kind in kinds.items()
    }


def _typed(
    raw: pa.RecordBatch, schema: pa.Schema, columns: Sequence[str], before: int
) -> pa.RecordBatch:
    """The batch in the types of `schema`; an error gives the row, of which so many came before."""
    try:
        return typed(raw, schema, columns)
    except TerminalError:
        # As around all other numbers, there may be blanks. They are rare, and so looked for late.
        for place, name in enumerate(raw.schema.names):
            if pa.types.is_decimal(schema.field(name).type):
                raw = raw.set_column(place, name, pc.utf8_trim(raw.column(place), " \t"))
    try:
        return typed(raw, schema, columns)
    except TerminalError:
        start, rows = 0, raw.num_rows
    while rows > 1:  # The first bad row, by halves.
        half = rows // 2
        try:
            typed(raw.slice(start, half), schema, columns)
        except TerminalError:
            rows = half
        else:
            start, rows = start + half, rows - half
    try:
        return typed(raw.slice(start, rows), schema, columns)
    except TerminalError as e:
        raise e.at(line=str(before + start + 1))  # noqa: B904 - it is the same error
