"""One publisher of a table at a time, on servers whose readers never wait for writers too."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from copy_core.errors import TransientError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.names import ObjectName

WAIT_SECONDS = 120
"""How long a publisher waits for another before the control flow takes over."""

TAKE = (
    "DECLARE @taken int; EXEC @taken = sp_getapplock @Resource = ?, @LockMode = N'Exclusive',"
    f" @LockOwner = N'Transaction', @LockTimeout = {WAIT_SECONDS * 1000}; SELECT @taken"
)
MODE = "SELECT APPLOCK_MODE(N'public', ?, N'Transaction')"


def resource(table: ObjectName) -> str:
    """The name of a table's lock.

    Names that differ in case alone share one: where they are two tables, their publishers wait
    for each other without need, and that is all.
    """
    return f"copyjob {hashlib.sha256(table.text.casefold().encode()).hexdigest()}"


def take(db: Database, table: ObjectName) -> None:
    """Holds the lock of a table to the end of the transaction.

    Raises:
        TransientError: another transaction has held it for too long.
    """
    if int(db.value(TAKE, (resource(table),))) < 0:
        raise TransientError(
            f"another transaction has been publishing for more than {WAIT_SECONDS} seconds",
            fix="Let the other copy into this table finish",
            code="locked",
            table=table.text,
        )


def held(db: Database, table: ObjectName) -> bool:
    """Whether this transaction is the one that took the lock of a table."""
    return bool(db.value(MODE, (resource(table),)) == "Exclusive")
