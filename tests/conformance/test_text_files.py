"""The connector of local files, against text that Python writes, and DuckDB or Python reads."""

from __future__ import annotations

import base64
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa

from copy_core.connectors.base import Source, TableInfo
from copy_core.connectors.files.connector import Options, store_of
from copy_core.connectors.files.source import FileSource
from copy_core.schema import type_name
from tests.conformance import kit
from tests.conformance.local_files import FilesDestinationRig, FilesRig, FilesSourceRig


def spelt(value: Any) -> str:
    """A value as text, as most programs spell it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


_MEANT: Mapping[str, Callable[[str], Any]] = {
    "bool": {"true": True, "false": False}.__getitem__,
    "int": int,
    "uint": int,
    "float": float,
    "decimal": Decimal,
    "string": str,
    "binary": lambda text: base64.b64decode(text, validate=True),
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "timestamp_utc": datetime.fromisoformat,
}


def meant(text: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """The values that text stands for, by Python's parsers."""
    parse = _MEANT[type_name(kind).partition("(")[0].rstrip("0123456789")]
    return pa.array([None if t is None else parse(t) for t in text.to_pylist()], kind)


class ToldSource(FileSource):
    """Knows the types of the tables that there are by now: the kit opens it before it makes them,
    whereas a connection says its types once and for all.
    """

    def __init__(self, rig: FilesRig) -> None:
        self._rig = rig
        super().__init__(store_of(rig.options, exists=True), rig.options)

    def describe(self, name: str, query: str = "") -> TableInfo:
        super().__init__(self._store, self._rig.options)
        return super().describe(name, query)


class TextSourceRig(FilesSourceRig):
    knows_required = False

    @property
    def options(self) -> Options:
        fields = [f for rows in self.written.values() for f in rows.schema]
        columns = {f.name: type_name(f.type) for f in fields if f.type != self.uncopyable}
        return super().options.model_copy(update={"types": columns})

    def open(self) -> Source:
        return ToldSource(self)

    def corrupt(self, name: str) -> None:
        """The last row ends in its middle, as that of a writer does that died."""
        for path in (self.root / name).iterdir():
            data = path.read_bytes()
            path.write_bytes(data[: data.rindex(b",")])
            self.sent(path)


class TextDestinationRig(FilesDestinationRig):
    def load(self, files: Sequence[Path]) -> pa.Table:
        found = [self.text(path) for path in files]
        return pa.concat_tables(found, promote_options="default")

    @abstractmethod
    def text(self, path: Path) -> pa.Table:
        """The values of one file as text."""

    def typed(self, found: pa.Table, schema: pa.Schema) -> pa.Table:
        return pa.table([meant(found[f.name], f.type) for f in schema], schema=schema)


TYPES = {"id": "int64", "name": "string", "at": "int64"}


class CsvFiles(FilesRig):
    connection: ClassVar[dict[str, Any]] = {"format": "csv", "types": TYPES}
    extension = ".csv"

    def write(self, path: Path, rows: pa.Table) -> None:
        """As RFC 4180 has it; text is quoted, else nothing would be no value."""
        lines = [rows.column_names, *zip(*(c.to_pylist() for c in rows.columns), strict=True)]
        text = "".join(",".join(map(self._cell, line)) + "\r\n" for line in lines)
        path.write_bytes(text.encode())

    @staticmethod
    def _cell(value: Any) -> str:
        if value is None:
            return ""
        text = spelt(value)
        quoted = isinstance(value, str | bytes)
        return '"' + text.replace('"', '""') + '"' if quoted else text


class CsvSourceRig(CsvFiles, TextSourceRig):
    uncopyable = None


class CsvDestinationRig(CsvFiles, TextDestinationRig):
    def text(self, path: Path) -> pa.Table:
        with duckdb.connect() as reader:
            return reader.read_csv(
                str(path), header=True, sep=",", quotechar='"', escapechar='"', na_values="",
                all_varchar=True, allow_quoted_nulls=False,
            ).to_arrow_table()  # fmt: skip


class JsonFiles(FilesRig):
    connection: ClassVar[dict[str, Any]] = {"format": "jsonl", "types": TYPES}
    extension = ".jsonl"
    shows_empty = False

    def write(self, path: Path, rows: pa.Table) -> None:
        lines = (", ".join(map(self._pair, row, row.values())) for row in rows.to_pylist())
        path.write_text("".join(f"{{{line}}}\n" for line in lines))

    @staticmethod
    def _pair(name: str, value: Any) -> str:
        text = "null" if value is None else spelt(value)
        bare = value is None or isinstance(value, int | float | Decimal | list)
        return f"{json.dumps(name)}: {text if bare else json.dumps(text)}"


class JsonSourceRig(JsonFiles, TextSourceRig):
    pass


class JsonDestinationRig(JsonFiles, TextDestinationRig):
    def text(self, path: Path) -> pa.Table:
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line, parse_int=str, parse_float=str) for line in file]
        names = dict.fromkeys(name for row in rows for name in row)
        cells = {n: [None if row.get(n) is None else spelt(row[n]) for row in rows] for n in names}
        return pa.table({name: pa.array(texts, pa.string()) for name, texts in cells.items()})

    def typed(self, found: pa.Table, schema: pa.Schema) -> pa.Table:
        """A key that no row has is null in all of them."""
        for field in schema:
            if field.name not in found.column_names:
                found = found.append_column(field.name, pa.nulls(found.num_rows, pa.string()))
        return super().typed(found, schema)


TestCsvSource = kit.source(CsvSourceRig)
TestCsvDestination = kit.destination(CsvDestinationRig)
TestJsonSource = kit.source(JsonSourceRig)
TestJsonDestination = kit.destination(JsonDestinationRig)
