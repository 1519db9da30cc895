"""Tables as another program makes, fills and reads them: T-SQL through pyodbc."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from copy_core.connectors.sql.mssql.names import ObjectName, quote
from copy_core.schema import parse_type, type_name
from tests.conformance.samples import VALUES
from tests.mssql.server import Database

# What holds each type of the table of types; the rest is spelt alike.
DECLARED = {
    "bool": "bit",
    "int8": "smallint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "tinyint",
    "uint16": "int",
    "uint32": "bigint",
    "uint64": "decimal(20,0)",
    "float32": "real",
    "float64": "float",
    "string": "nvarchar(max)",
    "binary": "varbinary(max)",
    "time": "time(6)",
    "timestamp": "datetime2(6)",
    "timestamp_utc": "datetimeoffset(6)",
}
_BACK = {
    **{sql: name for name, sql in DECLARED.items() if name not in ("int8", "uint16", "uint32")},
    **dict.fromkeys(("nvarchar", "varchar"), "string"),
    "varbinary": "binary",
    "date": "date",
}
TYPES = {name: _BACK.get(DECLARED.get(name, name), name) for name in VALUES} | {
    "uint64": "decimal(20,0)"
}
"""What each type of the table of types becomes."""

_MOST_VALUES = 2000  # a statement takes 2,100
_MOST_ROWS = 1000  # so does a list of VALUES


def create(database: Database, name: ObjectName, rows: pa.Table, keys: Sequence[str] = ()) -> None:
    """Makes a table of that schema and primary key, with these rows."""
    columns = [
        f"{quote(f.name)} {_declared(f.type, key=f.name in keys)}"
        + (" NULL" if f.nullable else " NOT NULL")
        for f in rows.schema
    ]
    if keys:
        columns.append(f"PRIMARY KEY ({', '.join(map(quote, keys))})")
    database.run(f"CREATE TABLE {name.quoted} ({', '.join(columns)})")
    insert(database, name, rows)


def insert(database: Database, name: ObjectName, rows: pa.Table) -> None:
    """Adds rows."""
    kinds = [_declared(field.type) for field in rows.schema]
    records = [list(row.values()) for row in rows.to_pylist()]
    into = f"INSERT INTO {name.quoted} ({', '.join(map(quote, rows.column_names))}) VALUES "
    size = min(_MOST_ROWS, _MOST_VALUES // len(kinds))
    for start in range(0, len(records), size):
        chunk = records[start : start + size]
        marked = ", ".join(f"({', '.join(map(_mark, row, kinds))})" for row in chunk)
        values = [_bound(value) for row in chunk for value in row if value is not None]
        database.run(into + marked, *values)


def delete(database: Database, name: ObjectName, ids: Iterable[int]) -> None:
    """Deletes the rows whose `id` is one of these."""
    for number in ids:
        database.run(f"DELETE FROM {name.quoted} WHERE id = ?", number)


def read(database: Database, name: ObjectName) -> pa.Table | None:
    """All rows; None when there is no such table."""
    columns = database.rows(
        "SELECT c.name, TYPE_NAME(c.system_type_id), c.precision, c.scale FROM sys.columns AS c"
        " JOIN sys.tables AS t ON t.object_id = c.object_id"
        " JOIN sys.schemas AS s ON s.schema_id = t.schema_id"
        " WHERE s.name = ? AND t.name = ? ORDER BY c.column_id",
        *name,
    )
    if not columns:
        return None
    kinds = [_kind(*column[1:]) for column in columns]
    wanted = [_expression(column[0], kind) for column, kind in zip(columns, kinds, strict=True)]
    rows = database.rows(f"SELECT {', '.join(wanted)} FROM {name.quoted}")
    arrays = [
        pa.array([_value(row[n], kind) for row in rows], parse_type(kind))
        for n, kind in enumerate(kinds)
    ]
    return pa.table(arrays, names=[column[0] for column in columns])


def _declared(of: pa.DataType, *, key: bool = False) -> str:
    name = type_name(of)
    return "nvarchar(450)" if key and name == "string" else DECLARED.get(name, name)


def _kind(base: str, precision: int, scale: int) -> str:
    if base in ("decimal", "numeric"):
        return f"decimal({precision},{scale})"
    return _BACK.get(base) or _BACK.get(f"{base}({scale})") or _BACK[f"{base}(max)"]


# Times travel as text: pyodbc knows no datetimeoffset and rounds others by the parameter's type.
def _mark(value: Any, kind: str) -> str:
    return "NULL" if value is None else f"CAST(? AS {kind})"


def _bound(value: Any) -> Any:
    if isinstance(value, date | time):
        return value.isoformat()
    return Decimal(value) if isinstance(value, int) and value >= 2**63 else value


def _expression(column: str, kind: str) -> str:
    name = quote(column)
    if kind == "timestamp_utc":
        name = f"SWITCHOFFSET({name}, '+00:00')"
    return f"CONVERT(varchar(40), {name}, 121)" if kind in _CLOCKS else name


_CLOCKS: dict[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "timestamp_utc": lambda text: datetime.fromisoformat(text.replace(" +", "+")),
}


def _value(found: Any, kind: str) -> Any:
    if found is None or kind not in _CLOCKS:
        return found
    return _CLOCKS[kind](found)
