"""Parts on a live server: each row in exactly one, and none much larger than its share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.connectors.base import Source
from copy_core.connectors.registry import open_source
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark, Window
from tests.conformance.source_kit import read, whole
from tests.mssql.server import Database, Databases

_numbers = count()
EXAMPLES = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    return databases.take("parts")


@pytest.fixture(scope="module")
def source(database: Database) -> Iterator[Source]:
    with open_source(database.options) as source:
        yield source


def make(
    database: Database,
    kind: str,
    values: Sequence[Any],
    *,
    key: str = "PRIMARY KEY",
    more: str = "UNIQUE (n)",
) -> str:
    """A table of a column `k` of that type, and the number of each row."""
    name = f"parts_{next(_numbers)}"
    database.run(f"CREATE TABLE {name} (k {kind} {key}, n int NOT NULL, {more})")
    for start in range(0, len(values), 500):
        some = values[start : start + 500]
        rows = ", ".join(f"(CAST(? AS {kind}), {start + at})" for at in range(len(some)))
        database.run(f"INSERT INTO {name} (k, n) VALUES {rows}", *some)
    return name


def cut(source: Source, name: str, parts: int, **more: Any) -> list[Slice]:
    return source.split(source.describe(name), whole(source, name, ["n"], **more), parts)


def sizes(source: Source, parts: Sequence[Slice]) -> list[int]:
    return [read(source, part).num_rows for part in parts]


def rows(source: Source, parts: Sequence[Slice]) -> list[int]:
    return sorted(number for part in parts for number in read(source, part)["n"].to_pylist())


WORDS = [
    "a",
    "A ",
    "b-c",
    "bc",
    "B",
    "łódź",
    "Zoë",
    "zoe",
    "co-op",
    "coop",
    "",
    "ß",
    "SS",
    "'",
    "?",
]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int", [-2_000_000_000, -5, -1, 0, 3, 2**31 - 1]),
        ("decimal(38,10)", ["-0.0000000001", "0", "1" * 28 + ".5", "-9"]),
        ("date", ["0001-01-01", "2024-02-29", "9999-12-31", "1582-10-04"]),
        ("datetime", ["2026-01-01T00:00:00.003", "2026-01-01T00:00:00.007", "1753-01-01"]),
        (
            "datetime2(6)",
            ["2026-01-01T00:00:00.000001", "2026-01-01T00:00:00.000002", "0001-01-01"],
        ),
        ("datetimeoffset(6)", ["2026-01-01T05:00:00+05:00", "2026-01-01T00:00:01Z"]),
        ("time(6)", ["00:00:00", "23:59:59.999999", "12:00:00.000001"]),
        ("binary(3)", [b"\x00\x00\x01", b"\xff\x00\x00", b"\x7f\x00\x00"]),
        (
            "uniqueidentifier",
            [
                "00000000-0000-0000-0000-0000000000FF",
                "FF000000-0000-0000-0000-000000000000",
                "00000000-0000-0000-FF00-000000000000",
                "00000000-0000-FF00-0000-000000000001",
                "6F9619FF-8B86-D011-B42D-00C04FC964FF",
            ],
        ),
        ("nvarchar(20) COLLATE Latin1_General_CS_AS", [w for w in WORDS if w != "SS"]),
        ("varchar(20) COLLATE Polish_CS_AS", ["a", "A", "ł", "l", "m", "z", "b-c", "bc"]),
        ("char(10)", ["a", "b", "b c", "x-y", "xy"]),
    ],
)
def test_keys_of_every_type_are_cut_and_compared_by_the_server(
    source: Source, database: Database, kind: str, values: list[Any]
) -> None:
    plain, _, collate = kind.partition(" COLLATE ")
    name = make(
        database, plain, values, key=f"COLLATE {collate} PRIMARY KEY" if collate else "PRIMARY KEY"
    )
    parts = cut(source, name, len(values))
    assert len(parts) == len(values)
    assert rows(source, parts) == list(range(len(values)))


@EXAMPLES
@given(
    here=st.lists(st.integers(-50, 50) | st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=40),
    later=st.lists(st.integers(-60, 60) | st.none(), max_size=6),
    parts=st.integers(2, 7),
)
def test_each_row_is_in_exactly_one_part_also_one_that_comes_later(
    source: Source,
    database: Database,
    here: list[int | None],
    later: list[int | None],
    parts: int,
) -> None:
    name = make(database, "bigint", here, key="NULL")
    highest = Watermark(kind="int", value=str(2**63 - 1))
    slices = cut(source, name, parts, window=Window(column="k", high=highest, nulls=True))
    assert len(slices) > 1 or len({*here}) < 3
    assert len(slices) <= parts
    values = [(len(here) + at, value) for at, value in enumerate(later)]
    for number, value in values:
        database.run(f"INSERT INTO {name} (k, n) VALUES (?, {number})", value)
    assert rows(source, slices) == list(range(len(here) + len(later)))


@EXAMPLES
@given(values=st.lists(st.text("abAB-' łż", max_size=5), max_size=25), parts=st.integers(2, 6))
def test_text_of_any_case_and_with_spaces_at_its_end_is_in_one_part(
    source: Source, database: Database, values: list[str], parts: int
) -> None:
    name = make(database, "nvarchar(10)", values, key="NOT NULL", more="PRIMARY KEY (k, n)")
    assert rows(source, cut(source, name, parts)) == list(range(len(values)))


def test_a_crowded_stretch_of_keys_gets_more_parts(source: Source, database: Database) -> None:
    """Smallest and largest value alone would put nearly all rows into one part."""
    keys = [*range(1900), *range(10**9, 10**9 + 100 * 10**6, 10**6)]
    found = sizes(source, cut(source, make(database, "int", keys), 4))
    assert sum(found) == 2000
    assert max(found) <= 2 * 2000 / 4


def test_many_rows_of_one_value_stay_together_and_leave_the_rest_even(
    source: Source, database: Database
) -> None:
    keys = [7] * 600 + list(range(100, 700))
    name = make(database, "int", keys, key="NOT NULL", more="PRIMARY KEY (k, n)")
    found = sizes(source, cut(source, name, 4))
    assert sum(found) == 1200
    assert max(found) <= 650
    assert len(found) == 4
    assert sorted(found)[-2] <= 2 * 600 / 3


def test_a_composite_key_is_cut_by_its_first_column(source: Source, database: Database) -> None:
    name = f"parts_{next(_numbers)}"
    database.run(f"CREATE TABLE {name} (a int, n int, b int, PRIMARY KEY (b, a))")
    pairs = ", ".join(f"({n % 3}, {n}, {n // 3})" for n in range(300))
    database.run(f"INSERT INTO {name} (a, n, b) VALUES {pairs}")
    parts = cut(source, name, 3)
    assert {part.range["column"] for part in parts if part.range} == {"b"}
    assert rows(source, parts) == list(range(300))
    assert max(sizes(source, parts)) <= 200


def test_a_heap_is_read_in_one_part_or_by_its_incremental_column(
    source: Source, database: Database
) -> None:
    name = make(database, "int", [*range(100), None], key="NULL")
    assert cut(source, name, 4) == [whole(source, name, ["n"])]
    high = Watermark(kind="int", value="89")
    for nulls, held in ((True, [*range(90), 100]), (False, [*range(90)])):
        window = Window(column="k", high=high, nulls=nulls)
        parts = cut(source, name, 4, window=window)
        assert len(parts) == 4
        assert rows(source, parts) == held


def test_an_increment_is_cut_by_the_column_that_it_is_looked_up_by(
    source: Source, database: Database
) -> None:
    name = f"parts_{next(_numbers)}"
    database.run(f"CREATE TABLE {name} (n int PRIMARY KEY, at int NOT NULL)")
    pairs = ", ".join(f"({n}, {1000 - n})" for n in range(1000))
    database.run(f"INSERT INTO {name} (n, at) VALUES {pairs}")
    database.run(f"CREATE INDEX ix_{name} ON {name} (at)")
    low, high = (Watermark(kind="int", value=v) for v in ("100", "500"))
    window = Window(column="at", low=low, high=high)
    parts = cut(source, name, 4, window=window)
    assert {part.range["column"] for part in parts if part.range} == {"at"}
    assert max(sizes(source, parts)) <= 200
    info = source.describe(name)
    assert source.estimate(info, whole(source, name, ["n"], window=window)) == 400
    assert source.estimate(info, whole(source, name, ["n"])) is None


def test_a_filter_and_a_window_hold_in_every_part(source: Source, database: Database) -> None:
    name = make(database, "int", range(400))
    even = [Condition(column="n", op="in", value=list(range(0, 400, 2)))]
    window = Window(column="k", high=Watermark(kind="int", value="299"))
    parts = cut(source, name, 3, filter=even, window=window)
    assert len(parts) == 3
    assert rows(source, parts) == list(range(0, 300, 2))


def test_what_describes_a_part_stays_small(source: Source, database: Database) -> None:
    parts = cut(source, make(database, "int", range(2000)), 50)
    assert len(parts) == 50
    assert max(len(part.model_dump_json()) for part in parts) < 400


def test_partitions_without_counts_or_uneven_ones_are_cut_by_the_key(
    source: Source, database: Database
) -> None:
    """A partitioned table gives every row once, whether its partitions serve as parts or not."""
    tag = f"p{next(_numbers)}"
    database.run(f"CREATE PARTITION FUNCTION f_{tag} (int) AS RANGE RIGHT FOR VALUES (100, 200)")
    database.run(f"CREATE PARTITION SCHEME s_{tag} AS PARTITION f_{tag} ALL TO ([PRIMARY])")
    database.run(f"CREATE TABLE parts_{tag} (k int NOT NULL, n int) ON s_{tag} (k)")
    pairs = ", ".join(f"({n}, {n})" for n in range(300))
    database.run(f"INSERT INTO parts_{tag} (k, n) VALUES {pairs}")
    window = Window(column="k", high=Watermark(kind="int", value="1000"))
    parts = cut(source, f"parts_{tag}", 3, window=window)
    assert len(parts) == 3
    assert rows(source, parts) == list(range(300))
    assert max(sizes(source, parts)) <= 200
