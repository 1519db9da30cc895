"""Makes staged rows visible in SQL Server, and records it, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql import (
    catalog,
    extras,
    ledger,
    lock,
    staging,
    statements,
    target_table,
    upsert,
)
from copy_core.connectors.sql.mssql.filling import Filling, same_count
from copy_core.connectors.sql.mssql.layout import arrange
from copy_core.connectors.sql.mssql.ledger import Ledger
from copy_core.errors import CopyJobError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.catalog import Table
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.names import ObjectName
    from copy_core.connectors.sql.mssql.staging import StagedTable
    from copy_core.model import Commit, Published, Target


def publish(db: Database, commit: Commit) -> Published:
    """See `Destination.publish`."""
    try:
        return _publish(db, commit)
    except CopyJobError as e:
        raise e.at(table=commit.target.object) from None


def _publish(db: Database, commit: Commit) -> Published:
    target = commit.target
    name = target_table.named(db, target.object)
    ledger.ensure(db, name.schema)
    ours = partial(lock.held, db, name)
    with db.transaction():
        lock.take(db, name)
        table = catalog.find_table(db, name, db.options.seventh_digit)
        if table:
            book = Ledger(db, target.job, target.table, table.name)
            if done := book.known(target.sequence):
                return done
        staged = staging.find(db, target, name.schema, commit.staged)
        if target.pre_copy_sql:
            extras.run(db, "pre_copy_sql", target.pre_copy_sql, ours)
            table = catalog.find_table(db, name, db.options.seventh_digit)
        known = table is not None
        table = _shape(db, target, name, table)
        superseded = _write(db, target, table, staged, known=known)
        book = Ledger(db, target.job, target.table, table.name)
        if not known:
            # A dropped table takes its history with it: what it held has to be copied again.
            book.forget()
        done = commit.published(
            rows=commit.rows - superseded,
            superseded=superseded,
            bytes=sum(part.bytes for part in commit.staged),
        )
        book.record(done)
        # After the record: a statement that ends the transaction ends it with both.
        extras.run(db, "post_copy_sql", target.post_copy_sql, ours)
    return done


def _shape(db: Database, target: Target, name: ObjectName, table: Table | None) -> Table:
    """The table as the rows need it: created, or grown, where it is not yet so."""
    layout = arrange(target, table, db.server.collation)
    if table is None:
        target_table.create(db, name, layout, target)
    elif layout.added:
        target_table.grow(db, name, layout.added, target)
    else:
        return table
    made = catalog.find_table(db, name, db.options.seventh_digit)
    if made is None:
        raise TerminalError(
            "the table was created and cannot be seen",
            fix="Grant the login VIEW DEFINITION on its schema",
            code="not-visible",
        )
    return made


def _write(
    db: Database, target: Target, table: Table, staged: Sequence[StagedTable], *, known: bool
) -> int:
    """Moves the staged rows into the table; returns how many were superseded."""
    cleared = known and (target.write == "overwrite" or target.truncate)
    if cleared:
        target_table.check_references(db, table)
        _clear(db, table)
    filling = Filling(table, db.server.collation)
    alone = not known or ((cleared or table.rows == 0) and not _makes_readers_wait(db, table))
    if target.write == "upsert":
        ours = cleared or not known
        return upsert.write(db, target, filling, staged, ours=ours, alone=alone)
    for part in staged:
        values = filling.values(part.columns)
        identity = filling.identity in values
        inserted = db.value(
            statements.insert(table.name, part.name, values, alone=alone, identity=identity)
        )
        same_count(inserted, part.rows)
    return 0


def _clear(db: Database, table: Table) -> None:
    """Removes every row, so that readers see the old rows or wait, and never an empty table, and
    that triggers hear of it.
    """
    heard = db.value("SELECT OBJECTPROPERTY(?, 'TableHasDeleteTrigger')", (table.object_id,))
    one_by_one = _versions(db) or bool(heard)
    db.run(statements.delete(table.name) if one_by_one else statements.truncate(table.name))


def _makes_readers_wait(db: Database, table: Table) -> bool:
    """Whether rows that are added under a lock of the whole table make readers wait who otherwise
    wait for nothing: a heap does. Such rows also never take the room that deleted ones have left.

    https://learn.microsoft.com/sql/t-sql/statements/set-transaction-isolation-level-transact-sql
    """
    return _versions(db) and not any(index.clustered for index in table.indexes)


def _versions(db: Database) -> bool:
    """Whether readers may see the rows as they were instead of waiting."""
    return db.server.read_committed_snapshot or db.server.snapshot
