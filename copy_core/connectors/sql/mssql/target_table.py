"""The destination table: looked at, checked, created and grown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.sql.mssql import catalog, rights, statements
from copy_core.connectors.sql.mssql.layout import Layout, arrange, definition, folding
from copy_core.connectors.sql.mssql.names import ObjectName, parse
from copy_core.connectors.sql.mssql.reading import is_large
from copy_core.errors import ConfigError, TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from copy_core.connectors.sql.mssql.catalog import Table
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.model import Target


# https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-objects-transact-sql
_KIND = (
    "SELECT RTRIM(o.type), CASE WHEN t.temporal_type = 1 THEN 1 ELSE 0 END FROM sys.objects AS o"
    " LEFT JOIN sys.tables AS t ON t.object_id = o.object_id WHERE o.object_id = OBJECT_ID(?)"
)
_SPELLED = "SELECT SCHEMA_NAME(schema_id), name FROM sys.objects WHERE object_id = OBJECT_ID(?)"
_KINDS = {"V": "a view", "SN": "a synonym", "ET": "an external table"}


_CASCADING = (
    "SELECT TOP (1) name FROM sys.foreign_keys WHERE referenced_object_id = ?"
    " AND delete_referential_action <> 0 AND is_disabled = 0"
)


class Whereto(NamedTuple):
    """Where a target's rows go.

    Attributes:
        name: the table's name, as the database spells it where there is one.
        table: the table; None when there is none yet.
        layout: how the rows lie in it.
    """

    name: ObjectName
    table: Table | None
    layout: Layout


def named(db: Database, text: str) -> ObjectName:
    """The table that a job names.

    Raises:
        ConfigError: no table can be named so, or the name is one of ours.
    """
    name = parse(text, db.server.default_schema)
    if name.table.startswith("#") or name.table.casefold().startswith(catalog.OWN):
        raise ConfigError(
            "names that begin like this are those of temporary tables, or of copyjob's own",
            fix="Set `destination` of the table to another name",
            code="bad-name",
        )
    return name


def spelled(db: Database, text: str) -> ObjectName | None:
    """The table that a job names, as the database spells it; None when there is none."""
    found = db.rows(_SPELLED, (named(db, text).quoted,))
    return ObjectName(*found[0]) if found else None


def look(db: Database, target: Target) -> Whereto:
    """Looks at the table that a target names, and holds what arrives against it.

    Raises:
        ConfigError: it cannot be written there.
    """
    name = named(db, target.object)
    table = catalog.find_table(db, name, db.options.seventh_digit)
    layout = arrange(target, table, db.server.collation)
    return Whereto(table.name if table else name, table, layout)


def check_place(db: Database, target: Target) -> None:
    """Makes sure that the schema is there, that nothing but a table has the name, and that the
    login may write it.

    Raises:
        ConfigError: one of them is not so.
    """
    name = named(db, target.object)
    if db.value("SELECT SCHEMA_ID(?)", (name.schema,)) is None:
        raise ConfigError(
            f"the database has no schema {name.schema}",
            fix="Create it with CREATE SCHEMA, or name another in `destination`",
            code="schema-missing",
        )
    found = db.rows(_KIND, (name.quoted,))
    for kind, history in found:
        if kind != "U" or history:
            what = "the history of a table" if history else _KINDS.get(kind, "something else")
            raise ConfigError(
                f"the destination is {what}, not a table",
                fix="Set `destination` of the table to the name of a table",
                code="not-a-table",
            )
    rights.check(db, target, name, exists=bool(found))


def check_references(db: Database, table: Table) -> None:
    """Makes sure that rows of other tables do not go with those of this one.

    Raises:
        ConfigError: a foreign key to it cascades.
    """
    cascading = db.value(_CASCADING, (table.object_id,))
    if cascading is not None:
        raise ConfigError(
            f"the foreign key {cascading} changes rows of another table when rows are deleted here",
            fix="Use `write: upsert`, or disable the foreign key while rows are replaced",
            code="cascade",
        )


def create(db: Database, name: ObjectName, layout: Layout, target: Target) -> None:
    """Creates the table; with a primary key where rows are upserted."""
    keys = target.keys if target.write == "upsert" else ()
    db.run(statements.create(name, [definition(f, target) for f in layout.schema], keys))


def grow(db: Database, name: ObjectName, added: Iterable[pa.Field], target: Target) -> None:
    """Adds columns, which are null in the rows that are there."""
    for field in added:
        db.run(statements.add_column(name, definition(field, target)))


def tells_apart(table: Table, keys: Iterable[str], collation: str) -> bool:
    """Whether an index makes sure that no two rows have the same keys."""
    fold = folding(collation)
    wanted = {fold(key) for key in keys}
    return any(i.unique and {fold(c) for c in i.columns} <= wanted for i in table.indexes)


def need_unique(db: Database, table: Table, keys: tuple[str, ...]) -> None:
    """Adds a unique index on the keys of an upsert where the table has none.

    Raises:
        ConfigError: several of its rows have the same keys, or no index can be had on them.
    """
    if tells_apart(table, keys, db.server.collation):
        return
    fold = folding(db.server.collation)
    wanted = {fold(key) for key in keys}
    for column in table.columns:
        if fold(column.name) in wanted and is_large(column):
            raise ConfigError(
                f"a column of type {column.type.text} cannot tell the rows of an upsert apart: no"
                " index takes it",
                fix="Give the column a length of at most 450 characters (900 bytes), or choose"
                " other `keys`",
                code="key-type",
                column=column.name,
            )
    try:
        db.run(statements.add_key(table.name, keys))
    except TerminalError as e:
        if e.code not in ("constraint", "duplicate-key"):
            raise
        raise ConfigError(
            f"the destination table has several rows of one key ({', '.join(keys)})",
            fix="Remove the duplicates, choose other `keys`, or write with `overwrite`",
            code="duplicate-key",
        ) from e
