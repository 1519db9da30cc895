"""What the server at the other end is, and can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database


@dataclass(frozen=True)
class Server:
    """A server and the database that is connected to.

    Attributes:
        version: its product version, such as (16, 0, 1000, 6) for SQL Server 2022.
        engine_edition: `SERVERPROPERTY('EngineEdition')`: 5 is Azure SQL Database, 8 a Managed
            Instance.
        product: its own words for what it is.
        collation: the database's.
        default_schema: the schema of names that have none, for this login.
        snapshot: whether a transaction may see the database as of one moment.
        read_committed_snapshot: whether readers see the last committed rows instead of waiting.
        min_active_rowversion: whether it tells the lowest rowversion of an open transaction.
        histograms: whether the histograms of statistics can be read.
        partitions: whether the catalog knows physical partitions.
        app_locks: whether it has locks on names.
    """

    version: tuple[int, ...]
    engine_edition: int
    product: str
    collation: str
    default_schema: str
    snapshot: bool
    read_committed_snapshot: bool
    min_active_rowversion: bool
    histograms: bool
    partitions: bool
    app_locks: bool


# Each is tried: not every server that speaks T-SQL has all that its version says.
_TRIALS = {
    "min_active_rowversion": "SELECT MIN_ACTIVE_ROWVERSION()",
    "histograms": "SELECT COUNT(*) FROM sys.dm_db_stats_histogram(0, 0)",
    "partitions": "SELECT COUNT(*) FROM sys.partition_functions",
    "app_locks": "SELECT APPLOCK_TEST('public', 'copyjob', 'Exclusive', 'Session')",
}
# What a login can use of a version does not change, so it is tried once in a process.
_tried: dict[tuple[str | None, ...], dict[str, bool]] = {}


def probe(db: Database) -> Server:
    """Looks at the server. Not within a transaction, which what it lacks would end."""
    version, edition, product, collation, schema, snapshot, versioned = db.rows(
        # SERVERPROPERTY gives sql_variant, which pyodbc does not read.
        "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)),"
        " CAST(SERVERPROPERTY('EngineEdition') AS int), @@VERSION,"
        " CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)), SCHEMA_NAME(),"
        " snapshot_isolation_state, is_read_committed_snapshot_on"
        " FROM sys.databases WHERE database_id = DB_ID()"
    )[0]
    who = (db.options.server, db.options.database, db.options.user, product)
    if who not in _tried:
        _tried[who] = {name: _works(db, trial) for name, trial in _TRIALS.items()}
    return Server(
        version=tuple(int(number) for number in version.split(".")),
        engine_edition=edition,
        product=product.partition("\n")[0],
        collation=collation,
        default_schema=schema or "dbo",
        snapshot=snapshot == 1,
        read_committed_snapshot=bool(versioned),
        **_tried[who],
    )


def _works(db: Database, trial: str) -> bool:
    try:
        db.run(trial)
    except (ConfigError, TerminalError):
        return False
    return True
