"""State in one SQLite file: the default on a laptop or a single machine.

A write that returned has been synced to the disk (write-ahead log, `synchronous=FULL`), so it
survives a power cut. Each write is one statement, which SQLite runs in a transaction that takes
the write lock before it looks at the row: that alone makes compare-and-set safe between threads
and between processes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from uuid import uuid4

from copy_core.errors import ConfigError, ConflictError, CopyJobError, TerminalError, TransientError
from copy_core.model import JsonDict
from copy_core.state.base import ABSENT, ANY, Row, StateStore
from copy_core.state.encoding import dump, load

_BUSY_S = 30.0
_TABLE = """CREATE TABLE IF NOT EXISTS state (
    partition TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (partition, key)) WITHOUT ROWID"""
_UPSERT = """INSERT INTO state (partition, key, value, etag) VALUES (?, ?, ?, ?)
    ON CONFLICT (partition, key) DO UPDATE SET value = excluded.value, etag = excluded.etag"""
_INSERT = """INSERT INTO state (partition, key, value, etag) VALUES (?, ?, ?, ?)
    ON CONFLICT (partition, key) DO NOTHING"""
_UPDATE = "UPDATE state SET value = ?, etag = ? WHERE partition = ? AND key = ? AND etag = ?"
_DELETE = "DELETE FROM state WHERE partition = ?"
_SELECT = "SELECT key, value, etag FROM state WHERE partition = ?"
# SQLite orders any blob after any text: an upper bound above every key.
_NO_BOUND = b""


class SqliteStateStore(StateStore):
    """A state file.

    Args:
        path: the file; it and its folder are made when missing. Keep it on a local disk: network
            file systems do not lock it reliably.

    Raises:
        ConfigError: the file cannot be opened or written.
        TerminalError: it is damaged or no state file, or its disk is full.
        TransientError: another process held it for longer than half a minute.
    """

    def __init__(self, path: str | Path) -> None:
        self.place = str(path)
        self._lock = RLock()
        with self._errors():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._use_wal()
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute(_TABLE)
            except BaseException:
                self._connection.close()
                raise

    def get(self, partition: str, key: str) -> Row | None:
        return next(iter(self._rows(_SELECT + " AND key = ?", partition, key)), None)

    def put(self, partition: str, key: str, value: JsonDict, expect: str = ANY) -> str:
        text, etag = dump(value, partition, key), uuid4().hex
        if expect == ANY:
            self._change(_UPSERT, partition, key, text, etag)
        elif expect == ABSENT:
            changed = self._change(_INSERT, partition, key, text, etag)
            _check(changed, partition, key)
        else:
            changed = self._change(_UPDATE, text, etag, partition, key, expect)
            _check(changed, partition, key)
        return etag

    def put_many(self, partition: str, values: Mapping[str, JsonDict]) -> None:
        rows = [(partition, k, dump(v, partition, k), uuid4().hex) for k, v in values.items()]
        with self._errors(), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_UPSERT, rows)
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def delete(self, partition: str, key: str, expect: str = ANY) -> None:
        if expect == ANY:
            self._change(_DELETE + " AND key = ?", partition, key)
        else:
            changed = self._change(_DELETE + " AND key = ? AND etag = ?", partition, key, expect)
            _check(changed, partition, key)

    def list(
        self, partition: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[Row]:
        # Every key but the empty one is greater than "", so an absent `after` is no condition.
        later = "AND key > ?" if after else "AND ? = ''"
        rows = self._rows(
            f"{_SELECT} AND key >= ? AND key < ? {later} ORDER BY key LIMIT ?",
            partition,
            prefix,
            _above(prefix),
            after,
            -1 if limit is None else limit,
        )
        return [*rows]

    def delete_prefix(self, partition: str, prefix: str) -> None:
        condition = " AND key >= ? AND key < ?"
        self._change(_DELETE + condition, partition, prefix, _above(prefix))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _rows(self, sql: str, *values: str | bytes | int) -> Sequence[Row]:
        with self._errors(), self._lock:
            found = self._connection.execute(sql, values).fetchall()
        partition, place = str(values[0]), self.place
        return [
            Row(key, load(text, partition=partition, key=key, state=place), etag)
            for key, text, etag in found
        ]

    def _change(self, sql: str, *values: str | bytes) -> int:
        """Runs one write; returns how many rows it changed."""
        with self._errors(), self._lock:
            return self._connection.execute(sql, values).rowcount

    def _use_wal(self) -> None:
        """Switches the file to a write-ahead log, which it then keeps.

        SQLite does not wait for others at this one place: processes that open a new file at the
        same moment have to take turns by themselves.
        """
        give_up = time.monotonic() + _BUSY_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as e:
                if not _is(e, sqlite3.SQLITE_BUSY) or time.monotonic() > give_up:
                    raise
            time.sleep(0.01)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise self._unusable(e) from e
        except sqlite3.Error as e:
            raise self._classed(e) from e

    def _unusable(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"the state file cannot be opened and written: {error}",
            fix="Give a path in a folder that this user may write to",
            code="state-unusable",
            file=self.place,
        )

    def _classed(self, error: sqlite3.Error) -> CopyJobError:
        if _is(error, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return self._unusable(error)
        if _is(error, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return TransientError(
                f"another process kept the state file locked for {_BUSY_S:.0f} seconds",
                fix="Look for what holds it open: another run, a backup or a tool for SQLite files",
                code="state-locked",
                file=self.place,
            )
        # With a write-ahead log, SQLite finds a full disk in places where it has no code for that.
        if _is(error, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return TerminalError(
                f"the disk of the state file is full or fails: {error} ({error.sqlite_errorname})",
                fix="Free space on it and run again: the run takes up where this one stopped",
                code="state-disk-full",
                file=self.place,
            )
        return TerminalError(
            f"the state file is damaged or holds something else: {error}",
            fix="Check the path; if it is right, move the file away and run again: the ledger"
            " at each destination gives back the watermarks",
            code="state-damaged",
            file=self.place,
        )


def _is(error: sqlite3.Error, *codes: int) -> bool:
    """Whether SQLite gave one of these primary result codes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def _check(changed: int, partition: str, key: str) -> None:
    if not changed:
        raise ConflictError(
            "the state was changed by somebody else meanwhile",
            code="state-changed",
            partition=partition,
            key=key,
        )


def _above(prefix: str) -> str | bytes:
    """The least bound above every key that starts with `prefix`."""
    bare = prefix.rstrip("\U0010ffff")
    if not bare:
        return _NO_BOUND
    # Surrogates are no characters: the one after U+D7FF is U+E000.
    return bare[:-1] + chr(0xE000 if bare[-1] == "\ud7ff" else ord(bare[-1]) + 1)
