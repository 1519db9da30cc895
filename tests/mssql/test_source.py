"""Reading tables, views and queries of a live server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from copy_core.connectors.base import Source
from copy_core.connectors.registry import open_source
from copy_core.connectors.sql.mssql.dialect import select
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.table import Table
from copy_core.connectors.sql.text import bind
from copy_core.errors import ConfigError, CopyJobError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark, Window
from tests.conformance.source_kit import read, whole
from tests.mssql.server import Database, Databases

_numbers = count()


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    return databases.take("source_more")


@pytest.fixture(scope="module")
def source(database: Database) -> Iterator[Source]:
    with open_source(database.options) as source:
        yield source


def make(database: Database, columns: str, *rows: str) -> str:
    name = f"source_{next(_numbers)}"
    database.run(f"CREATE TABLE {name} ({columns})")
    for row in rows:
        database.run(f"INSERT INTO {name} VALUES ({row})")
    return name


def of_query(source: Source, query: str, *columns: str, **more: object) -> Slice:
    info = source.describe("people", query)
    chosen = columns or tuple(info.schema.names)
    return Slice.model_validate(
        {"object": "people", "columns": chosen, "query": info.query, **more}
    )


@pytest.fixture(scope="module")
def people(database: Database) -> str:
    return make(
        database, "id int PRIMARY KEY, name nvarchar(20)", "1, N'Ann'", "2, N'Zoë'", "3, NULL"
    )


def test_a_view_is_read_as_a_table(source: Source, database: Database, people: str) -> None:
    view = f"view_{next(_numbers)}"
    database.run(f"CREATE VIEW {view} AS SELECT id * 10 AS tens, name FROM {people}")
    assert f"{database.schema}.{view}" in source.objects()
    info = source.describe(view)
    assert info.keys == ()
    window = Window(column="tens", high=Watermark(kind="int", value="20"))
    parts = source.split(info, whole(source, view, window=window), 2)
    assert sorted(read(source, *parts)["tens"].to_pylist()) == [10, 20]


def test_a_name_may_say_its_schema_or_not(source: Source, database: Database, people: str) -> None:
    for name in (people, f"{database.schema}.{people}", f"[{database.schema}].[{people}]"):
        assert source.describe(name).object == name
        assert read(source, whole(source, name)).num_rows == 3


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, name FROM {t}",
        "SELECT id, name FROM {t} -- all of them",
        "SELECT TOP (3) id, name FROM {t} ORDER BY id;",
    ],
)
def test_a_query_is_read_as_a_table(source: Source, people: str, query: str) -> None:
    asked = query.format(t=people)
    info = source.describe("people", asked)
    assert info.object == "people"
    assert info.query == asked
    assert [(f.name, str(f.type)) for f in info.schema] == [("id", "int32"), ("name", "string")]
    few = [Condition(column="name", value="Zoë")]
    window = Window(column="id", high=Watermark(kind="int", value="2"))
    part = of_query(source, asked, window=window)
    assert sorted(read_rows(source, part)) == [(1, "Ann"), (2, "Zoë")]
    assert read_rows(source, part.model_copy(update={"filter": tuple(few)})) == [(2, "Zoë")]
    newest = source.newest(info, "id", None)
    assert newest is not None
    assert newest.value == "3"
    assert source.count_nulls(info, "name") == 1
    parts = source.split(info, of_query(source, asked, window=window), 2)
    assert len(parts) == 2
    assert sorted(row for p in parts for row in read_rows(source, p)) == [(1, "Ann"), (2, "Zoë")]
    assert "[id]" in source.predicate(parts[0])


WITH = "WITH a AS (SELECT * FROM {t}), b (id, name) AS (SELECT id, name FROM a) SELECT * FROM b"


def test_a_query_may_begin_with_common_table_expressions(database: Database, people: str) -> None:
    table = Table(ObjectName("", "people"), "query", (), query=WITH.format(t=people))
    asked = select(table, "id, name", "id < " + bind(3))
    assert sorted(database.rows(asked.text, *asked.values)) == [(1, "Ann"), (2, "Zoë")]


def test_a_query_is_described_with_its_common_table_expressions_or_refused(
    source: Source, database: Database, people: str
) -> None:
    query = WITH.format(t=people)
    if database.rows("EXEC sp_describe_first_result_set ?", query):
        assert source.describe("people", query).schema.names == ["id", "name"]
    else:  # not every server describes such a query
        with pytest.raises(ConfigError) as refused:
            source.describe("people", query)
        assert refused.value.code == "bad-query"


def read_rows(source: Source, part: Slice) -> list[tuple[object, ...]]:
    sent = Slice.model_validate_json(part.model_dump_json())
    return [tuple(row.values()) for b in source.read(sent, 10) for row in b.to_pylist()]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM {t} ORDER BY id",
        "SELECT id FROM {t}; DELETE FROM {t}",
        "DELETE FROM {t}",
        "SELECT nothing FROM {t}",
        "SELECT id, id FROM {t}",
        "SELECT id FROM no_such_table",
    ],
)
def test_a_query_that_cannot_stand_for_a_table_is_refused(
    source: Source, people: str, query: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        source.describe("people", query.format(t=people))
    assert refused.value.fix
    assert read(source, whole(source, people)).num_rows == 3


def test_a_table_is_described_with_lengths_and_what_cannot_be_copied(
    source: Source, database: Database
) -> None:
    name = make(
        database,
        "id int IDENTITY NOT NULL, code char(3) NOT NULL, name nvarchar(50), b varbinary(8),"
        " long nvarchar(max), doubled AS id * 2, PRIMARY KEY (code, id)",
    )
    info = source.describe(name)
    assert info.keys == ("code", "id")
    assert info.lengths == {"code": 3, "name": 50, "b": 8}
    assert info.schema.names == ["id", "code", "name", "b", "long", "doubled"]
    assert [field.nullable for field in info.schema][:3] == [False, False, True]


def test_a_missing_column_names_those_there_are(source: Source, people: str) -> None:
    with pytest.raises(ConfigError, match="id, name") as missing:
        list(source.read(Slice(object=people, columns=("nam",)), 10))
    assert missing.value.code == "column-missing"


def test_our_own_tables_are_not_offered(source: Source, database: Database) -> None:
    database.run("CREATE TABLE _copyjob_stage_x (id int)")
    assert not [name for name in source.objects() if "_copyjob_" in name]
    with pytest.raises(ConfigError) as missing:
        source.describe("_copyjob_stage_x")
    assert missing.value.code == "table-missing"


def test_large_values_come_in_batches_that_fit_in_memory(
    source: Source, database: Database
) -> None:
    name = make(database, "id int PRIMARY KEY, v nvarchar(max), b varbinary(max)")
    for number in range(40):
        size = 1_500_000 if number % 10 == 0 else 10
        database.run(
            f"INSERT INTO {name} SELECT {number}, REPLICATE(CAST(N'é' AS nvarchar(max)), {size}),"
            f" CAST(REPLICATE(CAST('x' AS varchar(max)), {size}) AS varbinary(max))"
        )
    batches = list(source.read(whole(source, name), 1000))
    assert sum(batch.num_rows for batch in batches) == 40
    assert max(batch.nbytes for batch in batches) < 48 << 20
    assert len(batches) < 20  # the small rows are not sent one by one
    found = pa.Table.from_batches(batches).sort_by("id")
    lengths = [len(value) for value in found["v"].to_pylist()]
    assert lengths == [1_500_000 if number % 10 == 0 else 10 for number in range(40)]
    assert [len(value) for value in found["b"].to_pylist()] == lengths


def test_rows_that_turn_wide_come_in_batches_that_fit_in_memory(
    source: Source, database: Database
) -> None:
    columns = [f"v{number}" for number in range(10)]
    listed = ", ".join(f"{column} varchar(8000)" for column in columns)
    name = make(database, f"id int PRIMARY KEY, {listed}")
    for first, rows, size in ((0, 5000, 1), (5000, 1000, 7900)):
        many = f"SELECT TOP {rows} {first - 1} + ROW_NUMBER() OVER (ORDER BY a.object_id) AS id"
        values = ", ".join([f"REPLICATE('x', {size})"] * len(columns))
        database.run(
            f"INSERT INTO {name} SELECT id, {values}"
            f" FROM ({many} FROM sys.all_columns AS a CROSS JOIN sys.all_columns AS b) AS n"
        )
    batches = list(source.read(whole(source, name), 65_536))
    assert sum(batch.num_rows for batch in batches) == 6000
    assert sum(batch.nbytes for batch in batches) > 64 << 20
    assert max(batch.nbytes for batch in batches) < 48 << 20


_READ = """
import re, sys
from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.registry import open_source
from copy_core.model import Slice
from copy_core.watermark import Window

