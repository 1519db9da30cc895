"""Systems to copy between, filled and read by other means than copyjob's own."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

TABLE = "orders"
Row = tuple[str, ...]


def sales(*ids: int, **columns: list[Any]) -> pa.Table:
    """Rows of three columns, `v` growing with `id`; more columns or others by name."""
    table = {"id": list(ids), "v": [10 * n for n in ids], "name": [f"row {n}" for n in ids]}
    return pa.table(table | columns)


class Place(ABC):
    """A system with tables.

    Attributes:
        path: the file or folder that its connection names.
    """

    suffix: ClassVar[str] = ""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + self.suffix)

    @abstractmethod
    def connection(self) -> dict[str, Any]:
        """As a job file has it."""

    @abstractmethod
    def add(self, rows: pa.Table, table: str = TABLE) -> None:
        """Appends rows; makes the table when there is none."""

    @abstractmethod
    def read(self, table: str = TABLE) -> list[dict[str, Any]]:
        """All rows; none when there is no such table."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Renames a table."""

    def replace(self, rows: pa.Table, table: str = TABLE) -> None:
        """Puts a table in the place of another."""
        self.remove(table)
        self.add(rows, table)

    def remove(self, table: str = TABLE) -> None:
        """Removes a table; none is no error."""
        shutil.rmtree(self.path / table, ignore_errors=True)

    def rows(self, *columns: str) -> list[Row]:
        """The rows as text, sorted: the systems have types of their own."""
        wanted = columns or ("id", "v", "name")
        found = [tuple(row.get(name) for name in wanted) for row in self.read()]
        return sorted(tuple("" if v is None else str(v) for v in row) for row in found)


class Sqlite(Place):
    """A database file."""

    suffix = ".db"
    _TYPES: ClassVar[dict[pa.DataType, str]] = {
        pa.int64(): "INTEGER",
        pa.float64(): "REAL",
        pa.string(): "TEXT",
        pa.bool_(): "BOOLEAN",
        pa.timestamp("us"): "TIMESTAMP",
    }

    def connection(self) -> dict[str, Any]:
        return {"type": "sqlite", "path": str(self.path)}

    def run(self, statement: str, rows: Iterable[tuple[Any, ...]] | None = None) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as db, db:
            if rows is None:
                return db.execute(statement).fetchall()
            db.executemany(statement, rows)
            return []

    def add(self, rows: pa.Table, table: str = TABLE) -> None:
        columns = ", ".join(f'"{f.name}" {self._TYPES[f.type]}' for f in rows.schema)
        self.run(f'CREATE TABLE IF NOT EXISTS "{table}" ({columns})')
        names = ", ".join(f'"{name}"' for name in rows.column_names)
        marks = ", ".join("?" * rows.num_columns)
        values = [tuple(row.values()) for row in rows.to_pylist()]
        self.run(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', values)

    def read(self, table: str = TABLE) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        names = [row[1] for row in self.run(f'PRAGMA table_info("{table}")')]
        found = self.run(f'SELECT * FROM "{table}"') if names else []
        return [dict(zip(names, row, strict=True)) for row in found]

    def rename(self, old: str, new: str) -> None:
        self.run(f'ALTER TABLE "{old}" RENAME TO "{new}"')

    def remove(self, table: str = TABLE) -> None:
        self.run(f'DROP TABLE IF EXISTS "{table}"')


class Delta(Place):
    """A lakehouse."""

    def connection(self) -> dict[str, Any]:
        return {"type": "delta", "root": str(self.path)}

    def add(self, rows: pa.Table, table: str = TABLE) -> None:
        write_deltalake(str(self.path / table), rows, mode="append")

    def replace(self, rows: pa.Table, table: str = TABLE) -> None:
        write_deltalake(str(self.path / table), rows, mode="overwrite", schema_mode="overwrite")

    def read(self, table: str = TABLE) -> list[dict[str, Any]]:
        if not (self.path / table / "_delta_log").is_dir():
            return []
        found: list[dict[str, Any]] = (
            DeltaTable(str(self.path / table)).to_pyarrow_table().to_pylist()
        )
        return found

    def rename(self, old: str, new: str) -> None:
        (self.path / old).rename(self.path / new)


class Files(Place):
    """A folder of files, one more with each batch of rows."""

    kind: ClassVar[str]

    def connection(self) -> dict[str, Any]:
        return {"type": "local", "root": str(self.path), "format": self.kind}

    def files(self, table: str = TABLE) -> list[Path]:
        found = (self.path / table).glob(f"*.{self.kind}")
        return sorted(file for file in found if file.name[0] not in "._")

    def add(self, rows: pa.Table, table: str = TABLE) -> None:
        folder = self.path / table
        folder.mkdir(parents=True, exist_ok=True)
        self.write(rows, folder / f"{len(self.files(table))}.{self.kind}")

    def read(self, table: str = TABLE) -> list[dict[str, Any]]:
        return [row for file in self.files(table) for row in self.load(file)]

    def rename(self, old: str, new: str) -> None:
        (self.path / old).rename(self.path / new)

    @abstractmethod
    def write(self, rows: pa.Table, file: Path) -> None:
        """Writes a file."""

    @abstractmethod
    def load(self, file: Path) -> list[dict[str, Any]]:
        """Reads a file."""


class Parquet(Files):
    kind = "parquet"

    def write(self, rows: pa.Table, file: Path) -> None:
        pq.write_table(rows, file)

    def load(self, file: Path) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.ParquetFile(file).read().to_pylist()
        return found


class Csv(Files):
    kind = "csv"

    def write(self, rows: pa.Table, file: Path) -> None:
        pacsv.write_csv(rows, file)

    def load(self, file: Path) -> list[dict[str, Any]]:
        with file.open(newline="") as lines:
            return list(csv.DictReader(lines))


class JsonLines(Files):
    kind = "jsonl"

    def write(self, rows: pa.Table, file: Path) -> None:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))

    def load(self, file: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()]


class _Maker(Protocol):
    def __call__(self, path: Path) -> Place: ...


PLACES: dict[str, _Maker] = {
    "sqlite": Sqlite,
    "delta": Delta,
    "parquet": Parquet,
    "csv": Csv,
    "jsonl": JsonLines,
}
