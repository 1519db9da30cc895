"""Preparing and staging for tables that another program made, live."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from copy_core.connectors.registry import open_destination
from copy_core.connectors.sql.mssql import pool
from copy_core.errors import ConfigError, CopyJobError, TerminalError
from tests.conformance.destination_kit import aim, batches
from tests.conformance.samples import table
from tests.mssql.server import Databases
from tests.mssql.target import Place
from tests.planted import planted


@pytest.fixture
def place(databases: Databases) -> Iterator[Place]:
    place = Place(databases.take("destination"))
    yield place
    place.to.close()


def one(kind: pa.DataType, *values: Any) -> pa.Table:
    return pa.table({"id": range(len(values)), "v": pa.array(values, kind)})


def test_a_view_is_refused(place: Place) -> None:
    place.run("CREATE VIEW v AS SELECT 1 AS id")
    with pytest.raises(ConfigError) as refused:
        place.to.prepare(aim(table(), object="v"))
    assert refused.value.code == "not-a-table"
    assert "view" in str(refused.value)
    place.run("DROP VIEW v")


def test_what_is_no_table_at_all_is_refused(place: Place) -> None:
    place.run("CREATE PROCEDURE p AS SELECT 1")
    try:
        with pytest.raises(ConfigError) as refused:
            place.to.prepare(aim(table(), object="p"))
    finally:
        place.run("DROP PROCEDURE p")
    assert refused.value.code == "not-a-table"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nowhere.t", "schema-missing"),
        ("_copyjob_ledger", "bad-name"),
        ("a.b.c", "bad-name"),
        ("x" * 129, "bad-name"),
    ],
)
def test_a_name_where_no_table_can_be_is_refused(place: Place, name: str, code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        place.to.prepare(aim(table(), object=name))
    assert (refused.value.code, refused.value.where["table"]) == (code, name)


def test_a_login_that_may_not_write_is_refused_before_anything_is_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, password = f"copyjob_{secrets.token_hex(4)}", f"Aa1!{planted(secrets.token_hex(6))}"
    monkeypatch.setenv("COPYJOB_TEST_MSSQL_POOR", password)
    place.run(
        "CREATE TABLE t (id bigint, name nvarchar(50), at bigint)",
        f"CREATE LOGIN {login} WITH PASSWORD = '{password}'",
        f"CREATE USER {login} FOR LOGIN {login}",
        f"GRANT SELECT, INSERT ON t TO {login}",
    )
    poor = {"user": login, "password": "${env:COPYJOB_TEST_MSSQL_POOR}"}
    try:
        with open_destination(place.database.options.model_copy(update=poor)) as to:
            with pytest.raises(ConfigError) as refused:
                to.prepare(aim(table(), write="overwrite"))
            assert refused.value.code == "not-permitted"
            own = f"[{place.database.schema}]"
            for missing in (f"SELECT on {own},", f"DELETE on {own}.[t]"):
                assert missing in str(refused.value)
            assert f"INSERT on {own}.[t]" not in str(refused.value)
    finally:
        pool.sweep(everything=True)
        place.run("DROP TABLE t", f"DROP USER {login}", f"DROP LOGIN {login}")


def test_a_schema_of_its_own_holds_table_ledger_and_staging(place: Place) -> None:
    place.run("CREATE SCHEMA other")
    target = aim(table(), object="other.t")
    staged = place.stage(target, table())
    place.publish(target, staged)
    found = "SELECT name FROM sys.tables WHERE schema_id = SCHEMA_ID('{}')"
    own, default = (place.rows(found.format(s)) for s in ("other", place.database.schema))
    assert len(own) == 3
    assert default == []
    place.to.clean(target)
    assert place.rows(found.format("other")) == [("_copyjob_ledger",), ("t",)]


def test_an_upsert_gives_a_table_the_index_that_it_needs(place: Place) -> None:
    place.run("CREATE TABLE t (id bigint NOT NULL, name nvarchar(50), at bigint)")
    target = aim(table(), 1, "upsert")
    place.to.prepare(target)
    place.load(target, table())
    unique = "SELECT COUNT(*) FROM sys.indexes WHERE object_id = OBJECT_ID('t') AND is_unique = 1"
    assert place.rows(unique) == [(1,)]


def test_an_upsert_into_a_table_with_rows_of_one_key_is_refused(place: Place) -> None:
    place.run(
        "CREATE TABLE t (id bigint NOT NULL, name nvarchar(50), at bigint)",
        "INSERT INTO t (id) VALUES (1), (1)",
    )
    with pytest.raises(ConfigError) as refused:
        place.to.prepare(aim(table(), 1, "upsert"))
    assert refused.value.code == "duplicate-key"


def test_an_upsert_by_a_column_that_no_index_takes_is_refused(place: Place) -> None:
    place.run("CREATE TABLE t (id bigint NOT NULL, name nvarchar(max), at bigint)")
    with pytest.raises(ConfigError) as refused:
        place.to.prepare(aim(table(), 1, "upsert", keys=("name",)))
    assert (refused.value.code, refused.value.where["column"]) == ("key-type", "name")


def test_keys_are_those_of_the_column_whatever_their_case(place: Place) -> None:
    place.run("CREATE TABLE t (k nvarchar(10) PRIMARY KEY, v bigint)")
    keys = pa.table({"K": ["a", "b"], "V": [1, 2]})
    place.load(aim(keys, 1, "upsert", keys=("K",)), keys)
    newer = pa.table({"K": ["A", "c"], "V": [3, 4]})
    place.load(aim(newer, 2, "upsert", keys=("K",)), newer)
    assert place.rows("SELECT k, v FROM t") == [("a", 3), ("b", 2), ("c", 4)]
    both = pa.table({"K": ["d", "D"], "V": [5, 6]})
    target = aim(both, 3, "upsert", keys=("K",))
    with pytest.raises(TerminalError) as refused:
        place.publish(target, place.stage(target, both))
    assert refused.value.code == "duplicate-key"


@pytest.mark.parametrize(
    ("declared", "rows", "there"),
    [
        ("money", one(pa.decimal128(19, 4), Decimal("-1.2345"), None), [Decimal("-1.2345"), None]),
        ("decimal(9,2)", one(pa.decimal128(5, 1), Decimal("1.5")), [Decimal("1.50")]),
        (
            "datetime",
            one(pa.timestamp("us"), datetime.fromisoformat("2026-01-02T03:04:05.123")),
            ["2026-01-02T03:04:05.123"],
        ),
        ("varchar(20)", one(pa.string(), "plain", ""), ["plain", ""]),
        ("xml", one(pa.string(), "<a>b</a>"), ["<a>b</a>"]),
        ("ntext", one(pa.string(), "Zoë"), ["Zoë"]),
        ("varbinary(4)", one(pa.binary(), b"\x00\xff"), [b"\x00\xff"]),
        ("tinyint", one(pa.uint8(), 0, 255), [0, 255]),
        ("bigint", one(pa.int32(), -1), [-1]),
        ("real", one(pa.float32(), 1.5), [1.5]),
        ("sql_variant", one(pa.string(), "text"), ["text"]),
        (
            "uniqueidentifier",
            one(pa.string(), "01234567-89ab-cdef-0123-456789abcdef"),
            ["01234567-89AB-CDEF-0123-456789ABCDEF"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("write", ["append", "upsert"])
def test_columns_of_any_type(
    place: Place, write: Any, declared: str, rows: pa.Table, there: list[Any]
) -> None:
    place.run(f"CREATE TABLE t (id bigint PRIMARY KEY, v {declared})")
    place.load(aim(rows, 1, write), rows)
    shown = {
        "datetime": "CONVERT(varchar(33), v, 126)",
        "sql_variant": "CAST(v AS nvarchar(50))",
        "xml": "CAST(v AS nvarchar(50))",
        "ntext": "CAST(v AS nvarchar(50))",
    }.get(declared, "v")
    assert place.database.rows(f"SELECT {shown} FROM t ORDER BY id") == [(v,) for v in there]


@pytest.mark.parametrize(
    ("declared", "rows", "code"),
    [
        ("int", one(pa.int64(), 1), "incompatible-type"),
        ("xml", one(pa.int64(), 1), "incompatible-type"),
        ("nvarchar(3)", one(pa.string(), "four"), "too-long"),
        ("varchar(10)", one(pa.string(), "表"), None),
        ("uniqueidentifier", one(pa.string(), "no guid"), None),
    ],
    ids=["int", "xml of a number", "too long", "code page", "no guid"],
)
def test_what_a_column_cannot_hold_is_refused(
    place: Place, declared: str, rows: pa.Table, code: str | None
) -> None:
    place.run(f"CREATE TABLE t (id bigint, v {declared})")
    with pytest.raises(CopyJobError) as refused:
        place.load(aim(rows), rows)
    assert refused.value.recovery in ("config", "terminal")
    assert code in (refused.value.code, None)
    assert (refused.value.where["table"], refused.value.where["column"]) == ("t", "v")
    assert place.rows("SELECT id FROM t") == []


def test_a_column_of_another_case_is_the_same(place: Place) -> None:
    place.run("CREATE TABLE t (id bigint, name nvarchar(50), at bigint)")
    rows = table(2).rename_columns(["ID", "Name", "AT"])
    place.load(aim(rows, drift="fail"), rows)
    assert place.rows("SELECT id, name, at FROM t") == [(0, "row 0", 0), (1, "row 1", 10)]


def test_known_lengths_become_those_of_the_columns(place: Place) -> None:
    place.load(aim(table(), lengths={"name": 20}), table())
    rows = table(2).append_column("more", pa.array(["a", "b"]))
    place.load(aim(rows, 2, lengths={"more": 7}), rows)
    lengths = "SELECT name, max_length FROM sys.columns WHERE object_id = OBJECT_ID('t')"
    found = dict(place.database.rows(lengths))
    assert (found["name"], found["more"]) == (40, 14)


def test_a_part_whose_staging_table_was_cleaned_away_is_missed(place: Place) -> None:
    target = aim(table())
    schema = place.to.prepare(target)

    def slow() -> Iterator[pa.RecordBatch]:
        for (name,) in place.rows("SELECT name FROM sys.tables WHERE name LIKE '%stage%'"):
            place.run(f"DROP TABLE {name}")
        yield from batches(table(), schema)

    with pytest.raises(TerminalError) as refused:
        place.to.stage(target, 0, slow())
    assert refused.value.code == "staged-missing"
