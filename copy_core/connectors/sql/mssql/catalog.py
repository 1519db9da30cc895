"""What a database of SQL Server says about its tables, views and queries, one round trip each.

A login sees only what it has some right to; the rest does not exist for it, and not for copyjob.
https://learn.microsoft.com/sql/relational-databases/system-catalog-views/catalog-views-transact-sql
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from copy_core.connectors.sql.mssql.names import ObjectName, quote
from copy_core.connectors.sql.mssql.queries import relation
from copy_core.connectors.sql.mssql.table import Index, Partitioning, Table, TableColumn
from copy_core.connectors.sql.mssql.types import SeventhDigit, sql_type
from copy_core.errors import ConfigError, CopyJobError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database

__all__ = [
    "OWN",
    "Index",
    "Partitioning",
    "Table",
    "TableColumn",
    "find_columns",
    "find_query",
    "find_table",
    "table_names",
]

OWN = "_copyjob_"
"""How the names of our own tables begin."""

_KINDS = "'U', 'V', 'ET'"  # tables, views, external tables

_NAMES = f"""
SELECT SCHEMA_NAME(schema_id), name FROM sys.objects
WHERE type IN ({_KINDS}) AND is_ms_shipped = 0 AND SCHEMA_NAME(schema_id) <> N'sys'
"""

# A synonym stands for its table where that is in the same database. A login that may only write to
# a table does not see its triggers, but may see that it has some.
_OBJECT = f"""
DECLARE @id int = OBJECT_ID(?);
SELECT @id = OBJECT_ID(base_object_name) FROM sys.synonyms
WHERE object_id = @id AND PARSENAME(base_object_name, 4) IS NULL
    AND COALESCE(PARSENAME(base_object_name, 3), DB_NAME()) = DB_NAME();

SELECT o.object_id, SCHEMA_NAME(o.schema_id), o.name,
    CASE o.type WHEN 'V' THEN 'view' ELSE 'table' END,
    CASE WHEN EXISTS (SELECT 1 FROM sys.triggers t WHERE t.parent_id = o.object_id
            AND t.is_instead_of_trigger = 1) THEN (SELECT COUNT(*) FROM sys.triggers t
            WHERE t.parent_id = o.object_id AND t.is_instead_of_trigger = 1 AND t.is_disabled = 0)
        ELSE COALESCE(OBJECTPROPERTY(o.object_id, 'HasInsteadOfTrigger'), 0) END,
    OBJECTPROPERTY(o.object_id, 'TableIsMemoryOptimized')
FROM sys.objects o WHERE o.object_id = @id AND o.type IN ({_KINDS});
"""

# Alias types may be hidden from a login that sees the table, types of the system never are. Columns
# that are hidden though nothing generates them are the inner ones of graph tables, which nobody can
# select. UNMASK is a right to columns since SQL Server 2022, to the database before.
_COLUMNS = """
SELECT c.name,
    COALESCE(CASE WHEN u.is_user_defined = 0 THEN u.name END, b.name,
        SCHEMA_NAME(u.schema_id) + N'.' + u.name, N'user-defined'),
    c.max_length, c.precision, c.scale,
    CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int), c.collation_name,
    c.is_nullable, c.is_identity,
    CASE WHEN c.is_computed = 1 OR c.is_column_set = 1 THEN 1 ELSE 0 END,
    c.generated_always_type, c.default_object_id, c.is_sparse, c.encryption_type,
    CASE WHEN c.is_masked = 1 AND COALESCE(
        HAS_PERMS_BY_NAME(QUOTENAME(OBJECT_SCHEMA_NAME(@id)) + N'.' + QUOTENAME(OBJECT_NAME(@id)),
            'OBJECT', 'UNMASK', c.name, 'COLUMN'),
        HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), 'DATABASE', 'UNMASK'), 0) = 0 THEN 1 ELSE 0 END
FROM sys.columns c
LEFT JOIN sys.types u ON u.user_type_id = c.user_type_id
LEFT JOIN sys.types b ON b.user_type_id = c.system_type_id
    AND b.system_type_id = b.user_type_id
WHERE c.object_id = @id AND (COALESCE(c.is_hidden, 0) = 0 OR c.generated_always_type > 0)
ORDER BY c.column_id;
"""

# Kinds 1, 2 and 7 are clustered, nonclustered and hash; number 1 is always the clustered one.
_INDEXES = """
SELECT i.index_id, i.name, i.is_unique, i.is_primary_key, c.name
FROM sys.indexes i
JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id
JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = @id AND i.type IN (1, 2, 7) AND i.is_disabled = 0
    AND i.is_hypothetical = 0 AND i.has_filter = 0 AND k.key_ordinal > 0
ORDER BY i.index_id, k.key_ordinal;
"""

_PARTITIONS = """
SELECT f.name, c.name, f.fanout
FROM sys.indexes i
JOIN sys.partition_schemes s ON s.data_space_id = i.data_space_id
JOIN sys.partition_functions f ON f.function_id = s.function_id
JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id
    AND k.partition_ordinal = 1
JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = @id AND i.index_id IN (0, 1);
"""

# A server that does not say what room a table takes does not count its rows there either.
_SIZE = """
IF OBJECT_ID(N'sys.allocation_units') IS NULL SELECT NULL, NULL
ELSE SELECT
    (SELECT SUM(p.rows) FROM sys.partitions p WHERE p.object_id = @id AND p.index_id IN (0, 1)),
    (SELECT SUM(a.used_pages) * 8192 FROM sys.partitions p
        JOIN sys.allocation_units a ON a.container_id = p.partition_id
        WHERE p.object_id = @id AND p.index_id IN (0, 1));
