"""A server's tables as the crash tests put rows into them and read them back."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from copy_core.connectors.options import Connection, MssqlOptions
from tests.crash.places import TABLE, Row
from tests.mssql.server import opened

_SETTLED = 30.0


def options(database: str) -> MssqlOptions:
    """How a job gets to that database."""
    return opened(database).options


class MssqlTable:
    """A table in the database of that name, which has none yet.

    Args:
        database: the database.
        given: how a job gets there, if not as to any database.
    """

    updates = deletes = True

    def __init__(self, database: str, given: Connection | None = None) -> None:
        self._database = opened(database)
        self.options: Connection = given or self._database.options
        self._database.run(
            f"CREATE TABLE {TABLE} (id bigint NOT NULL PRIMARY KEY, v bigint, rev bigint NOT NULL)"
        )

    def insert(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._database.run(f"INSERT INTO {TABLE} (id, v, rev) VALUES (?, ?, ?)", *row)

    def update(self, row: Row) -> None:
        number, value, revision = row
        self._database.run(
            f"UPDATE {TABLE} SET v = ?, rev = ? WHERE id = ?", value, revision, number
        )

    def delete(self, number: int) -> None:
        self._database.run(f"DELETE FROM {TABLE} WHERE id = ?", number)


def rows(database: str) -> list[Row]:
    """The rows that readers see now."""
    reader = opened(database)
    if TABLE not in reader.tables():
        return []
    return [(n, v, rev) for n, v, rev in reader.rows(f"SELECT id, v, rev FROM {TABLE}")]


def waiting(database: str) -> list[str]:
    """What lies beside the table and the ledger."""
    return [name for name in opened(database).tables() if name not in (TABLE, "_copyjob_ledger")]


def settle(database: str) -> None:
    """Waits until the server has undone, or finished, what dead processes had under way."""
    asked = (
        "SELECT host_process_id FROM sys.dm_exec_sessions"
        " WHERE database_id = DB_ID() AND session_id IS NOT NULL"
    )
    latest = time.monotonic() + _SETTLED
    while dead := [pid for (pid,) in opened(database).rows(asked) if pid and not _lives(pid)]:
        assert time.monotonic() < latest, f"the server still has sessions of {dead}"
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
