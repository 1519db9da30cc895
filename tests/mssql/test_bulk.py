"""Bulk copy into a table of a live server, and what becomes of it when something stops it."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql.bulk import load
from copy_core.connectors.sql.mssql.encode_text import carrier
from copy_core.connectors.sql.mssql.layout import place
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.table import TableColumn
from copy_core.connectors.sql.mssql.types import SqlType
from copy_core.errors import Cancelled, ConfigError, TerminalError, TransientError
from tests.mssql.cutting_proxy import CuttingProxy
from tests.mssql.server import PASSWORD_VARIABLE, Database, Databases

LATIN = "Latin1_General_CI_AS"
ID = TableColumn("id", SqlType("int"))
NAME = TableColumn("name", SqlType("nvarchar", 20))


@pytest.fixture
def database(databases: Databases) -> Database:
    return databases.take("bulk")


@pytest.fixture
def options(database: Database) -> MssqlOptions:
    password = os.environ[PASSWORD_VARIABLE]
    return database.options.model_copy(update={"password": password})


def create(database: Database, name: str, *columns: TableColumn, more: str = "") -> ObjectName:
    made = ObjectName(database.schema, name)
    listed = ", ".join(f"{place(n)} {c.type.text} NULL" for n, c in enumerate(columns))
    database.run(f"CREATE TABLE {made.quoted} ({listed}{more})")
    return made


def batch(first: int, rows: int) -> pa.RecordBatch:
    ids = range(first, first + rows)
    return pa.RecordBatch.from_pydict(
        {"id": pa.array(ids, pa.int32()), "name": [f"name {i}" for i in ids]}
    )


def count(database: Database, name: ObjectName) -> int:
    [(rows,)] = database.rows(f"SELECT COUNT(*) FROM {name.quoted}")
    return int(rows)


def test_rows_arrive_in_the_columns_of_their_places(
    database: Database, options: MssqlOptions
) -> None:
    name = create(database, "it's ünusual", ID, NAME, more=", [rest] int NULL DEFAULT 7")
    rows = pa.RecordBatch.from_pydict(
        {"id": pa.array([1, 2, None], pa.int32()), "name": ["Ж\U0001f600", "", None]}
    )
    assert load(options, name, [ID, NAME], iter([rows, rows.slice(0, 0)])) == 3
    assert sorted(database.rows(f"SELECT c0, c1 FROM {name.quoted}"), key=repr) == [
        (1, "Ж\U0001f600"),
        (2, ""),
        (None, None),
    ]


def test_a_null_is_not_replaced_by_a_default(database: Database, options: MssqlOptions) -> None:
    name = ObjectName(database.schema, "defaults")
    database.run(f"CREATE TABLE {name.quoted} (c0 int NULL DEFAULT 7, c1 nvarchar(20) NULL)")
    rows = pa.RecordBatch.from_pydict({"id": pa.array([None], pa.int32()), "name": ["x"]})
    load(options, name, [ID, NAME], iter([rows]))
    assert database.rows(f"SELECT c0, c1 FROM {name.quoted}") == [(None, "x")]


@pytest.mark.parametrize("batches", [[], [batch(0, 0)]], ids=["no batch", "an empty batch"])
def test_nothing_is_loaded_of_nothing(
    database: Database, options: MssqlOptions, batches: list[pa.RecordBatch]
) -> None:
    assert load(options, create(database, "t", ID, NAME), [ID, NAME], iter(batches)) == 0


def test_times_arrive_as_they_were(database: Database, options: MssqlOptions) -> None:
    columns = [
        TableColumn("old", SqlType("datetime")),
        TableColumn("short", SqlType("datetime2", scale=3)),
        TableColumn("at", SqlType("datetimeoffset", scale=6)),
    ]
    name = create(database, "times", *columns)
    old = datetime.fromisoformat("1969-12-31T23:59:59.996667")
    at = datetime(2024, 2, 29, 12, 0, 0, 1, timezone(timedelta(hours=2)))
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array([old], pa.timestamp("us")),
            pa.array([datetime.fromisoformat("0001-01-01T00:00:00.001000")], pa.timestamp("us")),
            pa.array([at], pa.timestamp("us", "UTC")),
        ],
        names=["old", "short", "at"],
    )
    assert load(options, name, columns, iter([rows])) == 1
    shown = database.rows(
        "SELECT CONVERT(varchar(40), c0, 121), CONVERT(varchar(40), c1, 121),"
        f" CONVERT(varchar(40), c2, 121) FROM {name.quoted}"
    )
    assert shown == [
        (
            "1969-12-31 23:59:59.997",
            "0001-01-01 00:00:00.001",
            "2024-02-29 10:00:00.000001 +00:00",
        )
    ]


def test_every_character_of_a_code_page_arrives_in_it(
    database: Database, options: MssqlOptions
) -> None:
    known = bytes(range(1, 256)).decode("cp1252", "ignore")
    column = TableColumn("c", SqlType("varchar", 1, codepage=1252), collation=LATIN)
    assert carrier(column) == column.type
    name = ObjectName(database.schema, "latin")
    database.run(f"CREATE TABLE {name.quoted} (c0 varchar(1) COLLATE {LATIN})")
    rows = pa.RecordBatch.from_pydict({"c": list(known)})
    assert load(options, name, [column], iter([rows])) == len(known)
    arrived = database.rows(f"SELECT CAST(c0 AS nvarchar(1)) FROM {name.quoted}")
    assert sorted(c for (c,) in arrived) == sorted(known)


def test_batches_are_pulled_one_at_a_time(database: Database, options: MssqlOptions) -> None:
    """And in the caller's thread, where a stop that was asked for is noticed."""
    sizes: list[int] = []
    most = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal most
        for i in range(30):
            made = batch(i * 10_000, 10_000)
            sizes.append(made.nbytes)
            most = max(most, pa.total_allocated_bytes())
            assert threading.current_thread() is caller
            yield made
            del made

    caller = threading.current_thread()
    before = pa.total_allocated_bytes()
    name = create(database, "lazy", ID, NAME)
    assert load(options, name, [ID, NAME], batches()) == 300_000
    assert most - before < sum(sizes) / 3


