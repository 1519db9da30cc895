"""Loads record batches into a staging table by bulk copy, as they come.

The bulk copy of mssql-python opens a connection of its own and commits as it goes. What it had
loaded when it failed stays, in a staging table that nobody will publish. It pulls one batch at a
time, and lets other threads run while it sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from traceback import clear_frames
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.sql.mssql import login
from copy_core.connectors.sql.mssql.encode import encode, wire_schema
from copy_core.connectors.sql.mssql.faults import translate
from copy_core.connectors.sql.mssql.layout import place
from copy_core.errors import CopyJobError, TerminalError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions
    from copy_core.connectors.sql.mssql.connect import mssql_python
    from copy_core.connectors.sql.mssql.names import ObjectName
    from copy_core.connectors.sql.mssql.table import TableColumn

# Rows in one transaction: enough to fill a row group of a columnstore, few enough that the log of
# the server can be cut while a part is loaded.
_COMMIT_ROWS = 131_072


def load(
    options: MssqlOptions,
    name: ObjectName,
    columns: Sequence[TableColumn],
    batches: Iterator[pa.RecordBatch],
) -> int:
    """Adds rows to a staging table.

    Args:
        options: the connection, secrets resolved.
        name: the table; nobody else writes to it meanwhile.
        columns: the columns that arrive, in the order of those of the staging table, named as in
            the batches, with the types of the table that the rows are meant for: what these cannot
            hold is refused.
        batches: the rows; pulled one batch at a time, in this thread. An error they raise goes
            through unchanged.

    Returns:
        How many rows the server says the table has.

    Raises:
        TerminalError: a value does not fit its column, or the server refuses the rows.
        TransientError: the connection broke, or the server is busy.
    """
    feed = _Feed(batches, columns, name)
    try:
        with closing(login.direct(options)) as connection:
            connection.timeout = login.LOGIN_SECONDS  # what the second connection goes by
            connection.cursor().bulkcopy_arrow(
                name.quoted,
                pa.RecordBatchReader.from_batches(wire_schema(columns), feed),
                batch_size=_COMMIT_ROWS,
                timeout=0,
                column_mappings=[place(number) for number in range(len(columns))],
                table_lock=True,
                keep_nulls=True,
            )
            if feed.error is None:
                return _count(connection, name)
    except BaseException as e:
        # What the error keeps of the driver must go now: freed while another bulk copy of the
        # process runs, its runtime panics.
        clear_frames(e.__traceback__)
        # The driver makes a text of what the batches raise, and panics on some broken connections.
        if feed.error is None:
            raise _meant(e, name) from e
    try:
        raise feed.error
    finally:
        del feed  # or the error would keep itself, and all frames, in a circle


def _count(connection: mssql_python.Connection, name: ObjectName) -> int:
    """The rows that there are; what the driver returns is how many it has sent."""
    connection.timeout = 0
    [(rows,)] = connection.cursor().execute(f"SELECT COUNT_BIG(*) FROM {name.quoted}").fetchall()
    return int(rows)


def _meant(error: BaseException, name: ObjectName) -> BaseException:
    """What stopped a bulk copy, in our words; what is no failure of it stays what it is."""
    if type(error).__name__ == "PanicException":
        return TransientError(
            f"the bulk copy broke off: {error}", code="connection-lost", table=name.text
        )
    if "KeyboardInterrupt" in str(error):
        return KeyboardInterrupt()  # it came just before a batch was asked for
    if isinstance(error, ValueError):
        return TerminalError(
            f"bulk copy refuses the rows: {error}", code="bulk-copy", table=name.text
        )
    if isinstance(error, CopyJobError) or not isinstance(error, Exception):
        return error
    return translate(error, table=name.text)


class _Feed(Iterator[pa.RecordBatch]):
    """The batches, encoded; keeps the error that ended them."""

    def __init__(
        self, batches: Iterator[pa.RecordBatch], columns: Sequence[TableColumn], name: ObjectName
    ) -> None:
        self._batches, self._columns, self._name = batches, columns, name
        self.error: BaseException | None = None

    def __next__(self) -> pa.RecordBatch:
        try:
            batch = next(self._batches)
            try:
                return encode(batch, self._columns)
            except TerminalError as e:
                raise e.at(table=self._name.text) from None
        except StopIteration:
            raise
        except BaseException as e:
            self.error = e
            raise