def peak():  # not ru_maxrss: that begins with what the parent had
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10

options = MssqlOptions.model_validate_json(sys.stdin.read())
rows = size = 0
with open_source(options) as source:
    part = Slice(object=sys.argv[1], columns=("id", "v", "b"), window=Window(nulls=True))
    source.describe(sys.argv[1])
    before = peak()
    for batch in source.read(part, 65536):
        rows, size = rows + batch.num_rows, size + batch.nbytes
        del batch
print(rows, size >> 20, peak() - before)
"""


def test_values_of_many_megabytes_take_no_more_memory_than_a_few_of_them(
    database: Database,
) -> None:
    name = make(database, "id int PRIMARY KEY, v nvarchar(max), b varbinary(max)")
    eight = "(VALUES (0), (1), (2), (3), (4), (5), (6), (7))"
    database.run(
        f"INSERT INTO {name} SELECT a.n + 8 * b.n,"
        " CASE WHEN a.n < 4 THEN REPLICATE(CAST(N'é' AS nvarchar(max)), 4000000) END,"
        " CASE WHEN a.n >= 4 THEN CAST(REPLICATE(CAST('x' AS varchar(max)), 8000000)"
        f" AS varbinary(max)) END FROM {eight} AS a (n), {eight} AS b (n)"
    )
    done = subprocess.run(
        [sys.executable, "-c", _READ, name],
        input=database.options.model_dump_json(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, megabytes, more = map(int, done.stdout.split())
    assert rows == 64
    assert megabytes > 480
    assert more < 200


def test_batches_of_large_values_hold_no_more_rows_than_asked_for(
    source: Source, database: Database
) -> None:
    name = make(database, "id int PRIMARY KEY, v varchar(max)")
    database.run(f"INSERT INTO {name} SELECT 0, REPLICATE(CAST('x' AS varchar(max)), 9000000)")
    for number in range(1, 30):
        database.run(f"INSERT INTO {name} VALUES ({number}, 'x')")
    sizes = [batch.num_rows for batch in source.read(whole(source, name), 7)]
    assert max(sizes) <= 7
    assert sum(sizes) == 30


def test_a_time_finer_than_microseconds_is_refused_by_name_or_read_as_asked(
    database: Database,
) -> None:
    name = make(database, "id int, at datetime2(7)", "1, '2026-03-01T12:00:00.1234567'")
    [(text,)] = database.rows(f"SELECT CONVERT(varchar(33), at, 121) FROM {name}")
    fine = text.endswith("4567")  # not every server keeps the seventh digit
    found = {}
    for choice in ("fail", "drop", "text"):
        options = database.options.model_copy(update={"seventh_digit": choice})
        with open_source(options) as source:
            try:
                [value] = read(source, whole(source, name))["at"].to_pylist()
                found[choice] = str(value)
            except CopyJobError as e:
                found[choice] = f"{e.code} {e.where['column']}"
    assert found["fail"] == ("fine-time at" if fine else found["drop"])
    assert found["drop"].startswith("2026-03-01 12:00:00.12345")
    assert found["text"] == ("2026-03-01T12:00:00.1234567" if fine else found["drop"])


def test_a_condition_is_written_as_people_would_write_it(source: Source, people: str) -> None:
    window = Window(
        column="id", low=Watermark(kind="int", value="1"), high=Watermark(kind="int", value="3")
    )
    part = whole(
        source,
        people,
        window=window,
        filter=[Condition(column="name", op="in", value=["it's", "Zoë"])],
    )
    assert source.predicate(part) == (
        "[name] IN ('it''s', N'Zoë') AND [id] > CAST(1 AS int) AND [id] <= CAST(3 AS int)"
    )


def test_a_source_that_met_an_error_is_as_good_as_new(source: Source, people: str) -> None:
    info = source.describe(people)
    with pytest.raises(CopyJobError):
        source.count_nulls(info, "no such column")
    with pytest.raises(CopyJobError):
        source.describe("people", f"SELECT 1 / 0 AS a, x FROM {people}")
    assert source.count_nulls(source.describe(people), "name") == 1


def test_a_plan_says_what_the_server_lacks(source: Source, database: Database) -> None:
    name = make(database, "id int PRIMARY KEY, v rowversion")
    remarks = source.describe(name).remarks
    assert all(remark and not remark.endswith(".") for remark in remarks)
    options = database.options.model_copy(update={"read_only": True})
    with open_source(options) as replica:
        assert any("replicas" in remark for remark in replica.describe(name).remarks)
