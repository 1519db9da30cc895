"""Rows of JSON lines, asked of Arrow's reader so that no value changes on its way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.json as arrow_json

from copy_core.connectors.files.format import Input, Wanted, bad_value
from copy_core.connectors.files.text import typed
from copy_core.decimals import wide_type
from copy_core.errors import CopyJobError, TerminalError


class Lines:
    """Cuts a text into lines, which are the rows."""

    def whole(self, text: bytes) -> int:
        """How many bytes of a text are lines that have ended."""
        return text.rfind(b"\n") + 1

    def split(self, text: bytes) -> list[bytes]:
        """The lines of a text, each with its end; the last one may have none."""
        *ended, rest = text.split(b"\n")
        return [*(line + b"\n" for line in ended), *([rest] if rest else [])]


@contextmanager
def text_of(file: Input) -> Iterator[pa.NativeFile | None]:
    """A file's text; None when nothing is in it."""
    with file.stream() as stream:
        blank = _is_blank(stream)
    if blank:
        yield None
        return
    with file.stream() as stream:
        yield stream


def batches(file: Input, wanted: Wanted, block: int) -> Iterator[pa.RecordBatch]:
    """The rows of a file as Arrow reads them, `typed` to come.

    Args:
        file: the file.
        wanted: what to read of it.
        block: how many bytes to read at a time; a line must fit in.
    """
    with text_of(file) as stream:
        if stream is None:
            return
        # One thread is as fast here, and reads no further ahead than it must.
        options = arrow_json.ReadOptions(use_threads=False, block_size=block)
        with arrow_json.open_json(stream, options, _parse_options(wanted)) as reader:
            yield from reader


def parsed(text: bytes, wanted: Wanted) -> list[pa.RecordBatch]:
    """The rows of some lines.

    Raises:
        ArrowInvalid: lines that are no JSON objects, or have keys that the table has not.
        TerminalError: a value that does not fit.
    """
    if not text.strip():
        return []
    rows = _at_once(text, _parse_options(wanted))
    return [typed(batch, wanted.schema, wanted.columns) for batch in rows]


def placed(
    error: pa.ArrowInvalid | TerminalError, file: Input, wanted: Wanted, done: int
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


def why(text: bytes, error: Exception, wanted: Wanted) -> tuple[str, str]:
    """The column (if one can be told) and the reason for a line that does not fit the table."""
    return _bad_line(text, wanted) or ("", str(error).partition("\n")[0])


def _at_once(text: bytes, options: arrow_json.ParseOptions) -> list[pa.RecordBatch]:
    # Arrow's reader of whole files would take many times as long for a short text.
    block = arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    with arrow_json.open_json(pa.BufferReader(text), block, options) as reader:
        return list(reader)


def _parse_options(wanted: Wanted) -> arrow_json.ParseOptions:
    return _known(wanted.schema, "ignore" if wanted.partial else "error")


def _known(schema: pa.Schema, unexpected: str) -> arrow_json.ParseOptions:
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


def _is_blank(stream: pa.NativeFile) -> bool:
    while text := stream.read(1 << 16):
        if text.strip():
            return False
    return True


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
            options = _known(one, unexpected="ignore")
            typed(_at_once(text, options)[0], one, [name])
        except pa.ArrowInvalid as e:
            return name, str(e)
        except TerminalError as e:
            return name, str(e.__cause__ or e.what)
    return None
