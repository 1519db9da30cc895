"""What the database at the other end is, and can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database

# The collation is not asked of sys.databases, which some servers leave it out of. The name is what
# tells: DB_ID() of Azure SQL Database is another number than that view's
# (https://learn.microsoft.com/sql/t-sql/functions/db-id-transact-sql).
_PROBE = """
SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)), SCHEMA_NAME(),
    snapshot_isolation_state, is_read_committed_snapshot_on
FROM sys.databases WHERE name = DB_NAME()
"""


@dataclass(frozen=True)
class Server:
    """A database, as this login meets it.

    Attributes:
        collation: its collation.
        default_schema: the schema of names that have none, for this login.
        snapshot: whether a transaction may see the database as of one moment.
        read_committed_snapshot: whether readers see the last committed rows instead of waiting.
    """

    collation: str
    default_schema: str
    snapshot: bool
    read_committed_snapshot: bool


def probe(db: Database) -> Server:
    """Looks at the database that is connected to."""
    [(collation, schema, snapshot, versioned)] = db.rows(_PROBE)
    return Server(collation, schema or "dbo", snapshot == 1, bool(versioned))
