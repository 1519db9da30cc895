"""What a Warehouse says about its tables and views, by the few views that it documents.

https://learn.microsoft.com/fabric/data-warehouse/tsql-surface-area
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copy_core.connectors.sql.mssql.catalog import OWN
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.table import Index, Table, TableColumn
from copy_core.connectors.sql.mssql.types import sql_type

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database

NAMES = """
SELECT s.name, o.name FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 AND s.name NOT IN ('sys', 'queryinsights')
"""

OBJECT = """
SELECT o.object_id, s.name, o.name, CASE o.type WHEN 'V' THEN 'view' ELSE 'table' END
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.object_id = OBJECT_ID(?) AND o.type IN ('U', 'V')
"""

COLUMNS = """
SELECT c.name, t.name, c.max_length, c.precision, c.scale, c.collation_name, c.is_nullable,
    c.is_identity, c.is_computed
FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.user_type_id
WHERE c.object_id = ? ORDER BY c.column_id
"""

# Nobody enforces it: it says how rows are told apart, not that they are.
PRIMARY_KEY = """
SELECT i.name, c.name
FROM sys.indexes AS i
JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = ? AND i.is_primary_key = 1 AND k.key_ordinal > 0 ORDER BY k.key_ordinal
"""

_UTF8 = 65001


def table_names(db: Database) -> list[str]:
    """Names of all tables and views that the login sees and that are not the system's or ours."""
    found = [ObjectName(*row) for row in db.rows(NAMES)]
    return sorted(name.text for name in found if not name.table.startswith(OWN))


def find_table(db: Database, name: ObjectName) -> Table | None:
    """Looks at a table or view; None when the login sees none of that name. How many rows it has
    the catalog does not say.
    """
    objects = db.rows(OBJECT, (name.quoted,))
    if not objects:
        return None
    [(number, schema, table, kind)] = objects
    keys = db.rows(PRIMARY_KEY, (number,))
    columns = tuple(column for _, column in keys)
    return Table(
        name=ObjectName(schema, table),
        kind=kind,
        columns=tuple(_column(row, columns) for row in db.rows(COLUMNS, (number,))),
        indexes=(Index(keys[0][0], columns, False, False, True),) if keys else (),
        object_id=number,
    )


def _column(row: tuple[Any, ...], keys: tuple[str, ...]) -> TableColumn:
    name, kind, length, precision, scale, collation, nullable, identity, computed = row
    codepage = _UTF8 if (collation or "").upper().endswith("_UTF8") else 0
    return TableColumn(
        name=name,
        type=sql_type(kind, length, precision or 0, scale or 0, codepage),
        nullable=bool(nullable),
        key=keys.index(name) + 1 if name in keys else 0,
        # An identity takes no value but in COPY INTO: the Warehouse fills both.
        computed=bool(identity or computed),
        collation=collation or "",
    )
