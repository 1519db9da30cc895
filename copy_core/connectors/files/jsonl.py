"""JSON lines: one object a line. Text stays text, also where it looks like a time.

A number is an integer or a float, inferred from the beginning of every file; a later value that
does not fit, or a key that the beginning does not have, is an error that gives the line. So is an
integer there that only a float could hold, and not exactly: such a column wants a type. Not a
number and the infinities are written as `NaN`, `Infinity` and `-Infinity`, as most parsers read
them; decimals as numbers with all their digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json

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
from copy_core.decimals import wide_type
from copy_core.errors import CopyJobError, TerminalError
from copy_core.schema import canonical_schema, parse_type

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONG = re.compile(rb"[\s:]-?[0-9]{16}")
_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class JsonLines(Format):
    """JSON lines.

    Args:
        types: type names of columns that are not to be inferred.
    """

    extension = ".jsonl"
    endings: ClassVar[frozenset[str]] = frozenset({".jsonl", ".ndjson", ".json"})

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = {name: parse_type(kind) for name, kind in types.items()}

    def schema(self, file: Input) -> pa.Schema:
        with reading(file.name):
            return check_unique(sampled(lambda block: self._inferred(file, block)), file.name)

    def unify(self, schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
        merged: dict[str, pa.DataType] = {}
        for file, schema in schemas:
            for field in schema:
                old = merged.get(field.name, pa.null())
                merged[field.name] = _joined(old, field.type, file, field.name)
        for file, column in long_integers(schemas):
            if pa.types.is_floating(merged[column]):
                raise bad_value(
                    "other files hold fractions, and a float would not keep all digits of an"
                    " integer here",
                    column,
                    file=file,
                )
        return canonical_schema(pa.schema(merged))

    def batches(self, file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        done, schema = 0, wanted.schema
        with reading(file.name):
            try:
                for raw in streamed(lambda block: _blocks(file, wanted, block)):
                    # Before any row of it is handed on, so that a bad value gives its line.
                    batch = typed(raw, schema, wanted.columns)
                    yield from sliced(batch, wanted.batch_rows)
                    done += batch.num_rows
            except (pa.ArrowInvalid, TerminalError) as e:
                raise _placed(e, file, wanted, done) from e

    def writer(self, sink: pa.NativeFile, schema: pa.Schema) -> Writer:
        keys = [json.dumps(name, ensure_ascii=False) + ":" for name in schema.names]

        def line(batch: pa.RecordBatch) -> pa.Array:
            pieces: list[pa.Array | str] = []
            for number, (key, column) in enumerate(zip(keys, batch.columns, strict=True)):
                pieces += ["," + key if number else "{" + key, _literal(column)]
            return pc.binary_join_element_wise(
                *pieces, "}", "", null_handling="replace", null_replacement="null"
            )

        return LineWriter(sink, line)

    def _inferred(self, file: Input, block: int) -> pa.Schema:
        with file.stream() as stream:
            if _is_blank(stream):
                return pa.schema([])
        with file.stream() as stream:
            options = arrow_json.ReadOptions(use_threads=False, block_size=block)
            with arrow_json.open_json(stream, options) as reader:
                fields = list(reader.schema)
        fields = [f.with_type(self._types.get(f.name, _plain(f.type))) for f in fields]
        t = pa.types
        guessed = [f for f in fields if f.name not in self._types]
        numbers = {f.name: f for f in guessed if t.is_floating(f.type) or t.is_integer(f.type)}
        if not numbers:
            return pa.schema(fields)
        with file.stream() as stream:
            text = stream.read(block)
        for name, value, line in _long_integers(text, numbers):
            if t.is_floating(numbers[name].type):
                why = f"a float would not keep all digits of {value}"
                raise bad_value(why, name, line=str(line))
            numbers[name] = numbers[name].with_metadata(LONG)
        return pa.schema([numbers.get(f.name, f) for f in fields])


def _blocks(file: Input, wanted: Wanted, block: int) -> Iterator[pa.RecordBatch]:
    with file.stream() as stream:
        if _is_blank(stream):
            return
    with file.stream() as stream:
        # One thread is as fast here, and reads no further ahead than it must.
        options = arrow_json.ReadOptions(use_threads=False, block_size=block)
        parse = _parse_options(wanted.schema, "ignore" if wanted.partial else "error")
        with arrow_json.open_json(stream, options, parse) as reader:
            yield from reader


def _parse_options(schema: pa.Schema, unexpected: str) -> arrow_json.ParseOptions:
    known = pa.schema([(field.name, _parsed(field.type)) for field in schema])
    return arrow_json.ParseOptions(explicit_schema=known, unexpected_field_behavior=unexpected)


def _parsed(kind: pa.DataType) -> pa.DataType:
    """What Arrow's reader is asked for. It takes times of any zone for any column: read as text,
    they are parsed strictly. Decimals it scales as they come, which is safe in 256 bits alone.
    """
    t = pa.types
    if t.is_decimal(kind):
        return wide_type(kind)
    return pa.string() if t.is_temporal(kind) or t.is_binary(kind) else kind


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(kind) else kind


def _long_integers(text: bytes, keys: Collection[str]) -> Iterator[tuple[str, Decimal, int]]:
    """The integers that a float would not give back: each with its key and its line."""
    if not _LONG.search(text):
        return
    for number, line in enumerate(text.split(b"\n"), 1):
        if not _LONG.search(line):
            continue
        try:
            values = json.loads(line, parse_int=Decimal)
        except ValueError:  # The text may end within a line; others, whoever reads on will tell.
            continue
        for name in keys:
            value = values.get(name) if isinstance(values, dict) else None
            if isinstance(value, Decimal) and Decimal(repr(float(value))) != value:
                yield name, value, number


def _joined(old: pa.DataType, new: pa.DataType, file: str, column: str) -> pa.DataType:
    if old == new or pa.types.is_null(new):
        return old
    if pa.types.is_null(old):
        return new
    if {str(old), str(new)} == {"int64", "double"}:
        return pa.float64()
    raise TerminalError(
        f"the column is {new} here and {old} in other files",
        fix="Make the files agree, or copy those of one type by a pattern such as orders/2024*",
        code="incompatible-type",
        file=file,
        column=column,
    )


def _is_blank(stream: pa.NativeFile) -> bool:
    while text := stream.read(1 << 16):
        if text.strip():
            return False
    return True


def _placed(
    error: pa.ArrowInvalid | TerminalError,
    file: Input,
    wanted: Wanted,
    done: int,
) -> CopyJobError:
    """The error with its line and column: the lines after the first `done` rows one by one."""
    rows = 0
    with file.stream() as stream:
        for number, text in enumerate(_lines(stream), 1):
            if not text.strip():
                continue
            rows += 1
            if rows > done and (found := _bad_line(text, wanted)):
                column, what = found
                return bad_value(what, column, file=file.name, line=str(number))
    if isinstance(error, TerminalError):
        return error
    return bad_value(str(error), file=file.name)


def _lines(stream: pa.NativeFile) -> Iterator[bytes]:
    rest = b""
    while text := stream.read(1 << 20):
        *whole, rest = (rest + text).split(b"\n")
        yield from whole
    yield rest


def _bad_line(text: bytes, wanted: Wanted) -> tuple[str, str] | None:
    """The column (if one can be told) and the reason, when the line does not fit the schema."""
    try:
        values = json.loads(text)
    except ValueError as e:
        return "", f"the line is no JSON: {e}"
    if not isinstance(values, dict):
        return "", "the line is no JSON object"
    known = [name for name in values if name in wanted.schema.names]
    unknown = [name for name in values if name not in known]
    if unknown and not wanted.partial:
        return unknown[0], "the beginning of the files does not have this key"
    for name in known:
        one = pa.schema([wanted.schema.field(name)])
        try:
            options = _parse_options(one, unexpected="ignore")
            table = arrow_json.read_json(pa.BufferReader(text + b"\n"), parse_options=options)
            typed(table.to_batches()[0], one, [name])
        except pa.ArrowInvalid as e:
            return name, str(e)
        except TerminalError as e:
            return name, str(e.__cause__ or e.what)
    return None


def _literal(array: pa.Array) -> pa.Array:
    """Each value as JSON."""
    kind, text = array.type, as_text(array)
    if pa.types.is_floating(kind):
        for arrow, ours in _NUMBERS.items():
            text = pc.if_else(pc.equal(text, arrow), ours, text)
        return text
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return text
    if pa.types.is_string(kind):
        text = _escaped(text)
    return pc.binary_join_element_wise('"', text, '"', "")


def _escaped(text: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring_regex(text, r'[\x00-\x1f"\\]')).as_py():
        return text
    for raw, escape in _ESCAPES.items():
        text = pc.replace_substring(text, raw, escape)
    rare = pc.match_substring_regex(text, r"[\x00-\x1f]")
    if pc.any(rare).as_py():
        coded = [
            v and "".join(f"\\u{ord(c):04x}" if c < " " else c for c in v) for v in text.to_pylist()
        ]
        return pa.array(coded, pa.string())
    return text