@pytest.mark.parametrize("after", [0, 1, 9])
@pytest.mark.parametrize(
    "stop", [Cancelled("somebody stopped the run"), KeyboardInterrupt(), OSError(5, "no disk")]
)
def test_what_stops_the_batches_goes_through_unchanged(
    database: Database, options: MssqlOptions, stop: BaseException, after: int
) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(after):
            yield batch(i * 10, 10)
        raise stop

    with pytest.raises(type(stop)) as e:
        load(options, create(database, "t", ID, NAME), [ID, NAME], batches())
    assert e.value is stop


def test_what_a_load_leaves_behind_may_be_cleared_away_during_the_next(
    database: Database, options: MssqlOptions
) -> None:
    """The driver panics where one of its connections is freed while it sends on another."""

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(3):
            gc.collect()
            yield batch(i * 10, 10)
        if stopped:
            raise stopped.pop()

    stopped = [Cancelled("somebody stopped the run")]
    name = create(database, "t", ID, NAME)
    with pytest.raises(Cancelled):
        load(options, name, [ID, NAME], batches())
    for _ in range(2):
        load(options, name, [ID, NAME], batches())
    assert count(database, name) == 90


def test_a_value_that_does_not_fit_names_its_column(
    database: Database, options: MssqlOptions
) -> None:
    rows = pa.RecordBatch.from_pydict({"id": pa.array([1], pa.int32()), "name": [21 * "x"]})
    with pytest.raises(TerminalError, match=r"column name.*21 characters") as e:
        load(options, create(database, "t", ID, NAME), [ID, NAME], iter([batch(0, 5), rows]))
    assert e.value.code == "too-long"


def test_a_table_that_is_gone_is_said_to_be(options: MssqlOptions, database: Database) -> None:
    name = ObjectName(database.schema, "gone")
    with pytest.raises((ConfigError, TerminalError)) as e:
        load(options, name, [ID, NAME], iter([batch(0, 1)]))
    assert e.value.code == "table-missing"


def test_a_connection_that_breaks_is_worth_another_attempt(
    database: Database, options: MssqlOptions
) -> None:
    name = create(database, "t", ID, NAME)
    with CuttingProxy(options.server) as proxy:

        def batches() -> Iterator[pa.RecordBatch]:
            for i in range(200):
                if i == 20:
                    proxy.cut()
                yield batch(i * 10_000, 10_000)

        through = options.model_copy(update={"server": proxy.address})
        with pytest.raises(TransientError):
            load(through, name, [ID, NAME], batches())
    assert count(database, name) < 2_000_000


def test_a_server_that_is_not_there_is_worth_another_attempt(
    database: Database, options: MssqlOptions
) -> None:
    with CuttingProxy(options.server) as proxy:
        through = options.model_copy(update={"server": proxy.address})
    with pytest.raises(TransientError):
        load(through, create(database, "t", ID, NAME), [ID, NAME], iter([batch(0, 1)]))


def test_writers_do_not_wait_for_each_other(database: Database, options: MssqlOptions) -> None:
    """Each pulls its second batch only once all have pulled their first."""
    together = threading.Barrier(3, timeout=60)

    def batches(first: int) -> Iterator[pa.RecordBatch]:
        yield batch(first, 10)
        together.wait()
        yield batch(first + 10, 10)

    loaded: list[int] = []
    names = [create(database, f"t{i}", ID, NAME) for i in range(3)]
    writers = [
        threading.Thread(
            target=lambda n=name: loaded.append(load(options, n, [ID, NAME], batches(0)))
        )
        for name in names
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert loaded == [20, 20, 20]
