"""CSV files: RFC 4180, where no value is unquoted and text is quoted, so that both survive.

Types that the connection does not name are inferred from the beginning of every file; a later
value that does not fit is an error, never a null, unless rows that are none are to be left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.files.csv_dialect import Dialect
from copy_core.connectors.files.csv_records import Records
from copy_core.connectors.files.csv_types import inferred, united
from copy_core.connectors.files.encoded import check_encoding, is_utf8
from copy_core.connectors.files.format import (
    Format,
    Input,
    Wanted,
    Writer,
    bad_value,
    check_unique,
    reading,
)
from copy_core.connectors.files.packed import ending, packed
from copy_core.connectors.files.salvage import MARK, beginning, blocks, ends, salvaged
from copy_core.connectors.files.text import LineWriter, as_text, sliced, streamed
from copy_core.errors import ConfigError, CopyJobError, TerminalError
from copy_core.schema import canonical_schema, parse_type

if TYPE_CHECKING:
    from copy_core.connectors.file_options import FileOptions

_PLACE = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", re.DOTALL)
_COUNT = re.compile(r"Expected (\d+) columns, got (\d+)")


class Csv(Format):
    """CSV in the dialect of a connection."""

    endings: ClassVar[frozenset[str]] = frozenset({".csv", ".tsv", ".txt"})

    def __init__(self, options: FileOptions) -> None:
        check_encoding(options.csv.encoding)
        self._options = options.csv
        self._packing = options.compression
        self._dialect = Dialect(options.csv, lenient=options.bad_rows == "skip")
        self._types = {name: parse_type(kind) for name, kind in options.types.items()}
        self.extension = f".csv{ending(options.compression)}"

    def schema(self, file: Input) -> pa.Schema:
        with reading(file.name):
            found = inferred(self._dialect, self._beginning(file), self._types)
            return check_unique(found, file.name)

    def unify(self, schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
        return canonical_schema(united(schemas))

    def batches(self, file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        with reading(file.name):
            try:
                if self._dialect.lenient:
                    found = self._good(file, wanted)
                else:
                    found = streamed(lambda block: self._blocks(file, wanted, block))
                for batch in found:
                    yield from sliced(batch, wanted.batch_rows)
            except pa.ArrowInvalid as e:
                raise self._placed(e, file) from e

    def writer(self, sink: pa.NativeFile, schema: pa.Schema) -> Writer:
        if not is_utf8(self._options.encoding):
            raise ConfigError(
                f"CSV is written in UTF-8, and the connection reads {self._options.encoding}",
                fix="Write through a connection without `encoding`",
                code="encoding-written",
            )
        delimiter, null = self._options.delimiter, self._options.null
        names = delimiter.join('"' + name.replace('"', '""') + '"' for name in schema.names)

        def line(batch: pa.RecordBatch) -> pa.Array:
            values = [_quoted(column, delimiter) for column in batch.columns]
            return pc.binary_join_element_wise(
                *values, delimiter, null_handling="replace", null_replacement=null
            )

        header = f"{names}\n" if self._options.header else ""
        return LineWriter(packed(sink, self._packing), line, header)

    def _beginning(self, file: Input) -> bytes:
        """The rows that a file begins with; one at least beside the names of columns."""
        records, header = Records(self._options.delimiter), self._options.header

        def ended(text: bytes) -> int:
            bare = text.removeprefix(MARK)
            end = records.whole(bare)
            enough = end > (len(records.head(bare)) if header else 0)
            return len(text) - len(bare) + end if enough else 0

        with self._dialect.text(file) as stream:
            return b"" if stream is None else beginning(stream, ended)

    def _blocks(self, file: Input, wanted: Wanted, block: int) -> Iterator[pa.RecordBatch]:
        names = None if self._options.header else wanted.schema.names
        with self._dialect.text(file) as stream:
            if stream is not None:
                yield from self._dialect.rows(
                    stream, wanted.schema, wanted.columns, block, names=names
                )

    def _good(self, file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        """The rows, without what is none."""
        records, schema = Records(self._options.delimiter), wanted.schema
        with self._dialect.text(file) as stream:
            if stream is None:
                return
            texts, number, names = blocks(stream, records), 1, schema.names
            if self._options.header:
                first = next(texts)
                head = records.head(first)
                names = self._dialect.names(head)
                texts, number = chain([first[len(head) :]], texts), 1 + ends(head)

            def parse(text: bytes) -> list[pa.RecordBatch]:
                if not text:
                    return []
                # Arrow would take a mark at the beginning of a block for no part of it.
                text = MARK + text if text.startswith(MARK) else text
                source, block = pa.BufferReader(text), len(text) + 1
                return list(self._dialect.rows(source, schema, wanted.columns, block, names=names))

            def why(text: bytes, error: Exception) -> tuple[str, str]:
                del text
                return _why(error, names)

            yield from salvaged(texts, number, records, parse, why, wanted.reject)

    def _placed(self, error: pa.ArrowInvalid, file: Input) -> CopyJobError:
        """The error with the column and the row that Arrow's text names by number."""
        match = _PLACE.match(str(error))
        if not match:
            return bad_value(str(error), file=file.name)
        column = _named(self.schema(file).names, int(match[1]))
        if "UTF8" in match[3]:
            return TerminalError(
                "a value is no text in UTF-8",
                fix="Say the files' encoding in `csv`, such as `encoding: windows-1252`",
                code="bad-encoding",
                column=column,
                line=match[2] or "",
                file=file.name,
            )
        return bad_value(match[3], column, line=match[2] or "", file=file.name)


def _why(error: Exception, names: Sequence[str]) -> tuple[str, str]:
    """The column and the reason that an error gives for a row."""
    if isinstance(error, TerminalError):
        return error.where.get("column", ""), error.what
    if match := _PLACE.match(str(error)):
        return _named(names, int(match[1])), match[3]
    if match := _COUNT.search(str(error)):
        return "", f"it has {match[2]} values, and there are {match[1]} columns"
    return "", str(error).partition("\n")[0]


def _named(names: Sequence[str], place: int) -> str:
    return names[place] if place < len(names) else f"number {place + 1}"


def _quoted(array: pa.Array, delimiter: str) -> pa.Array:
    text = as_text(array)
    plain = not (pa.types.is_string(array.type) or pa.types.is_binary(array.type))
    if plain and delimiter not in "+-.:0123456789TZaefinrstlu":
        return text
    doubled = pc.replace_substring(text, '"', '""')
    return pc.binary_join_element_wise('"', doubled, '"', "")
