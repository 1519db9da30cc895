"""What the host must not forget: instances, their histories and what is on its way, in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instances(
    id TEXT PRIMARY KEY, name TEXT, status TEXT, input TEXT, output TEXT, custom TEXT,
    created REAL, updated REAL, parent TEXT, parent_task INTEGER, parent_generation INTEGER,
    generation INTEGER, actions TEXT DEFAULT '[]', longest INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS history(
    id TEXT, seq INTEGER, event TEXT, PRIMARY KEY(id, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox(
    n INTEGER PRIMARY KEY, id TEXT, generation INTEGER, due REAL, event TEXT);
CREATE INDEX IF NOT EXISTS inbox_of ON inbox(id);
CREATE INDEX IF NOT EXISTS inbox_due ON inbox(due);
CREATE TABLE IF NOT EXISTS work(
    n INTEGER PRIMARY KEY, id TEXT, generation INTEGER, task INTEGER, name TEXT, input TEXT);
CREATE INDEX IF NOT EXISTS work_of ON work(id);
CREATE TABLE IF NOT EXISTS schedules(name TEXT PRIMARY KEY, last REAL, next REAL);
CREATE TABLE IF NOT EXISTS complaints(n INTEGER PRIMARY KEY, text TEXT);
"""

OF_INSTANCE = ("history", "inbox", "work")
"""Tables with rows of an instance, besides `instances`."""


class Store:
    """A SQLite file. A generation counts how many times an instance has continued as new.

    `inbox` holds messages to orchestrations, some of them due later; `work` the activities that
    were not answered yet.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        # Survives the death of the process, which is all that the tests bring about.
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        with self._lock:
            row: sqlite3.Row | None = self._db.execute(sql, values).fetchone()
            return row
