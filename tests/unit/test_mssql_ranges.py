"""Where a table is cut into parts, and what a range is in SQL, without a server."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.sql.mssql import cuts, ranges
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.ranges import Step
from copy_core.connectors.sql.mssql.table import Index, Table, TableColumn
from copy_core.connectors.sql.mssql.types import SqlType
from copy_core.connectors.sql.mssql.values import literal
from copy_core.connectors.sql.text import Sql
from copy_core.model import Slice
from copy_core.watermark import EVERYTHING, Watermark, Window

INT = SqlType("int")
COLUMNS = (
    TableColumn("id", INT, nullable=False),
    TableColumn("at", SqlType("datetime2", scale=7)),
    TableColumn("text", SqlType("nvarchar", length=-1)),
    TableColumn("price", SqlType("float")),
)


def index(column: str, *, clustered: bool = False, primary: bool = False) -> Index:
    return Index(f"ix_{column}", (column, "price"), primary, clustered, primary)


def table(*indexes: Index, **more: Any) -> Table:
    return Table(ObjectName("dbo", "t"), "table", COLUMNS, indexes, **more)


def whole(low: str | None = None, column: str | None = "at") -> Slice:
    mark = Watermark(kind="timestamp", value=low) if low else None
    high = Watermark(kind="timestamp", value="2026-01-01T00:00:00")
    window = Window(column=column, low=mark, high=high) if column else EVERYTHING
    return Slice(object="t", columns=("id",), window=window)


STEPS = st.lists(
    st.builds(Step, st.uuids().map(str), st.integers(1, 1000) | st.just(50_000)), max_size=60
)


@given(STEPS, st.integers(1, 12), st.integers(0, 200))
def test_no_part_is_larger_than_its_share_and_one_step(
    steps: list[Step], parts: int, nulls: int
) -> None:
    steps = [Step(None, nulls)] * (nulls > 0) + steps
    at = ranges.cuts(steps, parts)
    sizes = ranges.sizes(steps, at)
    assert len(at) < parts
    assert at == sorted(set(at))
    assert sum(sizes) == sum(step.rows for step in steps)
    largest = max((step.rows for step in steps), default=0)
    assert max(sizes) <= sum(sizes) / parts + largest + nulls
    assert all(steps[place].end is not None for place in at)
    assert len(at) == min(parts, max(1, sum(s.end is not None for s in steps))) - 1


def test_many_rows_of_one_value_stay_in_one_part_and_the_others_share_the_rest() -> None:
    steps = [Step(str(n), 10) for n in range(8)]
    steps[3] = Step("3", 1000)
    assert sorted(ranges.sizes(steps, ranges.cuts(steps, 4))) == [20, 20, 30, 1000]


@given(st.lists(st.integers(-5, 20), min_size=1, max_size=6, unique=True), st.booleans())
def test_each_value_is_in_exactly_one_range(values: list[int], right: bool) -> None:
    at = sorted(values)
    parts = ranges.slices(whole(column=None), "id", [str(v) for v in at], right=right)
    ops = {"after": int.__gt__, "from": int.__ge__, "to": int.__le__, "below": int.__lt__}
    for value in range(-7, 23):
        holders = [
            part
            for part in parts
            if all(
                ops[end](value, int(part.range[end]))
                for end in ops
                if part.range and part.range.get(end) is not None
            )
        ]
        assert len(holders) == 1
    assert len(parts) == len(at) + 1


def limits(**given_range: Any) -> str:
    return ranges.limits(table(), given_range).readable(literal)


def test_the_first_range_has_the_rows_without_a_value() -> None:
    assert limits(column="at", after=None, to="2026-01-01T00:00:00.1234567") == (
        "([at] <= CAST('2026-01-01T00:00:00.1234567' AS datetime2(7)) OR [at] IS NULL)"
    )
    assert limits(column="at", after="2026-01-01T00:00:00", to=None) == (
        "[at] > CAST('2026-01-01T00:00:00' AS datetime2(7))"
    )


def test_a_column_that_is_never_null_needs_no_word_of_it() -> None:
    assert limits(column="id", after=None, to="-5") == "[id] <= CAST(-5 AS int)"


def test_what_is_said_of_a_view_may_be_older_than_its_table() -> None:
    view = Table(ObjectName("s", "v"), "view", (TableColumn("id", SqlType("int"), nullable=False),))
    first = ranges.limits(view, {"column": "id", "after": None, "to": "5"}).readable(literal)
    assert first == "([id] <= CAST(5 AS int) OR [id] IS NULL)"


def test_a_partition_has_the_lower_end_where_the_function_says_so() -> None:
    assert limits(column="id", **{"from": "10", "below": "20"}) == (
        "[id] >= CAST(10 AS int) AND [id] < CAST(20 AS int)"
    )


@pytest.mark.parametrize(
    ("indexes", "low", "column"),
    [
        # What the rows are kept in the order of is read without a detour.
        ([index("at", clustered=True), index("id", primary=True)], None, "at"),
        ([index("id", primary=True)], None, "id"),
        # An increment is looked up by its own column where an index begins with that.
        ([index("id", clustered=True, primary=True), index("at")], "2025-01-01T00:00:00", "at"),
        ([index("id", clustered=True, primary=True)], "2025-01-01T00:00:00", "id"),
        ([index("id", clustered=True, primary=True), index("at")], None, "id"),
        # A type whose text does not give the value back is passed over.
        ([index("price", clustered=True), index("id", primary=True)], None, "id"),
        ([index("price", clustered=True, primary=True)], None, "at"),
        ([], None, "at"),
    ],
)
def test_the_column_that_is_cut(indexes: list[Index], low: str | None, column: str) -> None:
    found = ranges.key(table(*indexes), whole(low))
    assert found is not None
    assert found.name == column


def test_a_heap_without_incremental_column_is_one_part() -> None:
    assert ranges.key(table(), whole(column=None)) is None


@pytest.mark.parametrize(
    ("rows", "clause"),
    [
        (None, ""),
        (200_000, ""),
        (1_000_000_000, " TABLESAMPLE SYSTEM (0.020000 PERCENT)"),
    ],
)
def test_of_a_large_table_a_sample_is_looked_at(rows: int | None, clause: str) -> None:
    assert cuts.sampled(table(rows=rows), 10) == clause


def test_a_view_and_a_table_in_memory_are_never_sampled() -> None:
    view = Table(ObjectName("dbo", "v"), "view", COLUMNS, rows=10**9)
    assert cuts.sampled(view, 4) == ""
    assert cuts.sampled(table(rows=10**9, memory_optimized=True), 4) == ""


def test_more_parts_take_a_larger_sample() -> None:
    percents = [
        float(cuts.sampled(table(rows=10**10), parts).split("(")[1].split()[0])
        for parts in (10, 1000, 10_000)
    ]
    assert percents == sorted(percents)
    assert percents[0] < percents[-1]


def test_the_quantiles_are_asked_in_the_servers_own_order() -> None:
    sql = cuts.quantiles(table(), COLUMNS[0], Sql("[id] > 5"), " TABLESAMPLE SYSTEM (1 PERCENT)", 7)
    assert sql.text == (
        "SELECT CONVERT(varchar(41), k), COUNT_BIG(*) FROM (SELECT [id] AS k, ROW_NUMBER() OVER"
        " (ORDER BY [id]) AS n FROM [dbo].[t] TABLESAMPLE SYSTEM (1 PERCENT) WHERE [id] > 5) AS r"
        " WHERE n % 7 = 0 GROUP BY k ORDER BY k"
    )


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200), st.integers(2, 6))
def test_quantiles_of_any_rows_give_parts_near_their_share(values: list[int], parts: int) -> None:
    """The whole way without the server: what it would answer, and where that is cut."""
    values.sort()
    step = max(1, len(values) // (parts * 16))
    picked = values[step - 1 :: step]
    steps = [Step(str(v), picked.count(v)) for v in sorted(set(picked))]
    at = [int(end) for end in ranges.ends(steps, ranges.cuts(steps, parts))]
    sizes = [
        sum(1 for v in values if low < v <= high)
        for low, high in zip([-1, *at], [*at, 10], strict=True)
    ]
    commonest = max(values.count(v) for v in set(values))
    assert sum(sizes) == len(values)
    assert max(sizes) <= len(values) / parts + commonest + 2 * step
    assert list(accumulate(sizes))[-1] == len(values)
