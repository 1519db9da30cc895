"""The SQLite connector, against files made and read by Python's own sqlite3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
)
from copy_core.connectors.options import SqliteOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.model import Staged
from copy_core.schema import parse_type, type_name
from tests.conformance import kit, sqlite_file
from tests.conformance.rigs import DestinationRig, SourceRig
from tests.conformance.samples import STEPS, VALUES

DECLARED = {
    "bool": "BOOLEAN",
    "uint64": "UNSIGNED BIG INT",
    "float32": "REAL",
    "float64": "REAL",
    "string": "TEXT",
    "binary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamp_utc": "TIMESTAMPTZ",
    "decimal(5,0)": "DECIMAL(5,0)",
    "decimal(15,0)": "DECIMAL(15,0)",
}

# An integer of SQLite has 64 bits and a sign; all integers and floats are kept in their widest.
TYPES = {
    name: "float64" if name.startswith("float") else "int64" if "int" in name else name
    for name in VALUES
    if name != "uint64"
}


@pytest.fixture(scope="session")
def sqlite_process() -> Iterator[ProcessPoolExecutor]:
    with sqlite_file.process() as pool:
        yield pool


class File:
    """A database file, as other programs write and read it."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.path = str(folder / "a file's name.db")
        self.options = SqliteOptions(type="sqlite", path=self.path)
        self.pool: ProcessPoolExecutor = request.getfixturevalue("sqlite_process")
        self.execute([])

    def execute(self, statements: Sequence[sqlite_file.Statement]) -> None:
        self.pool.submit(sqlite_file.execute, self.path, statements).result()

    def fetch(self, *queries: str) -> list[sqlite_file.Rows]:
        return self.pool.submit(sqlite_file.fetch, self.path, *queries).result()

    def tables(self) -> list[str]:
        (rows,) = self.fetch("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return sorted(row[0] for row in rows)

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> None:
        columns = [
            f"{_quote(f.name)} {_declared(f.type)}" + ("" if f.nullable else " NOT NULL")
            for f in rows.schema
        ]
        if keys:
            columns.append(f"PRIMARY KEY ({', '.join(map(_quote, keys))})")
        self.execute([(f"CREATE TABLE {_quote(name)} ({', '.join(columns)})", [()])])
        self.insert(name, rows)

    def insert(self, name: str, rows: pa.Table) -> None:
        columns = ", ".join(map(_quote, rows.column_names))
        marks = ", ".join("?" * rows.num_columns)
        values = [[_written(v) for v in row.values()] for row in rows.to_pylist()]
        self.execute([(f"INSERT INTO {_quote(name)} ({columns}) VALUES ({marks})", values)])

    def delete(self, name: str, ids: Sequence[int]) -> None:
        self.execute([(f"DELETE FROM {_quote(name)} WHERE id = ?", [(n,) for n in ids])])

    def read(self, name: str) -> pa.Table | None:
        if name not in self.tables():
            return None
        columns, rows = self.fetch(
            f"SELECT name, type FROM pragma_table_info({_quote_text(name)})",
            f"SELECT * FROM {_quote(name)}",
        )
        kinds = [_kind(declared) for _, declared in columns]
        return pa.table(
            [
                pa.array([_value(row[n], kind) for row in rows], kind)
                for n, kind in enumerate(kinds)
            ],
            names=[column for column, _ in columns],
        )


class SqliteSourceRig(SourceRig):
    capabilities = SourceCapabilities(incremental=True, splits=True)
    types = TYPES
    steps = tuple(step for step in STEPS if step != "decimal(38,0)")  # its digits are text there
    corrupts = True

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.file = File(folder, request)

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        self.file.create(name, rows, keys)
        return name

    def insert(self, name: str, rows: pa.Table) -> None:
        self.file.insert(name, rows)

    def delete(self, name: str, ids: Sequence[int]) -> None:
        self.file.delete(name, ids)

    def corrupt(self, name: str) -> None:
        del name
        data = bytearray(Path(self.file.path).read_bytes())
        data[4096:] = b"\xa5" * len(data[4096:])  # the first page holds the names of the tables
        Path(self.file.path).write_bytes(data)

    def open(self) -> Source:
        return open_source(self.file.options)


class SqliteDestinationRig(DestinationRig):
    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite"}), parallel_stage=False
    )
    types = TYPES

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.file = File(folder, request)

    def open(self) -> Destination:
        return open_destination(self.file.options)

    def create(self, name: str, rows: pa.Table) -> None:
        self.file.create(name, rows)

    def read(self, name: str) -> pa.Table | None:
        return self.file.read(name)

    def staged(self) -> list[str]:
        return [
            name
            for name in self.file.tables()
            if name.startswith("_copyjob_") and name != "_copyjob_ledger"
        ]

    def lose(self, staged: Staged) -> None:
        self.file.execute([(f"DROP TABLE {_quote(staged.ref['table'])}", [()])])


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quote_text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _declared(of: pa.DataType) -> str:
    if of == SqliteSourceRig.uncopyable:
        return "POINT"
    name = type_name(of)
    return DECLARED.get(name, name.replace("decimal", "DECIMAL_TEXT") if "(" in name else "INTEGER")


def _kind(declared: str) -> pa.DataType:
    if declared.startswith("DECIMAL"):
        return parse_type(declared.lower().replace("_text", ""))
    names = {sql: name for name, sql in DECLARED.items()} | {"INTEGER": "int64"}
    return parse_type(names[declared])


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
        return text + "Z" * (value.tzinfo is not None)
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, list) else value


def _value(written: Any, kind: pa.DataType) -> Any:
    if written is None:
        return None
    if pa.types.is_decimal(kind):
        return Decimal(str(written))
    if pa.types.is_boolean(kind):
        return {0: False, 1: True}[written]
    clocks: dict[str, type[datetime | date | time]] = {
        "TIMESTAMP": datetime,
        "TIMESTAMPTZ": datetime,
        "DATE": date,
        "TIME": time,
    }
    clock = clocks.get(_declared(kind))
    return clock.fromisoformat(written) if clock else written


TestSource = kit.source(SqliteSourceRig)
TestDestination = kit.destination(SqliteDestinationRig)
