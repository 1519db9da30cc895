"""How the columns that arrive lie in staging tables, and go from there into the target. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.sql.mssql.encode_text import carrier
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.table import TableColumn
from copy_core.connectors.sql.mssql.types import declare
from copy_core.connectors.sql.text import told_apart
from copy_core.errors import ConfigError
from copy_core.schema import reconcile, schema_from_json

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.catalog import Table
    from copy_core.model import Target

    Creates = Callable[[pa.Field, Target], TableColumn]

KEY_COLLATION = "Latin1_General_100_BIN2"
"""The collation of text in the key of a created table. Systems that rows come from tell upper and
lower case apart, and an upsert by a collation that does not would merge their rows."""

# Wider than the types that rows are read as: so are the created columns (see `types`).
_STORED = {
    pa.int8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}

# What bulk copy does not take, or takes without looking, waits as the text or bytes it arrived as.
_STAGED_AS = {
    "ntext": "nvarchar(max)",
    "image": "varbinary(max)",
    "xml": "nvarchar(max)",
    "json": "nvarchar(max)",
    "vector": "nvarchar(max)",
    "sql_variant": "nvarchar(4000)",
    "hierarchyid": "nvarchar(4000)",
    "geometry": "varbinary(max)",
    "geography": "varbinary(max)",
    "rowversion": "varbinary(8)",
}
_ISO_TIME = "nvarchar(40)"

# Well-known binary has no reference system of its own: these are the defaults of the two types.
_PUBLISHED_AS = {
    "xml": "CONVERT(xml, {0}, 1)",
    "hierarchyid": "CAST({0} AS hierarchyid)",
    "geometry": "geometry::STGeomFromWKB({0}, 0)",
    "geography": "geography::STGeomFromWKB({0}, 4326)",
}


@dataclass(frozen=True)
class Layout:
    """Where arriving columns go.

    Attributes:
        schema: the columns to stage, in the table's types.
        added: the columns that the table lacks and is to get.
        staged: for each column of `schema`, the column that its values are meant for, named as
            they arrive.
    """

    schema: pa.Schema
    added: tuple[pa.Field, ...]
    staged: tuple[TableColumn, ...]

    @property
    def definitions(self) -> list[str]:
        """The columns of the staging table, all of which may be null."""
        return [f"{quote(place(n))} {_staged(c)} NULL" for n, c in enumerate(self.staged)]


def place(number: int) -> str:
    """What a staging table calls a column: so no odd name needs to be understood on the way."""
    return f"c{number}"


def places(columns: Iterable[str]) -> dict[str, str]:
    """What a staging table calls each of its columns."""
    return {column: place(number) for number, column in enumerate(columns)}


def created(field: pa.Field, target: Target) -> TableColumn:
    """A column that is yet to be created."""
    key = is_key(field, target)
    of = declare(field.type, target.lengths.get(field.name), key=key)
    collation = KEY_COLLATION if key and pa.types.is_string(field.type) else ""
    return TableColumn(field.name, of, collation=collation)


def arrange(
    target: Target, table: Table | None, collation: str, created: Creates = created
) -> Layout:
    """Holds what arrives against the table.

    Args:
        target: what arrives.
        table: the destination table as it is now; None when there is none.
        collation: the database's.
        created: the column that is created for a field; a service may have types of its own.

    Raises:
        ConfigError: the rows cannot be written there.
    """
    incoming = schema_from_json(target.columns)
    fold = folding(collation)
    for name in incoming.names:
        quote(name)  # which refuses what cannot be a name
    spelled = told_apart(incoming.names, fold)
    if table is None:
        fields = [f.with_type(stored(f.type)) for f in incoming]
        return Layout(pa.schema(fields), (), tuple(created(f, target) for f in fields))
    columns = {spelled[fold(c.name)]: c for c in table.columns if fold(c.name) in spelled}
    _check_writable(table, columns.values())
    existing = []
    for c in table.columns:
        name = spelled.get(fold(c.name), c.name)
        if c.writable:
            # Of a column that is not written, only whether it is required matters.
            kind = c.canonical if name in columns else pa.string()
            existing.append(pa.field(name, kind, not c.required))
    filled = {name for name, c in columns.items() if not c.writable}
    arriving = pa.schema([f for f in incoming if f.name not in filled])
    schema, added = reconcile(pa.schema(existing), arriving, target.drift)
    added = [f.with_type(stored(f.type)) for f in added]
    fields = [*(f for f in schema if f.name in columns), *added]
    staged = [replace(columns[f.name], name=f.name) for f in fields if f.name in columns]
    staged += [created(f, target) for f in added]
    if target.order_by in filled:
        # The server fills this column, but what it was at the source orders the rows of a key.
        order = incoming.field(target.order_by)
        fields.append(order.with_type(stored(order.type)))
        staged.append(created(fields[-1], target))
    return Layout(pa.schema(fields), tuple(added), tuple(staged))


def stored(of: pa.DataType) -> pa.DataType:
    """The type that a column created for `of` is read as."""
    return _STORED.get(of, of)


def definition(field: pa.Field, target: Target, created: Creates = created) -> str:
    """A column of a created table: its name, type, collation and nullability."""
    required = not field.nullable or is_key(field, target)
    column = created(field, target)
    kind = f"{column.type.text}{_collate(column)}"
    return f"{quote(column.name)} {kind} {'NOT NULL' if required else 'NULL'}"


def arrival(column: TableColumn, staged: str) -> str:
    """The value of a target's column, made of a staged one."""
    return _PUBLISHED_AS.get(column.type.name, "{0}").format(staged)


