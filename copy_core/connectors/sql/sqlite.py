"""The SQLite connector: tables of a database file, read and written in place."""

from copy_core.connectors.sql.sqlite_destination import SqliteDestination
from copy_core.connectors.sql.sqlite_source import SqliteSource

__all__ = ["SqliteDestination", "SqliteSource"]
