"""Windows of an incremental column on a live server: no row is lost, and none is read for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import pytest

from copy_core.connectors.base import Source
from copy_core.connectors.registry import open_source
from copy_core.errors import TerminalError
from copy_core.watermark import Watermark, Window, next_window
from tests.conformance.source_kit import newest, read, whole
from tests.mssql.server import Database, Databases

_numbers = count()


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    return databases.take("watermarks")


@pytest.fixture(scope="module")
def source(database: Database) -> Iterator[Source]:
    with open_source(database.options) as source:
        yield source


def make(database: Database, kind: str, values: str = "") -> str:
    """A table of an `id` and a column `at` of that type, with a row for each of the literals."""
    name = f"marks_{next(_numbers)}"
    database.run(f"CREATE TABLE {name} (id int IDENTITY PRIMARY KEY, at {kind})")
    if values:
        add(database, name, values)
    return name


def add(database: Database, name: str, values: str) -> None:
    for value in values.split(", "):
        database.run(f"INSERT INTO {name} (at) VALUES ({value})")


def ids(source: Source, name: str, low: Watermark | None, high: Watermark | None) -> list[int]:
    window = Window(column="at", low=low, high=high)
    return sorted(read(source, whole(source, name, ["id"], window=window))["id"].to_pylist())


def chain(source: Source, database: Database, kind: str, steps: list[str]) -> list[list[int]]:
    """What each run reads when rows are added between them."""
    name, low, found = make(database, kind), None, []
    for values in steps:
        add(database, name, values)
        window = next_window("at", low, newest(source, name, "at", low), first=low is None)
        assert window is not None
        found.append(ids(source, name, window.low, window.high))
        low = window.high
        again = source.newest(source.describe(name), "at", low)
        assert next_window("at", low, again, first=False) is None
    return found


def test_ticks_of_a_datetime_are_neither_lost_nor_read_again(
    source: Source, database: Database
) -> None:
    day = "2026-03-01T12:00:00"
    steps = [f"'{day}.{ms:03}'" for ms in (0, 3, 7, 10, 13, 17, 990, 993, 997)]
    assert chain(source, database, "datetime", steps) == [[n] for n in range(1, 10)]


def test_rows_of_one_tick_come_together(source: Source, database: Database) -> None:
    tied = "'2026-03-01T12:00:00.003'"
    steps = [f"{tied}, {tied}, '2026-03-01T12:00:00.001'", "'2026-03-01T12:00:00.007'"]
    assert chain(source, database, "datetime", steps) == [[1, 2, 3], [4]]


def test_a_lookback_reads_the_ticks_of_a_datetime_again(source: Source, database: Database) -> None:
    name = make(database, "datetime", "'2026-03-01T11:59:59.003', '2026-03-01T12:00:00.003'")
    high = newest(source, name, "at")
    add(database, name, "'2026-03-01T11:59:59.007'")
    earlier = high.model_copy(update={"value": "2026-03-01T11:59:59.003"})
    assert ids(source, name, earlier, high) == [2, 3]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("smalldatetime", ["'2026-03-01T12:00'", "'2026-03-01T12:01'", "'2079-06-06T23:59'"]),
        ("datetime2(0)", ["'0001-01-02'", "'2026-03-01T12:00:01'", "'9999-12-31T23:59:59'"]),
        ("datetime2(3)", ["'2026-03-01T12:00:00'", "'2026-03-01T12:00:00.001'"]),
        ("datetimeoffset(3)", ["'2026-03-01T12:00:00.001+05:00'", "'2026-03-01T07:00:00.002Z'"]),
        ("decimal(38,0)", ["-9", "0", "18446744073709551617", "9" * 38]),
        ("numeric(5,0)", ["-99999", "-1", "0", "99999"]),
        ("tinyint", ["0", "1", "255"]),
        ("smallint", ["-32768", "0", "32767"]),
        ("bigint", ["-9223372036854775808", "0", "9007199254740993", "9223372036854775807"]),
        ("char(30)", ["'2026-03-01T12:00:00.0000001'", "'2026-03-01T12:00:00.0000002'"]),
        ("varchar(40)", ["'2026-03-01 12:00:00'", "'2026-03-01 12:00:01'"]),
        ("nvarchar(max)", ["N'2026-03-01T12:00:00Z'", "N'2026-03-01T12:00:01Z'"]),
    ],
)
def test_each_value_is_read_once(
    source: Source, database: Database, kind: str, values: list[str]
) -> None:
    found = chain(source, database, kind, values)
    assert found == [[n] for n in range(1, len(values) + 1)]


def test_the_finest_digit_that_the_server_keeps_tells_rows_apart(
    source: Source, database: Database
) -> None:
    """The seventh digit of a datetime2(7), on a server that keeps it; else the sixth."""
    cast = "SELECT CONVERT(varchar(33), CAST('2026-03-01T12:00:00.0000001' AS datetime2(7)), 121)"
    [(text,)] = database.rows(cast)
    unit = "0000001" if text.endswith("1") else "000001"
    values = [f"2026-03-01T12:00:00.{int(unit) * n:0{len(unit)}}" for n in (1, 2, 3)]
    name = make(database, "datetime2(7)", ", ".join(f"'{v}'" for v in values))
    marks = [Watermark(kind="timestamp", value=value) for value in values]
    assert newest(source, name, "at").position() == marks[-1].position()
    # Read by the key alone: such a time cannot be delivered in microseconds.
    assert [ids(source, name, low, high) for low, high in pairwise(marks)] == [[2], [3]]


def test_instants_go_by_their_moment_and_not_by_their_clock(
    source: Source, database: Database
) -> None:
    values = "'2026-03-01T12:00:00+05:00', '2026-03-01T08:00:00+00:00', '2026-03-01T23:00:00+14:00'"
    name = make(database, "datetimeoffset(6)", values)
    high = newest(source, name, "at")
    assert high.value.endswith("Z")
    moments = [
        datetime(2026, 3, 1, hour, tzinfo=UTC).isoformat().replace("+00:00", "Z")
        for hour in (7, 8, 9)
    ]
    marks = [Watermark(kind="timestamp", value=m) for m in moments]
    assert high.position() == marks[-1].position()
    assert [ids(source, name, low, upper) for low, upper in pairwise([None, *marks])] == [
        [1], [2], [3],
    ]  # fmt: skip


def test_todays_rows_of_a_date_wait_until_the_day_is_over(
    source: Source, database: Database
) -> None:
    name = make(database, "date", "'2026-03-01', '2026-03-02'")
    window = next_window("at", None, newest(source, name, "at"), first=True)
    assert window is not None
    assert ids(source, name, window.low, window.high) == [1]


def test_a_lookback_may_reach_below_what_the_type_can_hold(
    source: Source, database: Database
) -> None:
    for kind, lowest, value in (
        ("tinyint", "-1000", "0"),
        ("bigint", str(-(2**63) - 1), str(-(2**63))),
        ("datetime", "1700-01-01T00:00:00", "'1753-01-01'"),
        ("smalldatetime", "1899-12-31T23:59:30", "'1900-01-01'"),
    ):
        name = make(database, kind, value)
        high = newest(source, name, "at")
        low = high.model_copy(update={"value": lowest})
        assert ids(source, name, low, high) == [1], kind


def test_rows_behind_the_newest_are_caught_by_a_delay(source: Source, database: Database) -> None:
    name = make(database, "datetime2(6)", "'2026-03-01T12:00:00', '2026-03-01T12:10:00'")
    delay = timedelta(minutes=5)
    first = next_window("at", None, newest(source, name, "at"), first=True, delay=delay)
    assert first is not None
    seen = ids(source, name, first.low, first.high)
    # It was written before the newest one, and is committed only now.
    add(database, name, "'2026-03-01T12:08:00', '2026-03-01T12:20:00'")
    second = next_window("at", first.high, newest(source, name, "at"), first=False, delay=delay)
    assert second is not None
    assert [*seen, *ids(source, name, second.low, second.high)] == [1, 2, 3]


def versions(database: Database) -> str:
    name = f"marks_{next(_numbers)}"
    database.run(f"CREATE TABLE {name} (id int PRIMARY KEY, v int, at rowversion)")
    return name


def test_a_rowversion_follows_each_change_once(source: Source, database: Database) -> None:
    name = versions(database)
    database.run(f"INSERT INTO {name} (id, v) VALUES (1, 0), (2, 0), (3, 0)")
    first = newest(source, name, "at")
    assert first.kind == "rowversion"
    assert ids(source, name, None, first) == [1, 2, 3]
    database.run(f"UPDATE {name} SET v = 1 WHERE id = 2")
    deadline = time.monotonic() + 30
    # Some servers count the transactions of all databases: others' may be open just now.
    while not ids(source, name, first, newest(source, name, "at", first)):
        assert time.monotonic() < deadline
    second = newest(source, name, "at", first)
    assert ids(source, name, first, second) == [2]
    assert source.newest(source.describe(name), "at", second) is None


def test_a_rowversion_stops_below_the_rows_of_an_open_transaction(
    source: Source, database: Database
) -> None:
    """Or, where the server cannot tell which these are, the plan says so."""
    name = versions(database)
    database.run(f"INSERT INTO {name} (id, v) VALUES (1, 0)")
    other = database.server.connection(database.name)
    try:
        other.execute("BEGIN TRANSACTION")
        other.execute(f"INSERT INTO {name} (id, v) VALUES (2, 0)")
        if database.versioned:  # else a reader waits for the other transaction
            database.run(f"INSERT INTO {name} (id, v) VALUES (3, 0)")
            info = source.describe(name)
            high = source.newest(info, "at", None)
            assert high is not None
            seen = ids(source, name, None, high)
            other.execute("COMMIT TRANSACTION")
            later = newest(source, name, "at", high)
            missed = {1, 2, 3} - {*seen, *ids(source, name, high, later)}
            assert not missed or any("rowversion" in remark for remark in info.remarks)
    finally:
        other.close()


def test_rows_without_a_value_are_counted_and_read_when_asked_for(
    source: Source, database: Database
) -> None:
    name = make(database, "datetime2(6)", "NULL, '2026-03-01', NULL")
    info = source.describe(name)
    assert source.count_nulls(info, "at") == 2
    high = newest(source, name, "at")
    assert ids(source, name, None, high) == [2]
    window = Window(column="at", high=high, nulls=True)
    assert read(source, whole(source, name, ["id"], window=window)).num_rows == 3
    for part in source.split(info, whole(source, name, ["id"], window=window), 3):
        assert read(source, part).num_rows <= 3


def test_text_of_mixed_formats_is_refused_with_the_column(
    source: Source, database: Database
) -> None:
    for values in (
        "'2026-03-01T12:00:00', '2026-03-01 12:00:01'",
        "'2026-03-01T12:00:00', '2026-03-01T12:00:00.5'",
        "'2026-03-01T12:00:00Z', '2026-03-01T12:00:00+02:00'",
        "'2026-03-01', ''",
    ):
        name = make(database, "varchar(40)", values)
        info = source.describe(name)
        if "at" in info.watermarks:
            with pytest.raises(TerminalError) as refused:
                source.newest(info, "at", None)
            assert refused.value.where["column"] == "at"


def test_text_is_a_watermark_only_where_its_first_rows_are_times(
    source: Source, database: Database
) -> None:
    def kind(values: str) -> Any:
        return source.describe(make(database, "nvarchar(30)", values)).watermarks.get("at")

    assert kind("N'alpha', N'2026-03-01'") is None
    assert kind("N'2026-03-01', NULL") == "date"
    assert kind("N'2026-03-01T12:00:00', NULL") == "timestamp"


def test_the_newest_value_and_the_parts_are_of_one_moment(
    source: Source, database: Database
) -> None:
    """Where the database versions its rows; else the plan says that it does not."""
    name = make(database, "int", "1, 2, 3")
    info = source.describe(name)
    before = source.newest(info, "at", None)
    add(database, name, "4")
    again = source.newest(info, "at", None)
    assert again == before or any("snapshot" in remark for remark in info.remarks)
    assert newest(source, name, "at").value == "4"