"""

_DESCRIBE = "EXEC sp_describe_first_result_set ?"
_READER = f"{_DESCRIBE}; SELECT OBJECTPROPERTY(OBJECT_ID(?), 'TableIsMemoryOptimized')"

_LOOK = _OBJECT + _COLUMNS + _INDEXES + _PARTITIONS + _SIZE


def table_names(db: Database) -> list[str]:
    """Names of all tables and views that the login sees and that are not the system's or ours."""
    found = [ObjectName(*row) for row in db.rows(_NAMES)]
    return sorted(name.text for name in found if not name.table.startswith(OWN))


def find_table(
    db: Database, name: ObjectName, seventh_digit: SeventhDigit = "fail"
) -> Table | None:
    """Looks at a table or view; None when the login sees none of that name.

    Args:
        db: the connection.
        name: its name; the server compares it under its own collation.
        seventh_digit: what a source makes of times finer than microseconds.
    """
    objects, columns, indexes, partitions, sizes = db.results(_LOOK, (name.quoted,))
    if not objects:
        return None
    [(object_id, schema, table, kind, instead_of, memory_optimized)] = objects
    [(rows, size)] = sizes
    found = _indexes(indexes)
    keys = next((i.columns for i in found if i.primary), ())
    return Table(
        name=ObjectName(schema, table),
        kind=kind,
        columns=tuple(_column(row, keys, seventh_digit) for row in columns),
        indexes=found,
        partitioning=Partitioning(*partitions[0]) if partitions else None,
        rows=None if rows is None else int(rows),
        bytes=None if size is None else int(size),
        instead_of=bool(instead_of),
        memory_optimized=bool(memory_optimized),
        object_id=object_id,
    )


def find_columns(
    db: Database, name: ObjectName, columns: Sequence[str], seventh_digit: SeventhDigit = "fail"
) -> Table:
    """Looks at no more of a table or view than its reader needs: the types of some columns. The
    rest, and a name in other letters, is for `find_table`.

    Raises:
        CopyJobError: there is no such table or column.
    """
    query = f"SELECT {', '.join(map(quote, columns))} FROM {name.quoted}"
    described, [(memory_optimized,)] = db.results(_READER, (query, name.quoted))
    found = _described(described, seventh_digit)
    return Table(name, "table", found, memory_optimized=bool(memory_optimized))


def _column(
    row: tuple[Any, ...], keys: tuple[str, ...], seventh_digit: SeventhDigit
) -> TableColumn:
    name, kind, *numbers, collation = row[:7]
    nullable, identity, computed, generated, default, sparse, encryption, masked = row[7:]
    of = sql_type(kind, *(number or 0 for number in numbers))
    return TableColumn(
        name=name,
        type=of,
        nullable=bool(nullable),
        key=keys.index(name) + 1 if name in keys else 0,
        identity=bool(identity),
        computed=bool(computed),
        generated=bool(generated) or of.name == "rowversion",
        has_default=bool(default),
        sparse=bool(sparse),
        collation=collation or "",
        encrypted=encryption is not None,
        masked=bool(masked),
        seventh_digit=seventh_digit,
    )


def _indexes(rows: list[tuple[Any, ...]]) -> tuple[Index, ...]:
    return tuple(
        Index(name or "", tuple(key[4] for key in keys), bool(unique), number == 1, bool(primary))
        for (number, name, unique, primary), keys in groupby(rows, key=lambda row: row[:4])
    )


def find_query(db: Database, label: str, query: str, seventh_digit: SeventhDigit = "fail") -> Table:
    """Looks at the result of a query, without running it.

    Args:
        db: the connection.
        label: what people call the query.
        query: the query.
        seventh_digit: what becomes of times finer than microseconds.

    Raises:
        ConfigError: the server does not take it, or not where a table stands.
    """
    relation(query)
    try:
        rows = db.rows(_DESCRIBE, (query,))
    except TransientError:
        raise
    except CopyJobError as e:
        raise _refused(label, f"the server does not take the query: {e.what}", e.fix) from e
    found = _described(rows, seventh_digit)
    if not found:
        raise _refused(label, "the server does not say what columns the query has", "")
    names = [column.name for column in found]
    for place, name in enumerate(names):
        if not name or name in names[:place]:
            what = f"column {place + 1} of the query has no name of its own"
            raise _refused(label, what, "Give it one: SELECT … AS name")
    return Table(ObjectName("", label), "query", found, query=query)


def _refused(label: str, what: str, fix: str) -> ConfigError:
    return ConfigError(what, fix=fix or "Correct it, or copy a view", code="bad-query", table=label)


def _described(rows: list[tuple[Any, ...]], seventh_digit: SeventhDigit) -> tuple[TableColumn, ...]:
    """Columns by their rows in the result of sp_describe_first_result_set: hidden, place, name,
    nullable, system type's number and name, length, precision, scale, collation, and as number 13
    the name of a user type.
    """
    return tuple(
        TableColumn(
            row[2],
            sql_type(
                (row[5] or row[13] or "user-defined").partition("(")[0],
                *(number or 0 for number in row[6:9]),
            ),
            bool(row[3]),
            collation=row[9] or "",
            seventh_digit=seventh_digit,
        )
        for row in rows
        if not row[0]
    )
