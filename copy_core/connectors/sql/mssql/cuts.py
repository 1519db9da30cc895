"""Where a table can be cut into parts of one size: asked from the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql import dialect, ranges
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.ranges import Step
from copy_core.connectors.sql.mssql.values import as_text, shown

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.connectors.sql.text import Sql
    from copy_core.model import Slice

# The finer the steps, the more alike the parts.
_STEPS_PER_PART = 16

# Values that are looked at; of a larger table a sample of its pages.
_LOOKED_AT = 200_000
_PER_PART = 5_000

# A part is at most so much larger than its share, if the values allow.
_UNEVEN = 2


def split(db: Database, table: Table, whole: Slice, condition: Sql, parts: int) -> list[Slice]:
    """Cuts `whole` into about `parts` slices.

    Physical partitions are kept whole where they are even enough; else the column that rows are
    found by is cut at its quantiles, so that a crowded stretch of values gets more parts. Smallest
    and largest value alone would make one giant part of it.

    Args:
        db: the connection.
        table: the table.
        whole: the rows to cut.
        condition: the condition that they meet.
        parts: how many slices there may be.
    """
    if parts <= 1:
        return [whole]
    if table.partitioning is not None and whole.window.low is None:
        column = table.column(table.partitioning.column)
        found = _partitions(db, table, column, whole, parts) if ranges.exact(column) else []
        if found:
            return found
    key = ranges.key(table, whole)
    if key is None:
        return [whole]
    steps = _quantiles(db, table, key, condition, whole, parts)
    return ranges.slices(whole, key.name, ranges.ends(steps, ranges.cuts(steps, parts)))


def _partitions(
    db: Database, table: Table, column: TableColumn, whole: Slice, parts: int
) -> list[Slice]:
    """The physical partitions in groups; none where the groups would be too uneven.

    The parts go by the values at which the function divides, not by the partitions' numbers:
    those change when somebody splits a partition meanwhile.
    """
    found = db.rows(partition_steps(column), (table.object_id,))
    steps = [Step(as_text(end), int(rows or 0)) for end, rows, _ in found]
    total = sum(step.rows for step in steps)
    at = ranges.cuts(steps, parts)
    if not total or max(ranges.sizes(steps, at)) > _UNEVEN * -(-total // parts):
        return []
    right = bool(found[0][2])
    return ranges.slices(whole, column.name, ranges.ends(steps, at), right=right)


def partition_steps(column: TableColumn) -> str:
    """The query for the end and the rows of each partition, in order, and whether an end belongs
    to the partition right of it; its value is the table's number.
    """
    value = f"CAST(v.value AS {column.type.text})"
    return (
        f"SELECT {shown(column.type, value)}, p.rows, CAST(f.boundary_value_on_right AS int)"
        " FROM sys.partitions AS p"
        " JOIN sys.indexes AS i ON i.object_id = p.object_id AND i.index_id = p.index_id"
        " JOIN sys.partition_schemes AS s ON s.data_space_id = i.data_space_id"
        " JOIN sys.partition_functions AS f ON f.function_id = s.function_id"
        " LEFT JOIN sys.partition_range_values AS v"
        " ON v.function_id = f.function_id AND v.boundary_id = p.partition_number"
        " WHERE p.object_id = ? AND p.index_id IN (0, 1) ORDER BY p.partition_number"
    )


def _quantiles(
    db: Database, table: Table, column: TableColumn, condition: Sql, whole: Slice, parts: int
) -> list[Step]:
    sample = "" if whole.window.low is not None else sampled(table, parts)
    counted = dialect.head(table) + dialect.rows(table, "COUNT_BIG(*)", condition, sample)
    step = max(1, int(db.value(counted)) // (parts * _STEPS_PER_PART))
    found = db.rows(quantiles(table, column, condition, sample, step))
    return [Step(as_text(end), int(times)) for end, times in found]


def sampled(table: Table, parts: int) -> str:
    """The clause that reads some pages of a large table only; "" reads all.

    https://learn.microsoft.com/sql/t-sql/queries/from-transact-sql: for tables, not for views.
    """
    wanted = max(_LOOKED_AT, parts * _PER_PART)
    if table.kind != "table" or table.memory_optimized or not table.rows or table.rows <= wanted:
        return ""
    return f" TABLESAMPLE SYSTEM ({100 * wanted / table.rows:.6f} PERCENT)"


def quantiles(table: Table, column: TableColumn, condition: Sql, sample: str, step: int) -> Sql:
    """The query for each `step`th value in ascending order, and how often it is one of these.

    The server numbers rows in the order of an index without keeping them, other than NTILE.
    """
    name = quote(column.name)
    numbered = f"{name} AS k, ROW_NUMBER() OVER (ORDER BY {name}) AS n"
    return (
        f"{dialect.head(table)}SELECT {shown(column.type, 'k')}, COUNT_BIG(*) FROM ("
        + dialect.rows(table, numbered, condition, sample)
        + f") AS r WHERE n % {step} = 0 GROUP BY k ORDER BY k"
    )
