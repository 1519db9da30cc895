"""What was published into the tables of a schema: a table beside them, written as one with them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql import lock
from copy_core.connectors.sql.mssql.catalog import OWN
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.errors import ConflictError
from copy_core.model import Published
from copy_core.watermark import Watermark

if TYPE_CHECKING:
    from typing import Any

    from copy_core.connectors.sql.mssql.db import Database

_FIELDS = "[sequence], [watermark], [rows], [superseded], [bytes], [plan_id], [incremental_column]"


def ledger_of(schema: str) -> ObjectName:
    """The ledger of the tables of a schema."""
    return ObjectName(schema, f"{OWN}ledger")


def create(ledger: ObjectName) -> str:
    """Creates the ledger.

    A row is found by a hash of job, source and destination: together they are longer than an index
    key may be, and no collation may take two of them for one.
    """
    return f"""CREATE TABLE {ledger.quoted} (
  [key] binary(32) NOT NULL,
  [sequence] bigint NOT NULL,
  [job] nvarchar(200) NOT NULL,
  [source] nvarchar(400) NOT NULL,
  [destination] nvarchar(300) NOT NULL,
  [watermark] nvarchar(400) NULL,
  [rows] bigint NOT NULL,
  [superseded] bigint NOT NULL,
  [bytes] bigint NOT NULL,
  [plan_id] nvarchar(200) NOT NULL,
  [incremental_column] nvarchar(200) NOT NULL,
  [published_at] datetime2(3) NOT NULL DEFAULT SYSUTCDATETIME(),
  PRIMARY KEY ([key], [sequence])
)"""


def newest(ledger: ObjectName) -> str:
    """The newest record. Value: the key."""
    return f"SELECT TOP (1) {_FIELDS} FROM {ledger.quoted} WHERE [key] = ? ORDER BY [sequence] DESC"


def reached(ledger: ObjectName) -> str:
    """The oldest record of a sequence or one above it. Values: the key, the sequence."""
    return (
        f"SELECT TOP (1) {_FIELDS} FROM {ledger.quoted} WHERE [key] = ? AND [sequence] >= ?"
        " ORDER BY [sequence]"
    )


def forget(ledger: ObjectName) -> str:
    """Removes the history of a table that is gone. Value: the key."""
    return f"DELETE FROM {ledger.quoted} WHERE [key] = ?"


def record(ledger: ObjectName) -> str:
    """Adds a record. Values: the key, job, source, destination, and those of `Published`."""
    return (
        f"INSERT INTO {ledger.quoted} ([key], [job], [source], [destination], {_FIELDS})"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )


class Ledger:
    """The history of (job, source) in one destination table.

    Args:
        db: the connection.
        job: the job's name.
        source: the table's name in the job.
        table: the destination table as the database spells it, so that all spellings of its name
            share one history.
        ledger: where the history is kept; by default in the one ledger of the table's schema.
    """

    def __init__(
        self,
        db: Database,
        job: str,
        source: str,
        table: ObjectName,
        ledger: ObjectName | None = None,
    ) -> None:
        self._db = db
        self._ledger = ledger or ledger_of(table.schema)
        self._names = (job, source, table.text)
        self._key = hashlib.sha256("\0".join(self._names).encode()).digest()

    def newest(self) -> Published | None:
        """The newest record; None when there is none, or no ledger."""
        if not exists(self._db, self._ledger):
            return None
        return _published(self._db.rows(newest(self._ledger), (self._key,)))

    def known(self, sequence: int) -> Published | None:
        """The record of a sequence; None when that is yet to come.

        Raises:
            ConflictError: the ledger is beyond it, and has no record of it.
        """
        found = _published(self._db.rows(reached(self._ledger), (self._key, sequence)))
        if found is None or found.sequence == sequence:
            return found
        raise ConflictError(
            f"the destination is at sequence {found.sequence} already, beyond {sequence}",
            fix="Reset the table, or look for another copy of this job that writes to it",
            code="ledger-ahead",
        )

    def forget(self) -> None:
        """Removes the whole history."""
        self._db.run(forget(self._ledger), (self._key,))

    def record(self, done: Published) -> None:
        watermark = done.watermark.model_dump_json() if done.watermark else None
        counts = (done.rows, done.superseded, done.bytes)
        what = (done.sequence, watermark, *counts, done.plan_id, done.column)
        self._db.run(record(self._ledger), (self._key, *self._names, *what))


def ensure(db: Database, schema: str) -> None:
    """Creates the ledger of a schema where it has none."""
    ledger = ledger_of(schema)
    if exists(db, ledger):
        return
    with db.transaction():
        lock.take(db, ledger)
        if not exists(db, ledger):
            db.run(create(ledger))


def exists(db: Database, ledger: ObjectName) -> bool:
    return db.value("SELECT OBJECT_ID(?, N'U')", (ledger.quoted,)) is not None


def _published(rows: list[tuple[Any, ...]]) -> Published | None:
    for sequence, watermark, count, superseded, size, plan_id, column in rows:
        return Published(
            sequence=sequence,
            watermark=Watermark.model_validate_json(watermark) if watermark else None,
            rows=count,
            superseded=superseded,
            bytes=size,
            plan_id=plan_id,
            column=column,
        )
    return None
