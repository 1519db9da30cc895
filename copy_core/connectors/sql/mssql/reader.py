"""Reads one part, through one connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.sql.mssql import login, lookup, reading
from copy_core.connectors.sql.mssql.db import Database
from copy_core.connectors.sql.mssql.dialect import predicate, select
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.stream import schema_of, stream, stream_rows
from copy_core.errors import CopyJobError

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions
    from copy_core.connectors.sql.mssql.connect import mssql_python
    from copy_core.connectors.sql.mssql.table import Table
    from copy_core.connectors.sql.text import Sql
    from copy_core.model import Slice

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT"

_BATCH_BYTES = 4 << 20
"""What a batch takes in memory, roughly; a single row may be larger."""

# For each text that it is asked for the driver sets 42 bytes aside before it has seen one, doubles
# that for longer ones, and frees all columns of a fetch or none. So it is asked for few rows at a
# time, and they are copied into batches that hold no more than they need: a third of the memory,
# and as fast.
_FETCH_ROWS = 4_096
_FETCH_BYTES = 4 << 20
"""What a fetch takes if its rows are as wide as those before."""
_WIDEST_BYTES = 32 << 20
"""What it takes if all values are as long as their columns allow."""
_BOUND_ROWS = 64
"""The driver has buffers for as many of the widest rows in any case."""

# It also holds the interpreter while it fetches rows with large values, waiting included, and with
# it every other thread.
_LARGE_ROWS = 1_000
_FEWEST = 16
"""Fetched fewer at a time, rows are faster one by one."""


def read(
    options: MssqlOptions,
    part: Slice,
    batch_rows: int,
    table: Table | None = None,
    glance: Callable[[Database, Slice], Table] = lookup.glance,
) -> Generator[pa.RecordBatch]:
    """Yields the rows of a part, columns as `part.columns`, in their canonical types.

    They are one SELECT, in a snapshot of its own where the database allows that.

    Args:
        options: the connection, secrets resolved.
        part: what to read.
        batch_rows: how many rows a batch has at most.
        table: what it is read from, where that is known; else it is looked at.
        glance: looks at it.
    """
    with closing(login.direct(options)) as connection:
        db = Database(options, connection)
        table = table or glance(db, part)
        try:
            yield from _Reader(db, connection, table).rows(part, batch_rows)
        except CopyJobError as e:
            e.at(table=table.label)
            raise


class _Reader:
    """Reads a table through an open connection, which two see: what is fetched as Arrow goes by
    the driver's own cursor, all else by `db`.
    """

    def __init__(self, db: Database, connection: mssql_python.Connection, table: Table) -> None:
        self._db, self._connection, self._table = db, connection, table
        self._snapshot = lookup.snapshot(db, table)

    def rows(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        table = self._table
        columns = [table.column(name) for name in part.columns]
        fields = [c.field.with_name(name) for c, name in zip(columns, part.columns, strict=True)]
        schema = pa.schema(fields)
        fine = reading.fine_times(columns)
        items = [reading.expression(c) for c in columns] + [fine] * bool(fine)
        listed = ", ".join(f"{item} AS c{place}" for place, item in enumerate(items))
        chosen = predicate(table, part)
        large = [quote(c.name) for c in columns if reading.is_large(c)]
        if self._snapshot:
            self._db.run(_SNAPSHOT)
        if large:
            fetched = min(_LARGE_ROWS, _FETCH_BYTES // max(self._largest(large, chosen), 1))
        else:
            widest = sum(reading.widest(c) for c in columns)
            fetched = min(_FETCH_ROWS, max(_WIDEST_BYTES // widest, _BOUND_ROWS))
        statement = select(table, listed, chosen)
        with closing(self._batches(statement, batch_rows, min(batch_rows, fetched))) as found:
            for batch in found:
                if fine:
                    reading.refuse_fine(batch.column(len(columns)), columns)
                pairs = zip(batch.columns, columns, strict=False)
                arrays = [reading.decode(array, column) for array, column in pairs]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _largest(self, large: Sequence[str], chosen: Sql) -> int:
        """What the large values of a row take at most, in bytes."""
        size = " + ".join(f"ISNULL(CAST(DATALENGTH({name}) AS bigint), 0)" for name in large)
        return self._db.value(select(self._table, f"MAX({size})", chosen)) or 0

    def _batches(self, statement: Sql, batch_rows: int, fetched: int) -> Generator[pa.RecordBatch]:
        """The rows as the driver gives them, in batches that fit in memory.

        Args:
            statement: the query for them.
            batch_rows: how many rows a batch has at most.
            fetched: how many rows to fetch at a time; for too few, another way is taken.
        """
        if fetched >= min(batch_rows, _FEWEST):
            with closing(stream(self._connection, statement, fetched, _FETCH_BYTES)) as found:
                yield from _gathered(found, batch_rows)
            return
        schema = schema_of(self._connection, statement)
        with closing(login.odbc(self._db.options)) as other:
            if self._snapshot:
                Database(self._db.options, other).run(_SNAPSHOT)
            yield from stream_rows(other, statement, schema, batch_rows, _FETCH_BYTES)


def _gathered(batches: Iterable[pa.RecordBatch], most_rows: int) -> Iterator[pa.RecordBatch]:
    """Copies batches that were fetched small into larger ones, which hold what they need."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if held and (rows > most_rows or size > _BATCH_BYTES):
            yield pa.concat_batches(held)
            held, rows, size = [], batch.num_rows, batch.nbytes
        held.append(batch)
    if held:
        yield pa.concat_batches(held)
