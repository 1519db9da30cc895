"""One connection to a database, for catalog, statements and transactions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from copy_core.connectors.sql.mssql import login, pool
from copy_core.connectors.sql.mssql.faults import FAILURES, translate
from copy_core.connectors.sql.mssql.server import Server, known
from copy_core.connectors.sql.text import Sql, Value
from copy_core.errors import CopyJobError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions
    from copy_core.connectors.sql.mssql.connect import mssql_python, pyodbc

Row = tuple[Any, ...]
_USUAL_LEVEL = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"


class Database:
    """A connection. Every statement outside `transaction` is its own transaction.

    Statements with values run as a procedure of their own on the server: a temporary table that
    one makes, or an option that it sets, is gone with its end.

    Args:
        options: the connection, secrets resolved.
        connection: one that is open, and stays the caller's; by default it opens its own.

    Raises:
        ConfigError: a driver is missing, or the server refuses us.
        TransientError: the server does not answer.
    """

    def __init__(
        self,
        options: MssqlOptions,
        connection: pyodbc.Connection | mssql_python.Connection | None = None,
    ) -> None:
        self.options = options
        self._own = None if connection else pool.take(options) or login.odbc(options)
        self._connection = connection or self._own
        self._within = self._strange = False
        self._failed: CopyJobError | None = None

    @cached_property
    def server(self) -> Server:
        """What the server can do, as of a minute ago at most."""
        return known(self)

    def close(self) -> None:
        """Gives the connection back; an open transaction is rolled back. Safe to call twice."""
        connection, self._own, self._connection = self._own, None, None
        if connection is None:
            return
        if self._strange:
            with self.errors():
                connection.close()
        else:
            pool.give(self.options, connection)

    def run_strange(self, statement: str) -> None:
        """Runs a statement of somebody else's; what it does to the session ends with that."""
        self._strange = True
        self.run(statement)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the driver raises into our errors."""
        try:
            yield
        except FAILURES as e:
            failed = translate(e)
            if self._within:
                self._failed = failed
            raise failed from e

    def results(self, statement: Sql | str, values: Sequence[Value] = ()) -> list[list[Row]]:
        """Every result set of a batch, each with all its rows. For few rows only."""
        return self._execute(statement, values)[0]

    def rows(self, statement: Sql | str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a batch's last result set. For few rows only."""
        sets = self.results(statement, values)
        return sets[-1] if sets else []

    def value(self, statement: Sql | str, values: Sequence[Value] = ()) -> Any:
        """The first value of the first row; None when there is no row."""
        found = self.rows(statement, values)
        return found[0][0] if found else None

    def run(self, statement: Sql | str, values: Sequence[Value] = ()) -> int:
        """Runs a batch to its end; returns how many rows the last statement changed that counts.

        A trigger that does not SET NOCOUNT ON may count too: who must know selects @@ROWCOUNT.
        """
        return self._execute(statement, values)[1]

    def _execute(
        self, statement: Sql | str, values: Sequence[Value]
    ) -> tuple[list[list[Row]], int]:
        text, bound = (statement, values) if isinstance(statement, str) else _both(statement)
        sets: list[list[Row]] = []
        count = 0
        if self._failed:
            raise self._failed
        if self._connection is None:
            raise TransientError("the connection is closed", code="connection-lost")
        with self.errors():
            cursor = self._connection.cursor()
            try:
                cursor.execute(text, *bound)
                # An error in a later statement of the batch shows only when its result is due.
                more = True
                while more:
                    if cursor.description:
                        sets.append([tuple(row) for row in cursor.fetchall()])
                    elif cursor.rowcount >= 0:
                        count = cursor.rowcount
                    more = bool(cursor.nextset())
            finally:
                cursor.close()
        return sets, count

    @contextmanager
    def transaction(self, snapshot: bool = False) -> Iterator[None]:
        """One transaction; whatever is raised inside undoes it.

        The first error that the server raises ends it, also where it is caught: whatever is run
        then would be a transaction of its own, so it raises that error again.

        Args:
            snapshot: whether it sees the database as of its first look, whatever others commit.
        """
        self.server  # noqa: B018 - the looks at it may fail, which would end the transaction
        level = "SNAPSHOT" if snapshot else "READ COMMITTED"
        self.run(f"SET TRANSACTION ISOLATION LEVEL {level}; BEGIN TRANSACTION")
        self._within = True
        try:
            yield
            self.run(f"COMMIT TRANSACTION; {_USUAL_LEVEL}")
        except BaseException as e:
            self._roll_back(e)
            raise
        finally:
            self._within = False

    def _roll_back(self, error: BaseException) -> None:
        """Undoes the transaction for `error`, which stays the one that is raised."""
        self._within, self._failed = False, None
        # What a batch has set before it broke off, such as IDENTITY_INSERT, no rollback takes back.
        self._strange = True
        try:
            # The server has rolled back by itself after most errors. One by one: not every server
            # changes the level in a batch that began within a transaction.
            self.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
            self.run(_USUAL_LEVEL)
        except CopyJobError as e:
            # Without its connection the server rolls back; nothing can be committed later.
            error.add_note(f"The transaction could not be rolled back: {e}")
            self.close()


def _both(statement: Sql) -> tuple[str, Sequence[Value]]:
    return statement.text, statement.values
