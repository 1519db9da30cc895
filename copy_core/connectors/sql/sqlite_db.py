"""One open SQLite file, and SQLite's errors as ours.

Everything goes through ADBC, also catalog and transactions: a second copy of libsqlite on the same
file in one process (Python's `sqlite3`) would drop the first one's POSIX locks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote as percent

import adbc_driver_manager
import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa

from copy_core.errors import (
    ConfigError,
    CopyJobError,
    TerminalError,
    TransientError,
)

if TYPE_CHECKING:
    from copy_core.connectors.sql.text import Sql

# How long SQLite itself waits for another process' lock before the control flow takes over.
BUSY_MS = 20_000

FAILURES = (adbc_driver_manager.Error, pa.ArrowException, OSError, UnicodeDecodeError)
"""What ADBC raises while SQLite runs a statement."""


class Database:
    """A connection to a file. Every statement outside `transaction` is its own transaction.

    Args:
        path: the file.
        write: open for writing, and create the file if need be; otherwise neither.

    Raises:
        ConfigError: there is no such file, or it cannot be opened.
    """

    def __init__(self, path: str, *, write: bool) -> None:
        self.path = path
        needed = Path(path).parent if write else Path(path)
        if not needed.exists() or Path(path).is_dir():
            raise ConfigError(
                "the path is a folder, not a database file"
                if Path(path).is_dir()
                else f"there is no {'folder' if write else 'file'} {needed}",
                fix="Correct the `path` of the connection",
                code="file-missing",
                file=path,
            )
        mode = "rwc" if write else "ro"
        uri = f"file:{percent(str(Path(path).absolute()))}?mode={mode}"
        with self.errors():
            self._connection = adbc.connect(uri, autocommit=True)
        self._streams: list[adbc.Cursor] = []
        self._inside = RLock()  # whoever is within the driver
        try:
            self.run(f"PRAGMA busy_timeout = {BUSY_MS}")
            # Otherwise ALTER TABLE … RENAME fails where some view, anybody's, has gone stale.
            self.run("PRAGMA legacy_alter_table = ON")
            self.value("PRAGMA schema_version")  # reads the file, and fails if it is no database
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        # A run that was broken off may have left a thread within the driver, which would crash.
        with self._inside:
            for cursor in self._streams:  # of reads that nobody finished
                cursor.close()
            self._connection.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what ADBC raises into our errors."""
        try:
            yield
        except FAILURES as e:
            raise translate(e, self.path) from e

    def rows(self, statement: Sql | str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. For few rows only."""
        text, bound = _split(statement, values)
        with self.errors(), self._inside, self._connection.cursor() as cursor:
            cursor.execute(text, bound)
            return cursor.fetchall()

    def value(self, statement: Sql | str, values: Sequence[object] = ()) -> Any:
        """The first value of the first row; None when there is no row."""
        found = self.rows(statement, values)
        return found[0][0] if found else None

    def run(self, statement: Sql | str, values: Sequence[object] = ()) -> int:
        """Runs a statement to its end; returns how many rows it changed, triggers' apart."""
        text, bound = _split(statement, values)
        with self.errors(), self._inside, self._connection.cursor() as cursor:
            cursor.execute(text, bound)
            cursor.fetchall()
            cursor.execute("SELECT changes()")
            return int(cursor.fetchall()[0][0])

    def stream(self, statement: Sql, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The batches of a query, as ADBC types them; raises what ADBC raises."""
        with self._inside:
            cursor = self._connection.cursor()
            self._streams.append(cursor)
        try:
            with self._inside:
                options = {"adbc.sqlite.query.batch_rows": str(batch_rows)}
                cursor.adbc_statement.set_options(**options)
                cursor.execute(statement.text, statement.values or None)
                batches = cursor.fetch_record_batch()
            while True:
                with self._inside:
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch
        finally:
            with self._inside:
                self._streams.remove(cursor)
                cursor.close()

    def ingest(self, table: str, rows: pa.Table) -> int:
        """Appends rows to a table, all or none; columns go by name. Returns how many it took.

        While another connection reads, SQLite cannot write full pages back before the commit, and
        the driver would wait for that without end: so it holds them, and the commit is refused.
        """
        with self.errors(), self._inside, self._connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_spill = OFF")
            taken = int(cursor.adbc_ingest(table, rows, mode="append"))
            cursor.execute("PRAGMA cache_spill = ON")
        return taken

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One write transaction; whatever is raised inside undoes it."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        try:
            self.run("ROLLBACK")
        except CopyJobError as e:
            # SQLite rolls back by itself when the disk is full or fails.
            if "no transaction is active" not in e.what:
                raise


def _split(statement: Sql | str, values: Sequence[object]) -> tuple[str, Sequence[object] | None]:
    if isinstance(statement, str):
        return statement, values or None
    return statement.text, statement.values or None


def translate(error: BaseException, path: str) -> CopyJobError:
    """Our error for what ADBC raised. It gives no SQLite codes, so SQLite's own words decide."""
    words = str(error)
    first = next(iter(words.splitlines()), type(error).__name__)
    detail = re.sub(r"^.*(?:execute|query|\[SQLite\]): ", "", first)
    for cause in _CAUSES:
        if cause.words in words:
            what = cause.what.format(detail=detail)
            return cause.error(what, fix=cause.fix, code=cause.code, file=path)
    return TerminalError(
        f"SQLite refuses: {detail}",
        fix="Correct the table or view that it speaks of; if there is nothing wrong with it, please"
        " report this with the log of the run",
        code="sqlite",
        file=path,
    )


class _Cause(NamedTuple):
    words: str
    error: type[CopyJobError]
    code: str
    what: str
    fix: str


_CAUSES = (
    _Cause(
        words="is locked",
        error=TransientError,
        code="locked",
        what=f"another connection locked the database for more than {BUSY_MS // 1000} seconds",
        fix="End the other transaction; with PRAGMA journal_mode=WAL, readers do not stop a writer",
    ),
    _Cause(
        words="file is not a database",
        error=ConfigError,
        code="not-a-database",
        what="the file is no SQLite database, or an encrypted one",
        fix="Correct the `path` of the connection",
    ),
    _Cause(
        words="malformed",
        error=TerminalError,
        code="corrupt",
        what="the database file is damaged ({detail})",
        fix="Look at it with PRAGMA integrity_check, and restore it from a backup",
    ),
    _Cause(
        words="disk is full",
        error=TerminalError,
        code="disk-full",
        what="the disk is full, or the database has reached its largest size",
        fix="Free some space and run the job again; it goes on where it stopped",
    ),
    _Cause(
        words="readonly database",
        error=ConfigError,
        code="read-only",
        what="the database file, or its folder, cannot be written",
        fix="Give the process the right to write the file and its folder",
    ),
    _Cause(
        words="unable to open database",
        error=ConfigError,
        code="cannot-open",
        what="the database file, or a journal beside it, cannot be opened",
        fix="Give the process the right to read the file, and to write its folder too if the"
        " database is in WAL mode or a destination",
    ),
    _Cause(
        words="failed to open",
        error=ConfigError,
        code="cannot-open",
        what="the database file cannot be opened",
        fix="Correct the `path` of the connection, or the rights to the file",
    ),
    _Cause(
        words="disk I/O error",
        error=TransientError,
        code="io",
        what="the disk failed ({detail})",
        fix="Look at the disk and its free space",
    ),
    _Cause(
        words="constraint failed",
        error=TerminalError,
        code="constraint",
        what="a row breaks a rule of the destination table ({detail})",
        fix="Correct the rows at the source, or the rule",
    ),
    _Cause(
        words="no such table",
        error=ConfigError,
        code="table-missing",
        what="{detail}",
        fix="Correct the name of the table in the job",
    ),
)
