"""Makes staged rows visible in SQLite, and records it, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.sql import sqlite_catalog as catalog
from copy_core.connectors.sql import sqlite_statements as statements
from copy_core.connectors.sql.sqlite_catalog import fold
from copy_core.connectors.sql.sqlite_types import text_affinity
from copy_core.connectors.sql.text import quote
from copy_core.errors import ConfigError, ConflictError, TerminalError
from copy_core.model import Published
from copy_core.schema import schema_from_json
from copy_core.watermark import Watermark

if TYPE_CHECKING:
    from copy_core.connectors.sql.sqlite_catalog import Table
    from copy_core.connectors.sql.sqlite_db import Database
    from copy_core.model import Commit, Target


def ledger(db: Database, job: str, table: str, name: str) -> list[Published]:
    """What was published of (job, table) into the table `name`, newest first.

    A dropped table takes its history with it: what it held has to be copied again.
    """
    if not _exists(db, statements.LEDGER) or not _exists(db, name):
        return []
    return [
        Published(
            sequence=sequence,
            watermark=Watermark.model_validate_json(watermark) if watermark else None,
            rows=rows,
            superseded=superseded,
            bytes=size,
            plan_id=plan_id,
            column=column,
        )
        for sequence, watermark, rows, superseded, size, plan_id, column in db.rows(
            statements.LEDGER_ROWS, (job, table, name)
        )
    ]


def _exists(db: Database, table: str) -> bool:
    return bool(db.value("SELECT count(*) FROM pragma_table_list(?)", (table,)))


def publish(db: Database, commit: Commit) -> Published:
    """See `Destination.publish`."""
    target = commit.target
    with db.transaction():
        db.run(statements.CREATE_LEDGER)
        known = ledger(db, target.job, target.table, target.object)
        for done in known:
            if done.sequence == target.sequence:
                return done
        if known and known[0].sequence > target.sequence:
            raise ConflictError(
                f"the destination is at sequence {known[0].sequence} already, beyond"
                f" {target.sequence}",
                fix="Reset the table, or look for another copy of this job that writes to it",
                code="ledger-ahead",
                table=target.object,
            )
        try:
            superseded = _make_visible(db, commit)
        except (TerminalError, ConfigError) as e:
            raise e.at(table=target.object) from None
        done = commit.published(
            rows=commit.rows - superseded,
            superseded=superseded,
            bytes=sum(part.bytes for part in commit.staged),
        )
        _record(db, target, done, first=not known)
    return done


def _record(db: Database, target: Target, done: Published, *, first: bool) -> None:
    row = (target.job, target.table, target.object)
    if first:
        db.run(statements.LEDGER_FORGET, row)
    watermark = done.watermark.model_dump_json() if done.watermark else ""
    counts = (done.rows, done.superseded, done.bytes)
    record = (*row, done.sequence, watermark, *counts, done.plan_id, done.column)
    db.run(statements.LEDGER_RECORD, record)


def _make_visible(db: Database, commit: Commit) -> int:
    """Moves the staged rows into the table; returns how many were superseded."""
    target = commit.target
    staged = [_staged(db, target, part.ref.get("table", ""), part.rows) for part in commit.staged]
    table = catalog.find_table(db, target.object)
    if table is not None and (target.write == "overwrite" or target.truncate):
        db.run(f"DELETE FROM {quote(target.object)}")
    if target.write == "upsert":
        return _upsert(db, commit, staged, table)
    if table is None and staged:
        first = staged.pop(0)
        db.run(f"ALTER TABLE {quote(first.name)} RENAME TO {quote(target.object)}")
    elif table is None:
        _create(db, target, ())
    table = catalog.find_table(db, target.object)
    if table is not None:
        for part in staged:
            _insert(db, table, part)
    return 0


def _create(db: Database, target: Target, keys: tuple[str, ...]) -> None:
    db.run(statements.create(target.object, schema_from_json(target.columns), {}, keys))


def _staged(db: Database, target: Target, name: str, rows: int) -> Table:
    """A staging table, after a look at whether it holds what was reported."""
    prefix = f"{statements.stage_prefix(target.job, target.table)}{target.sequence}_"
    table = catalog.find_table(db, name) if name.startswith(prefix) else None
    if table is None:
        raise TerminalError(
            f"the staged rows are gone ({name or 'no staging table'})",
            fix="Reset the table to copy its rows again",
            code="staged-missing",
        )
    _same_count(db.value(f"SELECT count(*) FROM {quote(name)}"), rows)
    return table


def _same_count(there: int, wanted: int) -> None:
    if there != wanted:
        raise TerminalError(
            f"{wanted} rows were staged, but {there} would be published",
            fix="Look for a trigger or a rule of the table that drops rows, and for other writers"
            " to the staging tables; nothing was changed",
            code="count-mismatch",
        )


def _insert(db: Database, table: Table, staged: Table) -> None:
    columns = [c.name for c in staged.columns]
    whole = [fold(c) for c in columns] == [fold(c.name) for c in table.columns]
    wanted = db.value(f"SELECT count(*) FROM {quote(staged.name)}")
    changed = db.run(statements.insert(table.name, staged.name, None if whole else columns))
    _same_count(changed, wanted)


def _upsert(db: Database, commit: Commit, staged: list[Table], table: Table | None) -> int:
    target = commit.target
    if table is None:
        _create(db, target, target.keys)
        table = catalog.find_table(db, target.object)
    if table is None or not staged:
        return 0
    one, *more = staged
    for part in more:
        _insert(db, one, part)
    collations = catalog.index_collations(db, table, target.keys)
    if collations is None:
        raise ConfigError(
            f"the table has no unique index on {', '.join(target.keys)} any more",
            fix="Run the job again",
            code="key-index-missing",
        )
    columns = [c.name for c in one.columns]
    order = _order(one, target.order_by) if target.order_by else []
    rowid = catalog.rowid_name(columns)
    work = statements.Upsert(
        target=table.name,
        staged=one.name,
        rowid=rowid,
        columns=columns,
        keys=target.keys,
        collations=collations,
        order=order,
    )
    if nulls := db.value(work.null_keys):
        raise TerminalError(
            f"{nulls} rows have no value in the key ({', '.join(target.keys)})",
            fix="Choose `keys` that every row has, or leave such rows out with `filter`",
            code="null-key",
        )
    keys = db.value(work.distinct_keys)
    unique = keys == commit.rows
    if not unique and (ambiguous := db.value(work.ambiguous_keys)):
        ordered = f" at the newest {target.order_by}" if target.order_by else ""
        raise TerminalError(
            f"{ambiguous} keys ({', '.join(target.keys)}) have several rows{ordered},"
            " and nothing tells which of them is the newest",
            fix="Choose `keys` that identify a row, or an `incremental_column` that orders them",
            code="duplicate-key",
        )
    _same_count(db.run(work.merge(unique=unique)), keys)
    return commit.rows - int(keys)


def _order(staged: Table, column: str) -> list[str]:
    found = staged.column(column)
    digits = pa.types.is_decimal(found.type) and text_affinity(found.declared)
    return statements.descending(column, digits_as_text=digits)
