"""The tables of a Warehouse that a copy writes to: the target, and those that rows wait in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from copy_core.connectors.sql.fabric_warehouse import catalog
from copy_core.connectors.sql.fabric_warehouse.types import created
from copy_core.connectors.sql.mssql import statements, target_table
from copy_core.connectors.sql.mssql.layout import arrange, definition, place
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.target_table import Whereto
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.names import ObjectName
    from copy_core.connectors.sql.mssql.table import TableColumn
    from copy_core.model import Target

KIND = "SELECT RTRIM(type) FROM sys.objects WHERE object_id = OBJECT_ID(?)"


def named(db: Database, text: str) -> ObjectName:
    """The table that a job names.

    Raises:
        ConfigError: no table of a Warehouse can be named so.
    """
    name = target_table.named(db, text)
    if set("/\\") & set(name.schema + name.table):
        raise ConfigError(
            "a Warehouse has no names with a slash or a backslash",
            fix="Set `destination` of the table to another name",
            code="bad-name",
        )
    return name


def check_place(db: Database, name: ObjectName) -> None:
    """Makes sure that the schema is there, and that nothing but a table has the name.

    Raises:
        ConfigError: one of them is not so.
    """
    if db.value("SELECT SCHEMA_ID(?)", (name.schema,)) is None:
        raise ConfigError(
            f"the Warehouse has no schema {name.schema}",
            fix="Create it with CREATE SCHEMA, or name another in `destination`",
            code="schema-missing",
        )
    if db.value(KIND, (name.quoted,)) not in ("U", None):
        raise ConfigError(
            "the destination is a view or something else, not a table",
            fix="Set `destination` of the table to the name of a table",
            code="not-a-table",
        )


def look(db: Database, target: Target) -> Whereto:
    """Looks at the table that a narrowed target names, and holds what arrives against it.

    Raises:
        ConfigError: it cannot be written there.
    """
    name = named(db, target.object)
    table = catalog.find_table(db, name)
    layout = arrange(target, table, db.server.collation, created)
    return Whereto(table.name if table else name, table, layout)


def create(name: ObjectName, schema: pa.Schema, target: Target) -> str:
    """Creates a target. It has no key: a Warehouse would not enforce one."""
    return statements.create(name, [definition(f, target, created) for f in schema])


def grow(db: Database, name: ObjectName, added: Sequence[pa.Field], target: Target) -> None:
    """Adds columns, which are null in the rows that are there."""
    for field in added:
        db.run(statements.add_column(name, definition(field, target, created)))


def create_staging(name: ObjectName, columns: Sequence[TableColumn]) -> str:
    """Creates a table for staged rows, in the types and collations of the target's columns."""
    return statements.create(
        name, [f"{quote(place(n))} {_staged(c)} NULL" for n, c in enumerate(columns)]
    )


def _staged(column: TableColumn) -> str:
    # A file has a uniqueidentifier as text; the Warehouse casts it when it is published.
    kind = "varchar(36)" if column.type.name == "uniqueidentifier" else column.type.text
    return f"{kind} COLLATE {column.collation}" if column.collation else kind


def delete(name: ObjectName) -> str:
    """Removes every row; readers see the old ones until the transaction ends."""
    return f"DELETE FROM {name.quoted}"


def staging_tables() -> str:
    """Asks for staging tables. Values: the schema, a pattern of names, where ! escapes."""
    return (
        "SELECT t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id"
        " WHERE s.name = ? AND t.name LIKE ? ESCAPE '!' ORDER BY t.name"
    )


def clean(db: Database, target: Target, schema: str) -> None:
    """Drops the staging tables of (job, table) up to the target's sequence."""
    prefix = statements.stage_prefix(target.job, target.table)
    pattern = prefix.replace("_", "!_") + "%"
    for (table,) in db.rows(staging_tables(), (schema, pattern)):
        if int(table.removeprefix(prefix).split("_")[0]) <= target.sequence:
            db.run(f"DROP TABLE IF EXISTS {quote(schema)}.{quote(table)}")