def compared(column: TableColumn, staged: str) -> str:
    """A staged value of a key as its column compares it: values that wait in another type may be
    the same in one and two in the other, and an index helps to find those of its own type alone.
    """
    kind, collate = column.type.text, _collate(column)
    same = _staged(column) == kind + collate
    return staged if same else f"CAST({staged} AS {kind}){collate}"


def folding(collation: str) -> Callable[[str], str]:
    """The form in which a database of a collation compares names, as near as the collation's name
    tells; where that is not near enough, the server refuses by itself.

    The words of a collation's name: https://learn.microsoft.com/sql/t-sql/statements/windows-collation-name-transact-sql.
    """
    words = collation.upper().split("_")

    def fold(name: str) -> str:
        name = name.rstrip(" ")
        if "CI" in words:
            name = name.casefold()
        if "AI" in words:
            name = "".join(
                c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c)
            )
        return name

    return fold


def _check_writable(table: Table, arriving: Iterable[TableColumn]) -> None:
    """Refuses what rows cannot be published into, all or none."""
    if table.instead_of:
        raise ConfigError(
            "an INSTEAD OF trigger of the destination decides what becomes of its rows",
            fix="Copy into another table, or disable the trigger",
            code="instead-of-trigger",
        )
    if table.memory_optimized:
        raise ConfigError(
            "the destination is memory-optimized, and such a table takes no part in a transaction"
            " like the one that publishes",
            fix="Copy into a table on disk",
            code="memory-optimized",
        )
    for column in arriving:
        if column.encrypted:
            raise ConfigError(
                "the destination's column is always encrypted, and the key to it is not ours",
                fix="Leave the column out with `columns`",
                code="encrypted-column",
                column=column.name,
            )


def _staged(column: TableColumn) -> str:
    """The type and collation in which the values of a column wait."""
    if pa.types.is_string(column.canonical) and column.type.fine:
        return _ISO_TIME
    kind = _STAGED_AS.get(column.type.name) or carrier(column).text
    return kind + (_collate(column) if kind.partition("(")[0].endswith("char") else "")


def _collate(column: TableColumn) -> str:
    return f" COLLATE {column.collation}" if column.collation else ""


def is_key(field: pa.Field, target: Target) -> bool:
    """Whether an upsert tells rows apart by the column."""
    return target.write == "upsert" and field.name in target.keys
