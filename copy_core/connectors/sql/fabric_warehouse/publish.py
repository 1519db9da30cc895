"""Makes staged rows visible in a Warehouse, and records it, in one transaction.

What takes long comes before: the files are loaded into a staging table that nobody knows, and the
rows that an upsert leaves out are found there. The transaction neither asks the catalog for
anything, since its snapshot ends when anybody changes what it looks at, nor changes it, since
everybody who asks the catalog for tables would wait for its end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from copy_core.connectors.sql.fabric_warehouse import (
    copy_into,
    files,
    ledger,
    places,
    tables,
)
from copy_core.connectors.sql.fabric_warehouse.types import narrowed
from copy_core.connectors.sql.mssql import extras, staging, statements, target_table, upsert
from copy_core.connectors.sql.mssql.filling import Filling, same_count
from copy_core.connectors.sql.mssql.layout import places as placed
from copy_core.connectors.sql.mssql.staging import StagedTable
from copy_core.connectors.sql.mssql.statements import Upsert
from copy_core.connectors.sql.mssql.table import Table
from copy_core.errors import CopyJobError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Store
    from copy_core.connectors.sql.fabric_warehouse.files import StagedFiles
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.target_table import Whereto
    from copy_core.connectors.warehouse_options import FabricWarehouseOptions
    from copy_core.model import Commit, Published, Target


def publish(
    db: Database, store: Store, options: FabricWarehouseOptions, commit: Commit
) -> Published:
    """See `Destination.publish`.

    Args:
        db: the connection.
        store: where the rows wait.
        options: the connection's options, secrets resolved.
        commit: what to publish.
    """
    try:
        return _publish(db, store, options, commit)
    except CopyJobError as e:
        raise e.at(table=commit.target.object) from None


def _publish(
    db: Database, store: Store, options: FabricWarehouseOptions, commit: Commit
) -> Published:
    target = narrowed(commit.target)
    name, table, layout = tables.look(db, target)
    ledger.ensure(db, name)
    book = ledger.of(db, target.job, target.table, name)
    if table and (done := book.known(target.sequence)):
        return done
    staged = files.find(store, options, commit)
    if table and layout.added:
        tables.grow(db, name, layout.added, target)
        name, table, layout = tables.look(db, target)
    whereto = target_table.Whereto(name, table, layout)
    part, superseded = _ready(db, options, target, whereto, staged)
    if table is None:
        whereto = _create(db, target, whereto)
        # Its history goes by the name that the database has for it, as later copies find it.
        book = ledger.of(db, target.job, target.table, whereto.name)
    with db.transaction(snapshot=True):
        ours = partial(ledger.held, db, ledger.hold(db, name))
        if done := book.known(target.sequence):
            return done
        extras.run(db, "pre_copy_sql", target.pre_copy_sql, ours)
        _write(db, target, whereto, part)
        done = commit.published(
            rows=commit.rows - superseded, superseded=superseded, bytes=staged.bytes
        )
        book.record(done)
        # After the record: a statement that ends the transaction ends it with both.
        extras.run(db, "post_copy_sql", target.post_copy_sql, ours)
    return done


def _ready(
    db: Database,
    options: FabricWarehouseOptions,
    target: Target,
    whereto: Whereto,
    staged: StagedFiles,
) -> tuple[StagedTable | None, int]:
    """A staging table of the rows to write, None when there is none, and how many an upsert
    leaves out.
    """
    if not staged.rows:
        return None, 0
    if list(staged.columns) != whereto.layout.schema.names:
        raise files.changed()
    into = staging.new_name(target, whereto.name.schema, "load")
    part = StagedTable(into, placed(staged.columns), staged.rows)
    db.run(tables.create_staging(into, whereto.layout.staged))
    copy_into.load(db, into, list(part.columns.values()), staged, places.staging(options))
    same_count(db.value(f"SELECT COUNT_BIG(*) FROM {into.quoted}"), staged.rows)
    if target.write != "upsert":
        return part, 0
    [part], superseded = upsert.settled(db, target, _filling(db, whereto), [part])
    return part, superseded


def _create(db: Database, target: Target, whereto: Whereto) -> Whereto:
    """Creates the table, empty, in a short transaction of its own."""
    with db.transaction(snapshot=True):
        ledger.hold(db, whereto.name)
        if target_table.spelled(db, target.object) is None:  # else somebody was faster
            db.run(tables.create(whereto.name, whereto.layout.schema, target))
            made = target_table.spelled(db, target.object) or whereto.name
            # A dropped table takes its history with it: what it held has to be copied again.
            ledger.of(db, target.job, target.table, made).forget()
    return tables.look(db, target)


def _write(db: Database, target: Target, whereto: Whereto, part: StagedTable | None) -> None:
    """Moves the staged rows into the table."""
    cleared = target.write == "overwrite" or target.truncate
    if cleared:
        db.run(tables.delete(whereto.name))
    if part is None:
        return
    filling = _filling(db, whereto)
    values = filling.values(part.columns)
    if target.write != "upsert" or cleared:
        same_count(
            db.run(statements.insert(whereto.name, part.name, values, plain=True)), part.rows
        )
        return
    keys = upsert.keys_of(target, filling, [part])
    work = Upsert(whereto.name, [part.name], keys, plain=True)
    own = {key.own for key in keys}
    changes = {column: value for column, value in values.items() if column not in own}
    if changes:
        db.run(work.update(part.name, changes))
    db.run(work.insert(part.name, values, identity=False))
    if db.value(work.update(part.name, {})) != part.rows:  # which counts the rows of these keys
        raise TerminalError(
            f"the destination has several rows of one key ({', '.join(target.keys)})",
            fix="Remove the duplicates, choose other `keys`, or write with `overwrite`; a Warehouse"
            " enforces no key by itself",
            code="duplicate-key",
        )


def _filling(db: Database, whereto: Whereto) -> Filling:
    table = whereto.table or Table(whereto.name, "table", whereto.layout.staged)
    return Filling(table, db.server.collation)
