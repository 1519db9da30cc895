"""What the database at the other end is, and can do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database

# Names are compared under the catalog's collation, which is not the database's everywhere: see
# CATALOG_COLLATION of CREATE DATABASE. The name of the database is what tells: DB_ID() of Azure SQL
# Database is another number than that view's
# (https://learn.microsoft.com/sql/t-sql/functions/db-id-transact-sql).
_PROBE = """
SELECT COALESCE((SELECT collation_name FROM sys.all_columns
        WHERE object_id = OBJECT_ID(N'sys.tables') AND name = N'name'),
    CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128))), SCHEMA_NAME(),
    snapshot_isolation_state, is_read_committed_snapshot_on
FROM sys.databases WHERE name = DB_NAME()
"""


@dataclass(frozen=True)
class Server:
    """A database, as this login meets it.

    Attributes:
        collation: the collation under which names are compared.
        default_schema: the schema of names that have none, for this login.
        snapshot: whether a transaction may see the database as of one moment.
        read_committed_snapshot: whether readers see the last committed rows instead of waiting.
    """

    collation: str
    default_schema: str
    snapshot: bool
    read_committed_snapshot: bool


_KNOWN_SECONDS = 60.0
_known: dict[str, tuple[float, Server]] = {}


def known(db: Database) -> Server:
    """The database that is connected to, as it was a minute ago at most: each part is read through
    a connection of its own, and need not ask again.
    """
    key = db.options.model_dump_json()
    until, found = _known.get(key, (0.0, None))
    if found is None or time.monotonic() > until:
        found = _probe(db)
        _known[key] = (time.monotonic() + _KNOWN_SECONDS, found)
    return found


def _probe(db: Database) -> Server:
    [(collation, schema, snapshot, versioned)] = db.rows(_PROBE)
    return Server(collation, schema or "dbo", snapshot == 1, bool(versioned))
