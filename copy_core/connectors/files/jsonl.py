"""JSON lines: one object a line. Text stays text, also where it looks like a time.

A number is an integer or a float, inferred from the beginning of every file; a later value that
does not fit, or a key that the beginning does not have, is an error that gives the line, unless
lines that are no row are to be left out. So is an integer there that only a float could hold, and
not exactly: such a column wants a type. Not a number and the infinities are written as `NaN`,
`Infinity` and `-Infinity`, as most parsers read them; decimals as numbers with all their digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.files import jsonl_rows
from copy_core.connectors.files.format import (
    Format,
    Input,
    Wanted,
    Writer,
    check_unique,
    reading,
)
from copy_core.connectors.files.jsonl_types import inferred, united
from copy_core.connectors.files.packed import ending, packed
from copy_core.connectors.files.salvage import beginning, blocks, salvaged
from copy_core.connectors.files.text import LineWriter, as_text, sliced, streamed, typed
from copy_core.errors import TerminalError
from copy_core.schema import canonical_schema, parse_type

if TYPE_CHECKING:
    from copy_core.connectors.file_options import FileOptions

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class JsonLines(Format):
    """JSON lines, as a connection says."""

    endings: ClassVar[frozenset[str]] = frozenset({".jsonl", ".ndjson", ".json"})

    def __init__(self, options: FileOptions) -> None:
        self._packing = options.compression
        self._lenient = options.bad_rows == "skip"
        self._types = {name: parse_type(kind) for name, kind in options.types.items()}
        self.extension = f".jsonl{ending(options.compression)}"

    def schema(self, file: Input) -> pa.Schema:
        with reading(file.name):
            with jsonl_rows.text_of(file) as stream:
                text = b"" if stream is None else beginning(stream, jsonl_rows.Lines().whole)
            found = inferred(text, self._types, lenient=self._lenient)
            return check_unique(found, file.name)

    def unify(self, schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
        return canonical_schema(united(schemas))

    def batches(self, file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        with reading(file.name):
            for batch in (_good if self._lenient else _all)(file, wanted):
                yield from sliced(batch, wanted.batch_rows)

    def writer(self, sink: pa.NativeFile, schema: pa.Schema) -> Writer:
        keys = [json.dumps(name, ensure_ascii=False) + ":" for name in schema.names]

        def line(batch: pa.RecordBatch) -> pa.Array:
            pieces: list[pa.Array | str] = []
            for number, (key, column) in enumerate(zip(keys, batch.columns, strict=True)):
                pieces += ["," + key if number else "{" + key, _literal(column)]
            return pc.binary_join_element_wise(
                *pieces, "}", "", null_handling="replace", null_replacement="null"
            )

        return LineWriter(packed(sink, self._packing), line)


def _all(file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """The rows of a file, each line being one."""
    done = 0
    try:
        for raw in streamed(lambda block: jsonl_rows.batches(file, wanted, block)):
            # Before any row of it is handed on, so that a bad value gives its line.
            yield typed(raw, wanted.schema, wanted.columns)
            done += raw.num_rows
    except (pa.ArrowInvalid, TerminalError) as e:
        raise jsonl_rows.placed(e, file, wanted, done) from e


def _good(file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """The rows of a file, without the lines that are none."""
    lines = jsonl_rows.Lines()
    with file.stream() as stream:
        yield from salvaged(
            blocks(stream, lines),
            1,
            lines,
            lambda text: jsonl_rows.parsed(text, wanted),
            lambda text, error: jsonl_rows.why(text, error, wanted),
            wanted.reject,
        )


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
