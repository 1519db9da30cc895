"""What other tools get wrong with databases of this kind, each told of them by their users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyodbc
import pytest
from deltalake import DeltaTable

from copy_core.connectors.options import DeltaOptions
from copy_core.connectors.registry import open_source
from tests.mssql.desk import Desk
from tests.mssql.server import Database, Databases

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(900)

INCREMENTAL: dict[str, Any] = {"mode": "incremental", "incremental_column": "at", "write": "append"}


@pytest.fixture
def source(databases: Databases) -> Database:
    return databases.take("source")


@pytest.fixture
def target(databases: Databases) -> Database:
    return databases.take("target")


@pytest.fixture
def desk(tmp_path: Path, source: Database, target: Database) -> Desk:
    return Desk(tmp_path, source.options, target.options)


@contextmanager
def open_transaction(database: Database, *statements: str) -> Iterator[None]:
    """Another program has done this and commits only when the block ends."""
    with closing(database.server.connection(database.name)) as other:
        other.autocommit = False
        for statement in statements:
            other.execute(statement).close()
        yield
        other.commit()


def ids(database: Database, table: str = "t") -> list[int]:
    return [number for (number,) in database.rows(f"SELECT id FROM {table} ORDER BY id")]


def holds(database: Database, name: str) -> bool:
    return name in database.tables()


# Watermarks


def test_rows_in_flight_behind_the_newest_value_are_not_lost(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at bigint)")
    source.run("INSERT INTO t VALUES (1, 1)")
    settings = {**INCREMENTAL, "write": "upsert", "keys": ["id"], "lookback": 5}
    with open_transaction(source, "INSERT INTO t VALUES (2, 2)"):
        source.run("INSERT INTO t VALUES (3, 3)")
        desk.copy(**settings)
        assert ids(target) == [1, 3]
    desk.copy(**settings)
    assert ids(target) == [1, 2, 3]


def test_a_delay_waits_for_rows_in_flight(desk: Desk, source: Database, target: Database) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at bigint)")
    with open_transaction(source, "INSERT INTO t VALUES (2, 2)"):
        source.run("INSERT INTO t VALUES (1, 1), (3, 3)")
        desk.copy(**INCREMENTAL, delay=2)
        assert ids(target) == [1]
    desk.copy(**INCREMENTAL, delay=2)
    source.run("INSERT INTO t VALUES (4, 4), (5, 5)")
    desk.copy(**INCREMENTAL, delay=2)
    assert ids(target) == [1, 2, 3]


def test_the_newest_value_and_the_rows_are_of_one_view(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int IDENTITY PRIMARY KEY, at bigint)")
    source.run("INSERT INTO t (at) VALUES (0)")
    stop = Event()

    def write() -> None:
        with closing(source.server.connection(source.name)) as other:
            while not stop.wait(0.005):
                other.execute("INSERT INTO t (at) SELECT MAX(id) FROM t").close()

    writer = Thread(target=write)
    writer.start()
    try:
        for _ in range(4):
            desk.copy(**INCREMENTAL, parts=3)
    finally:
        stop.set()
        writer.join()
    desk.copy(**INCREMENTAL)
    assert ids(target) == ids(source)


def test_rows_that_tie_with_the_watermark_are_all_copied(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at datetime2(3))")
    same = "'2026-01-01T12:00:00.500'"
    source.run(f"INSERT INTO t VALUES (1, {same}), (2, {same}), (3, {same})")
    settings = {**INCREMENTAL, "write": "upsert", "keys": ["id"], "lookback": "1m"}
    desk.copy(**settings)
    source.run(f"INSERT INTO t VALUES (4, {same})")
    desk.copy(**settings)
    assert ids(target) == [1, 2, 3, 4]


def test_the_newest_rows_are_not_read_again_for_ever(desk: Desk, source: Database) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at datetime2(7))")
    source.run("INSERT INTO t VALUES (1, '2026-01-01T12:00:00.123456')")
    assert desk.copy(**INCREMENTAL).rows_read == 1
    for _ in range(2):
        again = desk.copy(**INCREMENTAL)
        assert (again.status, again.rows_read) == ("unchanged", 0)


def digits(source: Database) -> int:
    """How many digits of a second the server keeps: SQL Server 7, others perhaps fewer."""
    asked = "SELECT CONVERT(varchar(33), CAST('2026-01-01T12:00:00.1234567' AS datetime2(7)), 126)"
    [(text,)] = source.rows(asked)
    return len(text.partition(".")[2].rstrip("0"))


@pytest.mark.parametrize("kind", ["datetime2(7)", "datetimeoffset(7)"])
def test_the_seventh_digit_of_a_watermark_counts(
    desk: Desk, source: Database, target: Database, kind: str
) -> None:
    source.run(f"CREATE TABLE t (id int PRIMARY KEY, at {kind})")
    desk.connections["from"]["seventh_digit"] = "text"
    zone = "+02:00" if "offset" in kind else ""
    last = digits(source)
    for number in range(1, 5):
        at = f"2026-01-01T12:00:00.{12345671 + number:08}"[: 20 + last - 1] + f"{number}{zone}"
        source.run(f"INSERT INTO t VALUES ({number}, '{at}')")
        assert desk.copy(**INCREMENTAL).rows_read == 1
    assert ids(target) == [1, 2, 3, 4]
    assert target.rows("SELECT COUNT(DISTINCT at) FROM t") == [(4,)]


def test_a_time_finer_than_microseconds_is_never_rounded_silently(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at datetime2(7))")
    source.run("INSERT INTO t VALUES (1, '2026-01-01T12:00:00.1234567')")
    if digits(source) == 7:
        error = desk.fail()
        assert error["where"]["column"] == "at"
        assert "seventh_digit" in error["fix"]
        assert not holds(target, "t")
    else:
        desk.copy()
        assert target.rows("SELECT CONVERT(varchar(33), at, 126) FROM t") == source.rows(
            "SELECT CONVERT(varchar(33), at, 126) FROM t"
        )


def test_datetime_and_its_three_hundredths_of_a_second(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at datetime)")
    for number, thousandths in enumerate((0, 3, 7, 10, 13, 993, 997)):
        at = f"2026-01-01T12:00:00.{thousandths:03}"
        source.run(f"INSERT INTO t VALUES ({number}, '{at}')")
        assert desk.copy(**INCREMENTAL).rows_read == 1
    assert ids(target) == list(range(7))
    assert desk.copy(**INCREMENTAL).status == "unchanged"
    text = "SELECT id, CONVERT(varchar(23), CAST(at AS datetime2(3)), 126) FROM t ORDER BY id"
    assert target.rows(text) == source.rows(text)


def test_a_datetimeoffset_orders_by_its_instant(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at datetimeoffset(6))")
    instants = [
        "2026-01-01T13:00:00.000001+02:00",
        "2026-01-01T11:00:00.000002+00:00",
        "2026-01-01T05:30:00.000003-05:30",
        "2026-01-02T01:00:00.000004+14:00",
    ]
    for number, at in enumerate(instants):
        source.run(f"INSERT INTO t VALUES ({number}, '{at}')")
        assert desk.copy(**INCREMENTAL).rows_read == 1
    text = "SELECT id, CONVERT(varchar(40), SWITCHOFFSET(at, '+00:00'), 121) FROM t ORDER BY id"
    assert target.rows(text) == source.rows(text)


def test_a_rowversion_waits_for_open_transactions(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, name nvarchar(20), at rowversion)")
    source.run("INSERT INTO t (id, name) VALUES (1, 'a')")
    desk.copy(**INCREMENTAL)
    with open_transaction(source, "INSERT INTO t (id, name) VALUES (2, 'b')"):
        source.run("INSERT INTO t (id, name) VALUES (3, 'c')")
        if knows_open_rowversions(source):
            desk.copy(**INCREMENTAL)
            assert ids(target) == [1]
        else:
            with open_source(source.options) as reader:
                [remark] = [r for r in reader.describe("t").remarks if "rowversion" in r]
            assert "transaction" in remark
    desk.copy(**INCREMENTAL)
    assert ids(target) == [1, 2, 3]
    source.run("UPDATE t SET name = 'z' WHERE id = 1")
    assert desk.copy(**INCREMENTAL).rows_read == 1


def knows_open_rowversions(source: Database) -> bool:
    """SQL Server does; others may not."""
    try:
        source.rows("SELECT MIN_ACTIVE_ROWVERSION()")
    except pyodbc.Error:
        return False
    return True


# Keys


def test_a_null_in_an_update_key_is_refused_and_changes_nothing(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int, name nvarchar(20), at bigint)")
    source.run("INSERT INTO t VALUES (1, 'a', 1)")
    settings = {**INCREMENTAL, "write": "upsert", "keys": ["id"]}
    desk.copy(**settings)
    source.run("INSERT INTO t VALUES (NULL, 'b', 2), (2, 'c', 3)")
    assert desk.fail(**settings)["code"] == "null-key"
    assert ids(target) == [1]
    source.run("UPDATE t SET id = 3 WHERE id IS NULL")
    desk.copy(**settings)
    assert ids(target) == [1, 2, 3]


def test_keys_that_differ_in_case_stay_apart_in_a_table_of_ours(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run(
        "CREATE TABLE t (id nvarchar(20) COLLATE Latin1_General_BIN2 PRIMARY KEY, at bigint)"
    )
    source.run("INSERT INTO t VALUES ('key', 1), ('KEY', 2), (N'kéy', 3)")
    settings = {**INCREMENTAL, "write": "upsert"}
    desk.copy(**settings)
    source.run("UPDATE t SET at = 9 WHERE id = 'KEY'")
    desk.copy(**settings)
    assert dict(target.rows("SELECT id, at FROM t")) == {"key": 1, "KEY": 9, "kéy": 3}


# Never twice


def test_a_lost_state_doubles_nothing(desk: Desk, source: Database, target: Database) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at bigint)")
    source.run("INSERT INTO t VALUES (1, 1), (2, 2)")
    desk.copy(**INCREMENTAL)
    desk.forget()
    source.run("INSERT INTO t VALUES (3, 3)")
    desk.copy(**INCREMENTAL)
    assert ids(target) == [1, 2, 3]


# Values


def test_decimals_keep_every_digit(desk: Desk, source: Database, target: Database) -> None:
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, a decimal(38, 10), b decimal(38, 0),"
        " c decimal(38, 38), d money, e smallmoney)"
    )
    rows = [
        (1, "9" * 28 + "." + "9" * 10, "9" * 38, "0." + "9" * 38, "922337203685477.5807",
         "214748.3647"),
        (2, "-" + "9" * 28 + ".0000000001", "-" + "9" * 38, "-0." + "0" * 37 + "1",
         "-922337203685477.5808", "-214748.3648"),
        (3, "0.0000000001", "0", "0", "0.0001", "-0.0001"),
    ]  # fmt: skip
    for row in rows:
        values = ", ".join(map(str, row))
        source.run(f"INSERT INTO t VALUES ({values})")
    desk.copy()
    asked = "SELECT id, a, b, c, d, e FROM t ORDER BY id"
    found = target.rows(asked)
    assert found == [(row[0], *map(Decimal, row[1:])) for row in rows]
    assert found == source.rows(asked)


def test_a_uniqueidentifier_reads_as_the_server_writes_it(
    tmp_path: Path, desk: Desk, source: Database, target: Database
) -> None:
    text = "6F9619FF-8B86-D011-B42D-00C04FC964FF"
    source.run("CREATE TABLE t (id int PRIMARY KEY, u uniqueidentifier)")
    target.run("CREATE TABLE t (id int PRIMARY KEY, u uniqueidentifier)")
    source.run(f"INSERT INTO t VALUES (1, '{text}'), (2, NULL)")
    desk.copy()
    assert target.rows("SELECT id, CAST(u AS varchar(36)) FROM t ORDER BY id") == [
        (1, text),
        (2, None),
    ]
    lake = tmp_path / "lake"
    Desk(tmp_path, source.options, DeltaOptions(type="delta", root=str(lake))).copy()
    assert DeltaTable(f"{lake}/t").to_pyarrow_table()["u"].to_pylist() == [text, None]


def test_times_without_a_zone_do_not_vanish_in_a_lakehouse(
    tmp_path: Path, source: Database
) -> None:
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, a datetime2(6), b datetime, c datetimeoffset(6))"
    )
    at = "2026-03-29T02:30:00.123"
    source.run(f"INSERT INTO t VALUES (1, '{at}', '{at}', '{at}+02:00')")
    lake = tmp_path / "lake"
    Desk(tmp_path, source.options, DeltaOptions(type="delta", root=str(lake))).copy()
    table = DeltaTable(f"{lake}/t")
    assert "timestamp_ntz" not in table.schema().to_json()
    [row] = table.to_pyarrow_table().select(["a", "b", "c"]).to_pylist()
    naive = datetime(2026, 3, 29, 2, 30, 0, 123000, tzinfo=UTC)
    assert row == {"a": naive, "b": naive, "c": naive.replace(hour=0)}


def test_large_values_pass_in_bounded_memory(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, b varbinary(max), n nvarchar(max))")
    source.run("INSERT INTO t VALUES (1, CAST('ab' AS varbinary(max)), N'ż')")
    for number, large in ((2, "b"), (3, "n")):
        cast = "varbinary" if large == "b" else "nvarchar"
        source.run(
            f"INSERT INTO t (id, {large}) SELECT {number}, CAST(REPLICATE("
            f"CAST('0123456789abcdef' AS varchar(max)), 1000000) AS {cast}(max))"
        )
    desk.copy()
    asked = "SELECT id, DATALENGTH(b), DATALENGTH(n), RIGHT(n, 4) FROM t ORDER BY id"
    assert target.rows(asked) == source.rows(asked)
    assert target.rows("SELECT DATALENGTH(b) FROM t WHERE id = 2") == [(16_000_000,)]


# Names and shapes


def test_reserved_words_spaces_and_quotes_as_names(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE SCHEMA [my sales]")
    source.run("CREATE TABLE [my sales].[order] ([select] int PRIMARY KEY, [group by] int,"
               " [it's \"so\"] nvarchar(20))")  # fmt: skip
    source.run("INSERT INTO [my sales].[order] VALUES (1, 2, 'x')")
    target.run("CREATE SCHEMA [from]")
    for _ in range(2):
        desk.copy(
            "my sales.order", destination="from.table", write="upsert", keys=["select"], mode="full"
        )
    assert target.rows('SELECT [select], [group by], [it\'s "so"] FROM [from].[table]') == [
        (1, 2, "x")
    ]


def test_identity_and_computed_columns(desk: Desk, source: Database, target: Database) -> None:
    make = (
        "CREATE TABLE t (id int IDENTITY(5, 5) PRIMARY KEY, at bigint,"
        " twice AS (at * 2), version rowversion)"
    )
    source.run(make)
    target.run(make)
    source.run("INSERT INTO t (at) VALUES (10), (20)")
    settings = {**INCREMENTAL, "write": "upsert"}
    desk.copy(**settings)
    assert target.rows("SELECT id, at, twice FROM t ORDER BY id") == [(5, 10, 20), (10, 20, 40)]
    source.run("UPDATE t SET at = 30 WHERE id = 5")
    source.run("INSERT INTO t (at) VALUES (40)")
    desk.copy(**settings)
    wanted = [(5, 30, 60), (10, 20, 40), (15, 40, 80)]
    assert target.rows("SELECT id, at, twice FROM t ORDER BY id") == wanted
    target.run("INSERT INTO t (at) VALUES (1)")  # and the server goes on counting after them
    assert target.rows("SELECT MAX(id) FROM t") == [(20,)]


def test_a_column_that_the_source_gets_later(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at bigint)")
    source.run("INSERT INTO t VALUES (1, 1)")
    desk.copy(**INCREMENTAL)
    source.run("ALTER TABLE t ADD note nvarchar(30) NOT NULL DEFAULT 'none'")
    source.run("INSERT INTO t VALUES (2, 2, 'new')")
    desk.copy(**INCREMENTAL)
    assert target.rows("SELECT id, at, note FROM t ORDER BY id") == [(1, 1, None), (2, 2, "new")]


def test_an_empty_table_arrives_with_its_types(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run(
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, name nvarchar(50), price decimal(9, 2),"
        " at datetime2(3) NOT NULL)"
    )
    assert desk.copy(write="upsert").rows_written == 0
    asked = (
        "SELECT name, TYPE_NAME(system_type_id), max_length, precision, scale, is_nullable"
        " FROM sys.columns WHERE object_id = OBJECT_ID('t') ORDER BY column_id"
    )
    found = target.rows(asked)
    assert [row[:2] for row in found] == [
        ("id", "int"),
        ("name", "nvarchar"),
        ("price", "decimal"),
        ("at", "datetime2"),
    ]
    assert found[1][2] == 100
    assert found[2][3:5] == (9, 2)
    assert [row[5] for row in found] == [False, True, True, False]


def test_views_and_queries(desk: Desk, source: Database, target: Database) -> None:
    source.run("CREATE TABLE sales (id int PRIMARY KEY, at bigint, region nvarchar(10))")
    source.run("INSERT INTO sales VALUES (1, 1, 'EU'), (2, 2, 'US'), (3, 3, 'EU')")
    source.run("CREATE VIEW eu AS SELECT id, at FROM sales WHERE region = 'EU'")
    assert desk.copy("eu", **INCREMENTAL).rows_read == 2
    query = "SELECT id, at, UPPER(region) AS place FROM sales WHERE region <> 'EU'"
    assert desk.copy("abroad", query=query, **INCREMENTAL).rows_read == 1
    source.run("INSERT INTO sales VALUES (4, 4, 'EU'), (5, 5, 'uk')")
    assert desk.copy("eu", **INCREMENTAL).rows_read == 1
    assert desk.copy("abroad", query=query, **INCREMENTAL).rows_read == 1
    assert ids(target, "eu") == [1, 3, 4]
    assert target.rows("SELECT id, place FROM abroad ORDER BY id") == [(2, "US"), (5, "UK")]


def test_triggers_and_constraints_of_the_destination_hold(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at bigint)")
    target.run("CREATE TABLE t (id int PRIMARY KEY, at bigint CHECK (at < 100))")
    target.run("CREATE TABLE seen (id int)")
    target.run("CREATE TRIGGER tell ON t AFTER INSERT AS INSERT INTO seen SELECT id FROM inserted")
    source.run("INSERT INTO t VALUES (1, 1), (2, 2)")
    desk.copy(**INCREMENTAL)
    assert (ids(target), ids(target, "seen")) == ([1, 2], [1, 2])
    source.run("INSERT INTO t VALUES (3, 3), (4, 400)")
    error = desk.fail(**INCREMENTAL)
    assert error["recovery"] == "terminal"
    assert error["where"]["table"] == "t"
    assert (ids(target), ids(target, "seen")) == ([1, 2], [1, 2])
    target.run("DROP TRIGGER tell")


def test_statements_around_a_copy_are_part_of_it(
    desk: Desk, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE t (id int PRIMARY KEY, at bigint)")
    source.run("INSERT INTO t VALUES (1, 1), (2, 2)")
    target.run("CREATE TABLE log (what nvarchar(20), rows int)")
    around: dict[str, Any] = {
        "pre_copy_sql": ["INSERT INTO log VALUES ('before', 0)"],
        "post_copy_sql": ["INSERT INTO log SELECT 'after', COUNT(*) FROM t"],
    }
    desk.copy(write="overwrite", **around)
    logged = [("before", 0), ("after", 2)]
    assert target.rows("SELECT what, rows FROM log ORDER BY rows") == logged
    source.run("INSERT INTO t VALUES (3, 3)")
    broken = {**around, "post_copy_sql": ["INSERT INTO log VALUES ('too', 1 / 0)"]}
    desk.fail(write="overwrite", **broken)
    assert ids(target) == [1, 2]
    assert target.rows("SELECT what, rows FROM log ORDER BY rows") == logged
