"""Replaces the rows of the keys that arrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql import staging, statements, target_table
from copy_core.connectors.sql.mssql.filling import Filling, same_count
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.staging import StagedTable
from copy_core.connectors.sql.mssql.statements import Key, Upsert
from copy_core.errors import ConfigError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.model import Target

# One statement looks at all staging tables; at more than this many it takes long to be understood.
_MOST_TABLES = 200


def write(
    db: Database,
    target: Target,
    filling: Filling,
    parts: Sequence[StagedTable],
    *,
    ours: bool,
    alone: bool,
) -> int:
    """Inserts or updates; returns how many rows were superseded.

    Args:
        db: the connection, in a transaction.
        target: where to.
        filling: how the table is filled.
        parts: the staged rows.
        ours: the table is empty and locked, so that every row is new.
        alone: whether to lock the whole table, as in `statements.insert`.
    """
    if not parts:
        return 0
    if not target_table.tells_apart(filling.table, target.keys, db.server.collation):
        raise ConfigError(
            f"the table has no unique index on {', '.join(target.keys)} any more",
            fix="Run the job again",
            code="key-index-missing",
        )
    parts, superseded = settled(db, target, filling, parts)
    work = _work(target, filling, parts)
    values = filling.values(parts[0].columns)
    identity = filling.identity in values
    fixed = {filling.identity, *(key.own for key in keys_of(target, filling, parts))}
    changes = {name: value for name, value in values.items() if name not in fixed}
    # All changes first: a new row may take a unique value that a changed one gives up.
    changed = [0 if ours else db.value(work.update(part.name, changes)) for part in parts]
    for part, known in zip(parts, changed, strict=True):
        new = (
            statements.insert(filling.table.name, part.name, values, alone=alone, identity=identity)
            if ours
            else work.insert(part.name, values, identity=identity)
        )
        same_count(known + db.value(new), part.rows)
    return superseded


def settled(
    db: Database, target: Target, filling: Filling, parts: Sequence[StagedTable]
) -> tuple[Sequence[StagedTable], int]:
    """The staged rows that an upsert writes, one of each key, and how many it leaves out.

    Args:
        db: the connection.
        target: where to.
        filling: how the table is filled.
        parts: the staged rows; at least one table of them.

    Raises:
        TerminalError: a key is null, or nothing tells which row of it is the newest.
    """
    arrived = sum(part.rows for part in parts)
    if len(parts) > _MOST_TABLES:
        parts = [_together(db, target, filling, parts)]
    work = _work(target, filling, parts)
    rows, nulls = db.rows(work.totals)[0]
    same_count(rows, arrived)
    if nulls:
        raise TerminalError(
            f"{nulls} rows have no value in the key ({', '.join(target.keys)})",
            fix="Choose `keys` that every row has, or leave such rows out with `filter`",
            code="null-key",
        )
    keys = int(db.value(work.distinct_keys))
    if keys != arrived:
        parts = [_newest(db, target, filling, parts)]
        same_count(parts[0].rows, keys)
    return parts, arrived - keys


def keys_of(target: Target, filling: Filling, parts: Sequence[StagedTable]) -> list[Key]:
    """The columns of the key of an upsert."""
    return [filling.key(key, parts[0].columns) for key in target.keys]


def _work(target: Target, filling: Filling, parts: Sequence[StagedTable]) -> Upsert:
    keys = keys_of(target, filling, parts)
    return Upsert(filling.table.name, [part.name for part in parts], keys)


def _together(
    db: Database, target: Target, filling: Filling, parts: Sequence[StagedTable]
) -> StagedTable:
    """One staging table of the rows of many."""
    first, *more = [parts[n : n + _MOST_TABLES] for n in range(0, len(parts), _MOST_TABLES)]
    columns = parts[0].columns
    into = staging.new_name(target, parts[0].name.schema, "together")
    rows = db.value(_work(target, filling, first).together(into, list(columns.values())))
    for part in (part for some in more for part in some):
        values = {column: quote(column) for column in columns.values()}
        rows += db.value(statements.insert(into, part.name, values, alone=True))
    return StagedTable(into, columns, rows)


def _newest(
    db: Database, target: Target, filling: Filling, parts: Sequence[StagedTable]
) -> StagedTable:
    """One staging table of the newest rows.

    Raises:
        TerminalError: nothing tells which row of a key is the newest.
    """
    columns = parts[0].columns
    work = _work(target, filling, parts)
    into = staging.new_name(target, parts[0].name.schema, "newest")
    rows = 0
    if target.order_by:
        order = filling.staged(target.order_by, columns)
        rows = db.value(work.newest(into, list(columns.values()), order))
        parts = [StagedTable(into, columns, rows)]
    if ambiguous := db.value(_work(target, filling, parts).ambiguous_keys):
        ordered = f" at the newest {target.order_by}" if target.order_by else ""
        raise TerminalError(
            f"{ambiguous} keys ({', '.join(target.keys)}) have several rows{ordered},"
            " and nothing tells which of them is the newest",
            fix="Choose `keys` that identify a row, or an `incremental_column` that orders them",
            code="duplicate-key",
        )
    return StagedTable(into, columns, rows)
