"""CSV files: RFC 4180, where no value is unquoted and text is quoted, so that both survive.

Types that the connection does not name are inferred from the beginning of every file; a later
value that does not fit is an error, never a null. Digits that a number would lose (leading zeros,
integers past 64 bits) make a column text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from copy_core.connectors.files.format import (
    Format,
    Input,
    Wanted,
    Writer,
    bad_value,
    check_unique,
    reading,
)
from copy_core.connectors.files.text import (
    LONG,
    LineWriter,
    as_text,
    long_integers,
    sampled,
    sliced,
    streamed,
    typed,
)
from copy_core.errors import CopyJobError, TerminalError
from copy_core.schema import canonical_schema, parse_type

if TYPE_CHECKING:
    from copy_core.connectors.options import CsvOptions

_PADDED = r"^\s*[+-]?0[0-9xX]"
_TOO_LONG = r"^\s*[+-]?[0-9]{16,}\s*$"
_PLACE = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", re.DOTALL)
_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]


class Csv(Format):
    """CSV in the dialect of a connection."""

    extension = ".csv"
    endings: ClassVar[frozenset[str]] = frozenset({".csv", ".tsv", ".txt"})

    def __init__(self, options: CsvOptions, types: Mapping[str, str]) -> None:
        self._options = options
        self._types = {name: parse_type(kind) for name, kind in types.items()}

    def schema(self, file: Input) -> pa.Schema:
        with reading(file.name):
            found = sampled(lambda block: self._inferred(file, block))
            return check_unique(found, file.name)

    def unify(self, schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
        """Infers as if the files were one: any mixture that is no number and no time is text."""
        merged: dict[str, pa.DataType] = {}
        for _, schema in schemas:
            for field in schema:
                merged[field.name] = _joined(merged.get(field.name, pa.null()), field.type)
        for _, column in long_integers(schemas):
            if pa.types.is_floating(merged[column]):
                merged[column] = pa.string()
        return canonical_schema(pa.schema(merged))

    def batches(self, file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        def blocks(block: int) -> Iterator[pa.RecordBatch]:
            return self._blocks(file, wanted.schema, wanted.columns, block)

        with reading(file.name):
            try:
                for batch in streamed(blocks):
                    yield from sliced(batch, wanted.batch_rows)
            except pa.ArrowInvalid as e:
                raise self._placed(e, file) from e

    def writer(self, sink: pa.NativeFile, schema: pa.Schema) -> Writer:
        delimiter, null = self._options.delimiter, self._options.null
        names = delimiter.join('"' + name.replace('"', '""') + '"' for name in schema.names)

        def line(batch: pa.RecordBatch) -> pa.Array:
            values = [_quoted(column, delimiter) for column in batch.columns]
            return pc.binary_join_element_wise(
                *values, delimiter, null_handling="replace", null_replacement=null
            )

        return LineWriter(sink, line, f"{names}\n" if self._options.header else "")

    def _inferred(self, file: Input, block: int) -> pa.Schema:
        with file.stream() as stream:
            if _is_empty(stream):
                return pa.schema([])
        with file.stream() as stream:
            options = arrow_csv.ReadOptions(
                block_size=block,
                use_threads=False,
                autogenerate_column_names=not self._options.header,
            )
            try:
                with self._open(stream, options) as reader:
                    fields = list(reader.schema)
            except pa.ArrowInvalid as e:
                # Empty lines alone: rows of one column without a value.
                if "cannot infer number of columns" not in str(e) or self._options.header:
                    raise
                fields = [pa.field("c0", pa.null())]
        if not self._options.header:
            fields = [field.with_name(f"c{n}") for n, field in enumerate(fields)]
        # Text that is no UTF-8 is inferred as binary; as text, it is an error.
        fields = [
            pa.field(f.name, pa.string()) if pa.types.is_binary(f.type) else f for f in fields
        ]
        fields = [field.with_type(self._types.get(field.name, field.type)) for field in fields]
        return self._with_all_digits(file, pa.schema(fields), block)

    def _with_all_digits(self, file: Input, schema: pa.Schema, block: int) -> pa.Schema:
        """The schema with columns as text whose digits a number would not keep, and integers marked
        whose digits a float would not.
        """
        numbers = [
            field.name
            for field in schema
            if field.name not in self._types
            and (pa.types.is_int64(field.type) or pa.types.is_float64(field.type))
        ]
        if not numbers or len(set(schema.names)) < len(schema.names):
            return schema
        text = pa.schema([(name, pa.string()) for name in schema.names])
        first = next(self._blocks(file, text, numbers, block), text.empty_table())
        for name in numbers:
            field, texts = schema.field(name), first.column(name)
            padded, too_long = (
                pc.any(pc.match_substring_regex(texts, lost)).as_py()
                for lost in (_PADDED, _TOO_LONG)
            )
            if padded or (too_long and pa.types.is_floating(field.type)):
                field = pa.field(name, pa.string())
            elif too_long:
                field = field.with_metadata(LONG)
            schema = schema.set(schema.get_field_index(name), field)
        return schema

    def _blocks(
        self,
        file: Input,
        schema: pa.Schema,
        columns: Sequence[str],
        block: int,
    ) -> Iterator[pa.RecordBatch]:
        with file.stream() as stream:
            if _is_empty(stream):
                return
        with file.stream() as stream:
            header = self._options.header
            options = arrow_csv.ReadOptions(
                # One thread is as fast here, and knows the number of a row that does not fit.
                use_threads=False,
                block_size=block,
                column_names=None if header else schema.names,
            )
            # Columns that nobody asked for are not converted; of none, the first counts the rows.
            chosen = list(dict.fromkeys(columns)) or schema.names[:1]
            kinds = {name: schema.field(name).type for name in chosen}
            extra = {
                "column_types": _parsed(kinds),
                "include_columns": chosen,
                "include_missing_columns": True,
            }
            alone = len(schema.names) == 1
            done = int(header)
            with self._open(stream, options, alone, **extra) as reader:
                for batch in reader:
                    yield _typed(batch, schema, columns, done)
                    done += batch.num_rows

    def _open(
        self,
        stream: pa.NativeFile,
        options: arrow_csv.ReadOptions,
        alone: bool = False,
        **convert: Any,
    ) -> arrow_csv.CSVStreamingReader:
        return arrow_csv.open_csv(
            stream,
            options,
            # In a file of one column an empty line is a row without a value.
            arrow_csv.ParseOptions(
                delimiter=self._options.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=not alone,
            ),
            arrow_csv.ConvertOptions(
                null_values=[self._options.null],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=_TRUE,
                false_values=_FALSE,
                **convert,
            ),
        )

    def _placed(self, error: pa.ArrowInvalid, file: Input) -> CopyJobError:
        """The error with the column and the row that Arrow's text names by number."""
        match = _PLACE.match(str(error))
        if not match:
            return bad_value(str(error), file=file.name)
        names = self.schema(file).names
        place = int(match[1])
        column = names[place] if place < len(names) else f"number {place + 1}"
        return bad_value(match[3], column, line=match[2] or "", file=file.name)


