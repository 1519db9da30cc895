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
import secrets
from contextlib import closing
from typing import NamedTuple

from copy_core.connectors.sql.mssql import ledger
from copy_core.connectors.sql.mssql.catalog import OWN
from copy_core.connectors.sql.mssql.db import Database
from copy_core.connectors.sql.mssql.ledger import Ledger
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.errors import CopyJobError, TerminalError

_TURN = bytes(32)
"""The key of the row that stands for the turn; no hash is that."""


class Turn(NamedTuple):
    """The turn of one transaction.

    Attributes:
        ledger: the ledger that it is in.
        token: what tells it from every other.
    """

    ledger: ObjectName
    token: str


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
    """Changes the row of the turn. Values: the turn's token, the row's key."""
    return f"UPDATE {name.quoted} SET [sequence] = [sequence] + 1, [plan_id] = ? WHERE [key] = ?"


def whose_turn(name: ObjectName) -> str:
    """Asks for the token of the turn that was taken last. Value: the row's key."""
    return f"SELECT [plan_id] FROM {name.quoted} WHERE [key] = ?"


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


def hold(db: Database, table: ObjectName) -> Turn:
    """Makes this transaction the only publisher of a table that may commit; returns its turn.

    Raises:
        TransientError: another one is or was at it.
        TerminalError: somebody has removed the row of the turn.
    """
    turn = Turn(ledger_of(table), secrets.token_hex(16))
    if db.run(take_turn(turn.ledger), (turn.token, _TURN)) != 1:
        raise TerminalError(
            f"the ledger {turn.ledger.text} lacks the row by which copies take turns",
            fix="Reset the table, drop the ledger, and copy anew",
            code="ledger-damaged",
        )
    return turn


def held(db: Database, turn: Turn) -> bool:
    """Whether the transaction that took a turn is under way still: it sees that, and nobody else
    does.
    """
    with closing(Database(db.options)) as other:
        own, seen = (each.value(whose_turn(turn.ledger), (_TURN,)) for each in (db, other))
    return bool(own == turn.token != seen)
