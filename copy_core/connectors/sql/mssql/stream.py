"""The rows of a query as Arrow batches."""

from __future__ import annotations

import struct
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from copy_core.connectors.sql.mssql.faults import FAILURES, translate

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.connect import mssql_python, pyodbc
    from copy_core.connectors.sql.text import Sql


_FIRST_ROWS = 1_000
"""What the first batch has at most; its size tells how many rows the next may have."""


def stream(
    connection: mssql_python.Connection, sql: Sql, batch_rows: int, batch_bytes: int
) -> Generator[pa.RecordBatch]:
    """Yields the rows of a query as the driver types them; nothing when there is no row.

    Args:
        connection: the connection; it is busy until the last row.
        sql: one SELECT.
        batch_rows: how many rows a batch has at most.
        batch_bytes: what it takes in memory, about, if its rows are as wide as those before.

    Raises:
        CopyJobError: what the query meets.
    """
    try:
        cursor = connection.cursor().execute(sql.text, *sql.values)
        # Not `arrow_reader`: it ends its rows early, without an error, when it is collected.
        rows = min(batch_rows, _FIRST_ROWS)
        while (batch := cursor.arrow_batch(rows)).num_rows:
            yield batch
            rows = min(batch_rows, max(1, batch_bytes * batch.num_rows // batch.nbytes))
    except FAILURES as e:
        raise translate(e) from e


def schema_of(connection: mssql_python.Connection, sql: Sql) -> pa.Schema:
    """The types in which `stream` would yield the rows of a query, which it begins for that."""
    try:
        with closing(connection.cursor()) as cursor:
            return cursor.execute(sql.text, *sql.values).arrow_batch(0).schema
    except FAILURES as e:
        raise translate(e) from e


def stream_rows(
    connection: pyodbc.Connection, sql: Sql, schema: pa.Schema, batch_rows: int, batch_bytes: int
) -> Generator[pa.RecordBatch]:
    """Yields the same rows, fetched one at a time through pyodbc.

    For values too large to fetch many at once. mssql-python could fetch them so too, but holds the
    interpreter while it waits for such a value, and with it every other thread of the process.

    Args:
        connection: the connection; it is busy until the last row.
        sql: one SELECT.
        schema: its types.
        batch_rows: how many rows a batch has at most.
        batch_bytes: a batch is full with the row that brings it to this size.

    Raises:
        CopyJobError: what the query meets.
    """
    connection.add_output_converter(_DATETIMEOFFSET, _instant)
    try:
        held: list[tuple[Any, ...]] = []
        size = 0
        for row in connection.cursor().execute(sql.text, *sql.values):
            held.append(tuple(row))
            size += sum(len(v) for v in row if isinstance(v, str | bytes))
            if size >= batch_bytes or len(held) == batch_rows:
                yield _batch(held, schema)
                held, size = [], 0
        if held:
            yield _batch(held, schema)
    except FAILURES as e:
        raise translate(e) from e


# SQL_SS_TIMESTAMPOFFSET: year to second, nanoseconds, and the zone's hours and minutes.
_DATETIMEOFFSET = -155
_LAYOUT = struct.Struct("<6hI2h")


def _instant(value: bytes) -> datetime:
    year, month, day, hour, minute, second, fraction, ahead, and_minutes = _LAYOUT.unpack(value)
    zone = timezone(timedelta(hours=ahead, minutes=and_minutes))
    return datetime(year, month, day, hour, minute, second, fraction // 1000, zone).astimezone(UTC)


def _batch(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