def _is_empty(stream: pa.NativeFile) -> bool:
    return not stream.read(1)


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


def _quoted(array: pa.Array, delimiter: str) -> pa.Array:
    text = as_text(array)
    plain = not (pa.types.is_string(array.type) or pa.types.is_binary(array.type))
    if plain and delimiter not in "+-.:0123456789TZaefinrstlu":
        return text
    doubled = pc.replace_substring(text, '"', '""')
    return pc.binary_join_element_wise('"', doubled, '"', "")


def _joined(old: pa.DataType, new: pa.DataType) -> pa.DataType:
    """The type that inference would give to a file with the values of both."""
    if old == new or pa.types.is_null(new):
        return old
    if pa.types.is_null(old):
        return new
    pair = {str(old), str(new)}
    if pair <= {"int64", "double"}:
        return pa.float64()
    times = [kind for kind in (old, new) if pa.types.is_timestamp(kind)]
    if times and all(pa.types.is_timestamp(k) or pa.types.is_date(k) for k in (old, new)):
        zones = {kind.tz for kind in times}
        if len(zones) == 1 and (len(times) == 2 or zones == {None}):
            return pa.timestamp("us", zones.pop())
    if pa.types.is_time(old) and pa.types.is_time(new):
        return pa.time64("us")
    return pa.string()
