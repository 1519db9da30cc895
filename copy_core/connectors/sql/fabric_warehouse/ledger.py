"""What was published into a table of a Warehouse: a ledger for each table.

A Warehouse has no locks that a transaction may ask for, and sees no conflict between two that only
add rows. It sees one between two that change rows of the same table, and lets the first to commit
win. So every publish changes the row of its table's ledger that stands for the turn: of two at
once, one is undone as a whole. In a ledger for all tables, copies of different tables would undo
each other.
https://learn.microsoft.com/fabric/data-warehouse/transactions
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql import ledger
from copy_core.connectors.sql.mssql.catalog import OWN
from copy_core.connectors.sql.mssql.ledger import Ledger
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.errors import CopyJobError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database

_TURN = bytes(32)
"""The key of the row that stands for the turn; no hash is that."""


def ledger_of(table: ObjectName) -> ObjectName:
    """The ledger of a table, beside it. Names that differ in case alone share one, and take turns
    where they are two tables.
    """
    digest = hashlib.sha256(table.text.casefold().encode()).hexdigest()[:16]
    return ObjectName(table.schema, f"{OWN}ledger_{digest}")


def create(name: ObjectName) -> str:
    """Creates a ledger; lengths are in bytes."""
    return f"""CREATE TABLE {name.quoted} (
  [key] varbinary(32) NOT NULL,
  [sequence] bigint NOT NULL,
  [job] varchar(800) NOT NULL,
  [source] varchar(1600) NOT NULL,
  [destination] varchar(1200) NOT NULL,
  [watermark] varchar(1600) NULL,
  [rows] bigint NOT NULL,
  [superseded] bigint NOT NULL,
  [bytes] bigint NOT NULL,
  [plan_id] varchar(800) NOT NULL,
  [incremental_column] varchar(800) NOT NULL
)"""


def take_turn(name: ObjectName) -> str:
    """Changes the row of the turn. Value: its key."""
    return f"UPDATE {name.quoted} SET [sequence] = [sequence] + 1 WHERE [key] = ?"


def of(db: Database, job: str, source: str, table: ObjectName) -> Ledger:
    """The history of (job, source) in a table, as the database spells it."""
    return Ledger(db, job, source, table, ledger_of(table))


def ensure(db: Database, table: ObjectName) -> None:
    """Creates the ledger of a table where it has none."""
    name = ledger_of(table)
    if ledger.exists(db, name):
        return
    try:
        with db.transaction(snapshot=True):
            db.run(create(name))
            nothing = (0, None, 0, 0, 0, "", "")
            db.run(ledger.record(name), (_TURN, "", "", table.text, *nothing))
    except CopyJobError:
        if not ledger.exists(db, name):  # else somebody was faster
            raise


def hold(db: Database, table: ObjectName) -> None:
    """Makes this transaction the only publisher of a table that may commit.

    Raises:
        TransientError: another one is or was at it.
        TerminalError: somebody has removed the row of the turn.
    """
    if db.run(take_turn(ledger_of(table)), (_TURN,)) != 1:
        raise TerminalError(
            f"the ledger {ledger_of(table).text} lacks the row by which copies take turns",
            fix="Reset the table, drop the ledger, and copy anew",
            code="ledger-damaged",
        )
