"""The systems that real runs copy between: rows put into a source, and read back from a
destination with other means than the connector's wherever there are some.

A row is `(id, v, rev)`: its key, its incremental column (may be None), and the number of this
version of it, which no other version of any row has.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from copy_core.connectors import memory
from copy_core.connectors.options import (
    AzureStorageOptions,
    Connection,
    DeltaOptions,
    FabricLakehouseFilesOptions,
    FabricLakehouseOptions,
    FabricWarehouseOptions,
    FileOptions,
    LocalOptions,
    MemoryOptions,
    MssqlOptions,
    S3Options,
    SqliteOptions,
)
from copy_core.connectors.registry import open_source
from copy_core.model import Slice

if TYPE_CHECKING:
    from tests.crash.lakes import DeltaLake
    from tests.crash.store_places import StoredFiles
    from tests.mssql.places import MssqlTable

Row = tuple[int, int | None, int]
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("v", pa.int64()),
        pa.field("rev", pa.int64(), nullable=False),
    ]
)
TABLE = "t"


def batch(rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return pa.table(columns, schema=SCHEMA)


class SqliteTable:
    """A table in a SQLite file, written as another program would: readers do not hold it up."""

    updates = deletes = True

    def __init__(self, folder: Path) -> None:
        self._path = folder / "source.db"
        self.options = SqliteOptions(type="sqlite", path=str(self._path))
        self._do("PRAGMA journal_mode = WAL", [()])
        self._do("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, rev INTEGER NOT NULL)", [()])

    def insert(self, rows: Sequence[Row]) -> None:
        self._do("INSERT INTO t VALUES (?, ?, ?)", rows)

    def update(self, row: Row) -> None:
        number, v, rev = row
        self._do("UPDATE t SET v = ?, rev = ? WHERE id = ?", [(v, rev, number)])

    def delete(self, number: int) -> None:
        self._do("DELETE FROM t WHERE id = ?", [(number,)])

    def _do(self, sql: str, rows: Sequence[Sequence[int | None]]) -> None:
        # Neither commit nor checkpoint of a test's own rows has to survive a power cut.
        with closing(sqlite3.connect(self._path, timeout=20)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.executemany(sql, rows) if "?" in sql else connection.execute(sql)


class Files:
    """A folder to which files are added, and never changed."""

    updates = deletes = False

    def __init__(self, folder: Path, form: str) -> None:
        self.options = _files(folder / "files", form)
        self._folder, self._form, self._numbers = folder / "files" / TABLE, form, count()
        self._folder.mkdir(parents=True)
        self.insert([])

    def insert(self, rows: Sequence[Row]) -> None:
        # Written aside and renamed, as programs do that others read from.
        path = self._folder / f"{next(self._numbers):06}.{self._form}"
        aside = path.with_name(f".{path.name}")
        if self._form == "parquet":
            pq.write_table(batch(rows), aside)
        elif self._form == "csv":
            with aside.open("w", newline="") as file:
                csv.writer(file).writerows([SCHEMA.names, *rows])
        else:
            dicts = [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]
            aside.write_text("".join(f"{json.dumps(each)}\n" for each in dicts))
        aside.rename(path)

    def update(self, row: Row) -> None:
        raise AssertionError(f"files are never changed: {row}")

    def delete(self, number: int) -> None:
        raise AssertionError(f"files are never changed: {number}")


# What needs a live server is imported where one is at hand.
Source: TypeAlias = "SqliteTable | DeltaLake | Files | StoredFiles | MssqlTable"


def source(kind: str, folder: Path) -> Source:
    """A source with the empty table `t`: sqlite, delta, parquet, csv, jsonl, mssql:DATABASE,
    lakehouse:WORKSPACE, what `warehouse_places` calls a Warehouse, or the text of a
    `store_places.Kind`.
    """
    if "|" in kind:
        from tests.crash.store_places import Kind, source_of

        return source_of(Kind.of(kind))
    if kind.startswith("mssql:"):
        from tests.mssql.places import MssqlTable

        return MssqlTable(kind.removeprefix("mssql:"))
    if kind.startswith("warehouse:"):
        from tests.mssql.warehouse_places import table as warehouse_table

        return warehouse_table(kind)
    if kind.startswith("lakehouse:"):
        from tests.crash.lakes import DeltaLake, lakehouse

        return DeltaLake(lakehouse(kind))
    if kind == "sqlite":
        return SqliteTable(folder)
    if kind == "delta":
        from tests.crash.lakes import DeltaLake

        return DeltaLake(DeltaOptions(type="delta", root=str(folder / "lake")))
    return Files(folder, kind)


def destination(kind: str, folder: Path) -> Connection:
    """A place to copy to, of the same kinds."""
    if "|" in kind:
        from tests.crash.store_places import Kind, connection

        return connection(Kind.of(kind))
    if kind.startswith("mssql:"):
        from tests.mssql.places import options as mssql_options

        return mssql_options(kind.removeprefix("mssql:"))
    if kind.startswith("warehouse:"):
        from tests.mssql.warehouse_places import options as warehouse_options

        return warehouse_options(kind)
    if kind.startswith("lakehouse:"):
        from tests.crash.lakes import lakehouse

        return lakehouse(kind)
    if kind == "sqlite":
        return SqliteOptions(type="sqlite", path=str(folder / "target.db"))
    if kind == "delta":
        return DeltaOptions(type="delta", root=str(folder / "target"))
    return _files(folder / "target", kind)


def _files(root: Path, form: str) -> LocalOptions:
    types = {"id": "int64", "v": "int64", "rev": "int64"}
    given = {"type": "local", "root": str(root), "format": form, "types": types}
    return LocalOptions.model_validate(given)


def rows(connection: Connection) -> list[Row]:
    """The rows that readers of the destination see now, sorted by version."""
    found: list[Row] = []
    match connection:
        case SqliteOptions(path=path):
            if Path(path).exists():
                with closing(sqlite3.connect(path, timeout=20)) as reader:
                    if reader.execute("SELECT 1 FROM sqlite_schema WHERE name = 't'").fetchone():
                        found = reader.execute("SELECT id, v, rev FROM t").fetchall()
        case DeltaOptions() | FabricLakehouseOptions():
            from tests.crash.lakes import read

            if (table := read(connection)) is not None:
                found = _tuples(table)
        case FileOptions():
            # While files move, only readers of the ledger are promised the old rows or the new.
            if isinstance(connection, LocalOptions) and not Path(connection.root).is_dir():
                return []
            with open_source(connection) as reader:
                if TABLE in reader.objects():
                    asked = Slice(object=TABLE, columns=tuple(SCHEMA.names))
                    batches = list(reader.read(asked, 1000))
                    found = [row for each in batches for row in _tuples(each)]
        case MemoryOptions(name=name):
            if stored := memory.store(name).tables.get(TABLE):
                found = _tuples(stored.rows)
        case MssqlOptions(database=name) | FabricWarehouseOptions(database=name):
            from tests.mssql.places import rows as mssql_rows

            found = mssql_rows(name)
    return sorted(found, key=lambda row: row[2])


def settle(connection: Connection) -> None:
    """Waits until a service has noticed which of its clients are dead."""
    if isinstance(connection, MssqlOptions | FabricWarehouseOptions):
        from tests.mssql.places import settle as mssql_settle

        mssql_settle(connection.database)


def waiting(connection: Connection) -> list[str]:
    """What was staged, and is neither published nor cleared away."""
    match connection:
        case SqliteOptions(path=path):
            if not Path(path).exists():
                return []
            with closing(sqlite3.connect(path, timeout=20)) as reader:
                asked = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name != 't'"
                names = {name for (name,) in reader.execute(asked)}
            return sorted(names - {"_copyjob_ledger"})
        case DeltaOptions() | FabricLakehouseOptions():
            from tests.crash.lakes import unowned

            return unowned(connection)
        case LocalOptions(root=root):
            area = Path(root, TABLE, "_copyjob")
            return sorted(str(p.relative_to(area)) for p in area.rglob("*") if _left(p))
        case S3Options() | AzureStorageOptions() | FabricLakehouseFilesOptions():
            from tests.crash.store_places import waiting as store_waiting

            return store_waiting(connection)
        case MemoryOptions(name=name):
            return sorted(map(str, memory.store(name).staged))
        case MssqlOptions(database=name):
            from tests.mssql.places import waiting as mssql_waiting

            return mssql_waiting(name)
        case FabricWarehouseOptions():
            from tests.mssql.warehouse_places import waiting as warehouse_waiting

            return warehouse_waiting(connection)
        case _:
            raise AssertionError(f"nobody copies to {connection.type} here")


def _left(path: Path) -> bool:
    return path.is_file() and ("staging" in path.parts or path.name.endswith(".tmp"))


def _tuples(table: pa.Table | pa.RecordBatch) -> list[Row]:
    return list(zip(*(table[name].to_pylist() for name in SCHEMA.names), strict=True))
