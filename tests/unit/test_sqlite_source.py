"""Reading SQLite files that other programs wrote, with all that SQLite lets them write."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_core.connectors.options import SqliteOptions
from copy_core.connectors.sql.sqlite import SqliteSource
from copy_core.errors import ConfigError, TerminalError, TransientError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Kind, Watermark, Window


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "a 100% odd?#name.db")


def fill(path: str, *statements: str) -> None:
    uri = "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    with adbc.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            cursor.fetchall()


def source(path: str) -> SqliteSource:
    return SqliteSource(SqliteOptions(type="sqlite", path=path))


def read(path: str, table: str = "t", rows: int = 65_536, **part: Any) -> pa.Table:
    with source(path) as opened:
        info = opened.describe(table)
        columns = part.pop("columns", tuple(info.schema.names))
        batches = list(opened.read(Slice(object=table, columns=columns, **part), rows))
        assert all(0 < b.num_rows <= rows for b in batches)
        fields = [info.schema.field(c) for c in columns]
        return pa.Table.from_batches(batches, pa.schema(fields))


def newest(path: str, column: str, above: Watermark | None = None) -> Watermark | None:
    with source(path) as opened:
        return opened.newest(opened.describe("t"), column, above)


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_a_column_may_begin_with_more_nulls_than_a_batch_has(path: str, rows: int) -> None:
    fill(
        path,
        "CREATE TABLE t (s TEXT, d REAL, b BLOB, day DATE, n INT, p DECIMAL(5,2))",
        "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 40)"
        " INSERT INTO t SELECT NULL, NULL, NULL, NULL, NULL, NULL FROM g",
        "INSERT INTO t VALUES ('x', 1, x'00', '2024-01-31', 5, 1.1)",
    )
    found = read(path, rows=rows)
    assert found.num_rows == 41
    assert found.schema.types == [
        pa.string(),
        pa.float64(),
        pa.binary(),
        pa.date32(),
        pa.int64(),
        pa.decimal128(5, 2),
    ]
    last = found.slice(40).to_pylist()[0]
    assert [str(v) for v in last.values()] == ["x", "1.0", "b'\\x00'", "2024-01-31", "5", "1.10"]


@pytest.mark.parametrize("rows", [2, 1000])
@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("INTEGER", "1.5"),
        ("INTEGER", "1e30"),
        ("INTEGER", "'word'"),
        ("UNSIGNED BIG INT", "-1"),
        ("REAL", "'word'"),
        ("NUMERIC", "9007199254740993"),
        ("BOOLEAN", "2"),
        ("BOOLEAN", "'maybe'"),
        ("DATE", "'2024-02-30'"),
        ("DATE", "20240230"),
        ("TIME", "'25:00:00'"),
        ("TIMESTAMP", "'2024-01-01 00:00:00Z'"),
        ("TIMESTAMP", "1700000000"),
        ("TIMESTAMPTZ", "'2024-01-01 00:00:00'"),
        ("TIMESTAMP", "'2024-01-01 00:00:00.1234567'"),
        ("DECIMAL(5,2)", "1.234"),
        ("DECIMAL(5,2)", "12345"),
        ("TEXT", "CAST(x'ff' AS TEXT)"),
        ("TEXT", "x'ff'"),
    ],
)
def test_a_value_that_is_not_of_its_type_is_an_error_that_names_the_column(
    path: str, declared: str, value: str, rows: int
) -> None:
    fill(
        path,
        f'CREATE TABLE t (id INT, "the column" {declared})',
        "INSERT INTO t VALUES (1, NULL), (2, NULL), (3, NULL)",
        f"INSERT INTO t VALUES (4, {value})"
        if declared != "TIMESTAMP"
        else f"INSERT INTO t VALUES (4, '2024-01-01'), (5, {value})",
    )
    with pytest.raises(TerminalError) as caught:
        read(path, rows=rows)
    assert caught.value.where["column"] == "the column"


@pytest.mark.parametrize(
    ("declared", "value", "kind", "wanted"),
    [
        ("BIGINT UNSIGNED", "7", "uint64", "7"),
        ("VARCHAR(10)", "5", "string", "5"),
        ("STRING", "'007'", "string", "7"),
        ("", "2.5", "double", "2.5"),
        ("", "'x'", "string", "x"),
        ("", "x'00ff'", "binary", "b'\\x00\\xff'"),
        ("", "NULL", "string", "None"),
        ("BLOB", "5", "binary", "b'5'"),
        ("DOUBLE PRECISION", "5", "double", "5.0"),
        ("NUMERIC", "5", "double", "5.0"),
        ("NUMERIC(10)", "5", "decimal128(10, 0)", "5"),
        ("DECIMAL(5,2)", "0.1 + 0.2", "decimal128(5, 2)", "0.30"),
        ("DECIMAL(20,10)", "0.5", "decimal128(20, 10)", "0.5000000000"),
        ("BOOLEAN", "'TRUE'", "bool", "True"),
        (
            "DATETIME",
            "'2024-01-01T10:00:00Z'",
            "timestamp[us, tz=UTC]",
            "2024-01-01 10:00:00+00:00",
        ),
        (
            "DATETIME",
            "'2024-01-01 10:00:00.5+02:00'",
            "timestamp[us, tz=UTC]",
            "2024-01-01 08:00:00.500000+00:00",
        ),
        ("DATETIME", "'2024-01-01'", "timestamp[us]", "2024-01-01 00:00:00"),
        ("DATETIME", "'2024-01-01T10:00'", "timestamp[us]", "2024-01-01 10:00:00"),
        ("TIME", "'10:00'", "time64[us]", "10:00:00"),
    ],
)
def test_declared_types(path: str, declared: str, value: str, kind: str, wanted: str) -> None:
    fill(path, f"CREATE TABLE t (c {declared})", f"INSERT INTO t VALUES ({value})")
    found = read(path)
    assert str(found.schema.field("c").type) == kind
    assert str(found.column("c")[0].as_py()) == wanted


@pytest.mark.parametrize("declared", ["POINT", "INTERVAL", "MONEY", "DECIMAL(50,2)", "GEOMETRY(1)"])
def test_a_type_that_nobody_knows_is_told_with_its_column(path: str, declared: str) -> None:
    fill(path, f"CREATE TABLE t (c {declared} PRIMARY KEY, id INT) WITHOUT ROWID")
    with source(path) as opened:
        info = opened.describe("t")
        assert info.uncopyable == {"c": f"the declared type {declared} is none that copyjob knows"}
        whole = Slice(object="t", columns=("id",))
        assert opened.split(info, whole, 4) == [whole]


def test_integers_and_reals_without_a_declared_type_are_floats_while_they_fit(path: str) -> None:
    fill(path, "CREATE TABLE t (c)", "INSERT INTO t VALUES (1), (2.5)")
    assert read(path).column("c").to_pylist() == [1.0, 2.5]


ODD = ['a"b', "a]b", "a b", "sélect", "select", "%", "?", "a;--", "Ünï", "c0"]


def test_odd_names(path: str) -> None:
    columns = ", ".join('"' + n.replace('"', '""') + '" TEXT' for n in ODD)
    fill(
        path,
        f'CREATE TABLE "t ""]%?" ({columns})',
        f'INSERT INTO "t ""]%?" VALUES ({", ".join(repr(str(i)) for i in range(len(ODD)))})',
    )
    with source(path) as opened:
        assert opened.objects() == ['t "]%?']
    found = read(path, 't "]%?', filter=tuple(Condition(column=n, op="is not null") for n in ODD))
    assert found.to_pylist() == [{n: str(i) for i, n in enumerate(ODD)}]


def test_views_generated_columns_strict_and_rowid_less_tables(path: str) -> None:
    fill(
        path,
        "CREATE TABLE s (id INTEGER PRIMARY KEY, n ANY, half REAL AS (id / 2.0)) STRICT",
        "INSERT INTO s (n) VALUES ('a'), ('b')",
        "CREATE TABLE w (k TEXT, v INT NOT NULL, PRIMARY KEY (v, k)) WITHOUT ROWID",
        "INSERT INTO w VALUES ('x', 1)",
        "CREATE VIEW v AS SELECT id, id * 2 AS twice FROM s",
        "CREATE TABLE _copyjob_stage_x (a)",
    )
    with source(path) as opened:
        assert opened.objects() == ["s", "v", "w"]
        assert opened.describe("W").keys == ("v", "k")
        assert [f.nullable for f in opened.describe("w").schema] == [False, False]
        assert [f.nullable for f in opened.describe("s").schema] == [False, True, True]
        assert opened.describe("v").rows is None
    assert read(path, "s").to_pylist() == [
        {"id": 1, "n": "a", "half": 0.5},
        {"id": 2, "n": "b", "half": 1.0},
    ]
    assert read(path, "v").column("twice").to_pylist() == [2, 4]


def test_a_missing_table_names_the_nearest(path: str) -> None:
    fill(path, "CREATE TABLE orders (a INT)")
    with source(path) as opened, pytest.raises(ConfigError, match="orders") as caught:
        opened.describe("order")
    assert caught.value.code == "table-missing"


def test_a_missing_file_is_not_created(path: str) -> None:
    with pytest.raises(ConfigError):
        source(path)
    assert not Path(path).exists()


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder"):
        source(str(tmp_path))


def test_a_file_that_is_no_database(path: str) -> None:
    Path(path).write_bytes(b"id,name\n1,x\n" * 200)
    with pytest.raises(ConfigError) as caught:
        source(path)
    assert caught.value.code == "not-a-database"


def test_a_damaged_file(path: str) -> None:
    fill(
        path,
        "CREATE TABLE t (a TEXT)",
        "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 9000)"
        " INSERT INTO t SELECT 'some text ' || i FROM g",
    )
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:20_000] + b"\xa5" * (len(data) - 20_000))
    with pytest.raises(TerminalError, match="damaged"):
        read(path)


def test_a_locked_database_is_worth_another_try(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, "CREATE TABLE t (a TEXT)")
    monkeypatch.setattr("copy_core.connectors.sql.sqlite_db.BUSY_MS", 50)
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TransientError) as caught:
            source(path)
        other.communicate()
    assert caught.value.code == "locked"
    assert read(path).num_rows == 0


def test_the_source_cannot_write(path: str) -> None:
    fill(path, "CREATE TABLE t (a TEXT)")
    with source(path) as opened, pytest.raises(ConfigError) as caught:
        opened._db.run("DROP TABLE t")
    assert caught.value.code == "read-only"


@pytest.mark.parametrize(
    ("declared", "values", "wanted"),
    [
        ("INTEGER", "(3), (9223372036854775807), (NULL)", ("int", "9223372036854775807")),
        ("DECIMAL(9,2)", "(1), (2.25), (0.1)", ("decimal", "2.25")),
        ("DECIMAL(18,0)", "(123456789012345678)", ("decimal", "123456789012345678")),
        ("DATE", "('2024-01-01'), ('2024-02-01')", ("date", "2024-02-01")),
        ("TEXT", "('2024-01-01'), ('2024-02-01')", ("date", "2024-02-01")),
        ("TEXT", "('2024-01-01T10:00:00.1234567Z')", ("timestamp", "2024-01-01T10:00:00.1234567Z")),
        (
            "DATETIME",
            "('2024-01-01 10:00'), ('2024-01-01 09:59')",
            ("timestamp", "2024-01-01 10:00"),
        ),
        ("INTEGER", "(NULL)", None),
    ],
)
def test_newest_is_the_stored_text(
    path: str, declared: str, values: str, wanted: tuple[str, str] | None
) -> None:
    fill(path, f"CREATE TABLE t (c {declared})", f"INSERT INTO t VALUES {values}")
    found = newest(path, "c")
    assert (found and (found.kind, found.value)) == wanted
    if found is not None:
        assert newest(path, "c", found) is None
        whole = read(path, window=Window(column="c", high=found))
        assert whole.num_rows == read(path, columns=("c",)).column("c").drop_null().length()
        assert read(path, window=Window(column="c", low=found, high=found)).num_rows == 0


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("DATETIME", "('2024-01-01 10:00:00'), (1700000000)"),
        ("DATETIME", "('2024-01-01 10:00:00'), (x'00')"),
        ("DATETIME", "('2024-01-01 10:00:00'), ('2024-01-01T09:00:00')"),
        ("DATETIME", "('2024-01-01 10:00:00'), ('2024-01-01 09:00:00.5')"),
        ("DATETIME", "('2024-01-01 10:00:00'), ('2024-01-01 10:00:00Z')"),
        ("DATETIME", "('2024-01-01 10:00:00+01:00'), ('2024-01-01 10:00:00+02:00')"),
        ("DATE", "('2024-01-01'), ('2024-1-2')"),
        ("TEXT", "(NULL), ('2024-13-01')"),
        ("INTEGER", "(1), ('word')"),
        ("INTEGER", "(1), (2.5)"),
        ("DECIMAL(9,2)", "(1), ('word')"),
    ],
)
def test_values_that_cannot_be_ordered_are_refused(path: str, declared: str, values: str) -> None:
    fill(path, f"CREATE TABLE t (c {declared})", f"INSERT INTO t VALUES {values}")
    with source(path) as opened:
        info = opened.describe("t")
        kinds: dict[str, Kind] = {"DATE": "date", "INTEGER": "int", "DECIMAL(9,2)": "decimal"}
        known = dict(info.watermarks) or {"c": kinds.get(declared, "timestamp")}
        object.__setattr__(info, "watermarks", known)
        with pytest.raises(TerminalError) as caught:
            opened.newest(info, "c", None)
    assert caught.value.where["column"] == "c"


@pytest.mark.parametrize(
    "odd",
    [
        "'2024-01-02T10:00:00'",
        "'2024-01-01T10:00:00'",
        "'2023-01-01 10:00:00Z'",
        "'2023-01-01 10:00'",
        "'2023-01-01 10:00:0O'",
        "'2023-01-01 10:00:00.5'",
        "'2023-01-01 10:00:00 '",
        "' 2023-01-01 10:00:00'",
        "'soon'",
        "''",
        "1700000000",
        "1700000000.5",
        "x'ff'",
        "CAST('2023-01-01 10:00:00' AS BLOB)",
    ],
)
@pytest.mark.parametrize("index", ["", "CREATE INDEX i ON t (c)"], ids=["no index", "index"])
def test_a_value_in_another_format_is_refused_wherever_it_sorts(
    path: str, odd: str, index: str
) -> None:
    fill(
        path,
        "CREATE TABLE t (c DATETIME)",
        "INSERT INTO t VALUES ('2023-05-05 05:05:05'), ('2024-01-01 10:00:00'), (NULL)",
        index or "SELECT 1",
    )
    known = Watermark(kind="timestamp", value="2024-01-01 10:00:00")
    assert newest(path, "c", known) is None
    fill(path, f"INSERT INTO t VALUES ({odd})")
    for above in (known, None):
        with pytest.raises(TerminalError) as refused:
            newest(path, "c", above)
        assert (refused.value.code, refused.value.where["column"]) == ("watermark-value", "c")


_STORED = st.sampled_from(
    [
        *("'2023-01-01 10:00:00'", "'2024-01-01 10:00:00'", "'2025-12-31 23:59:59'", "NULL"),
        *("'2025-01-01T10:00:00'", "'2025-01-01 10:00:00Z'", "'2025-1-1 10:00:00'", "'soon'"),
        *("20250101", "2025.5", "x'32'", "CAST('2025-01-01 10:00:00' AS BLOB)", "''"),
    ]
)
_WELL_FORMED = re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d'")


@settings(max_examples=60, deadline=None)
@given(
    stored=st.lists(_STORED, max_size=4),
    above=st.sampled_from(["2022-01-01 00:00:00", "2024-01-01 10:00:00", "2026-01-01 00:00:00"]),
    index=st.booleans(),
)
def test_times_are_looked_at_one_by_one(stored: list[str], above: str, index: bool) -> None:
    """The newest of the times that are newer, if each value is a time in the watermark's format."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.db"
        fill(path, "CREATE TABLE t (c DATETIME)", *["CREATE INDEX i ON t (c)"] * index)
        fill(path, *(f"INSERT INTO t VALUES ({value})" for value in stored))
        known = Watermark(kind="timestamp", value=above)
        values = [value for value in stored if value != "NULL"]
        if all(map(_WELL_FORMED.fullmatch, values)):
            newer = [value.strip("'") for value in values if value.strip("'") > above]
            found = newest(path, "c", known)
            assert (found and found.value) == max(newer, default=None)
        else:
            with pytest.raises(TerminalError):
                newest(path, "c", known)


@pytest.mark.parametrize(("declared", "kind"), [("INTEGER", "int"), ("DECIMAL(9,2)", "decimal")])
def test_a_blob_is_no_number(path: str, declared: str, kind: Kind) -> None:
    fill(path, f"CREATE TABLE t (c {declared})", "INSERT INTO t VALUES (1), (x'ff')")
    with pytest.raises(TerminalError) as refused:
        newest(path, "c", Watermark(kind=kind, value="1"))
    assert refused.value.code == "watermark-value"


def test_floats_and_words_are_no_incremental_columns(path: str) -> None:
    fill(
        path,
        "CREATE TABLE t (r REAL, w TEXT, e TEXT, d DECIMAL_TEXT(20,2))",
        "INSERT INTO t VALUES (1.5, 'word', NULL, '1.00')",
    )
    with source(path) as opened:
        assert opened.describe("t").watermarks == {"e": "timestamp"}


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)",
        "CREATE TABLE t (id INT, n INT)",
        "CREATE TABLE t (id INT, rowid TEXT, n INT)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT) WITHOUT ROWID",
        "CREATE TABLE t (id TEXT PRIMARY KEY, n INT) WITHOUT ROWID",
    ],
)
def test_parts_hold_each_row_once_also_those_that_come_later(
    path: str, ddl: str, parts: int
) -> None:
    fill(
        path,
        ddl,
        "INSERT INTO t (id, n) VALUES (-5, 1), (1, 2), (7, 3), (8, 4), (900, 5)",
    )
    window = Window(column="n", high=Watermark(kind="int", value="6"))
    with source(path) as opened:
        whole = Slice(object="t", columns=("n",), window=window)
        slices = opened.split(opened.describe("t"), whole, parts)
        assert len(slices) <= parts
        fill(path, "INSERT INTO t (id, n) VALUES (-9, 6), (5, 6), (901, 6), (902, 7)")
        found = [n for s in slices for b in opened.read(s, 2) for n in b.column(0).to_pylist()]
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 6, 6]


def test_rows_are_estimated_without_counting_and_never_beyond_the_file(path: str) -> None:
    fill(
        path, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1), (1000000000000)"
    )
    with source(path) as opened:
        assert 2 <= (opened.describe("t").rows or 0) < 10_000
    fill(path, "ANALYZE")
    with source(path) as opened:
        assert opened.describe("t").rows == 2


@pytest.mark.parametrize(
    ("stored", "op", "value", "found"),
    [
        ("2024-01-01 10:00", "=", "2024-01-01T10:00:00", True),
        ("2024-01-01T10:00:00.5", ">", "2024-01-01 10:00:00", True),
        ("2024-01-01", "<", "2024-01-01 00:00:01", True),
        ("2024-01-01", "=", "2024-01-01", True),
        ("2024-01-01 10:00:00.000001", "<=", "2024-01-01 10:00:00", False),
        ("2024-01-01 10:00:00Z", "=", "2024-01-01T12:00:00+02:00", True),
        ("2024-01-01 10:00:00.25+02:00", "=", "2024-01-01T08:00:00.250000Z", True),
        ("2024-01-01 23:59:59.999999-01:00", "<", "2024-01-02T00:59:59.999999Z", False),
    ],
)
def test_times_compare_as_times_whatever_their_format(
    path: str, stored: str, op: Any, value: str, found: bool
) -> None:
    fill(path, "CREATE TABLE t (c DATETIME)", f"INSERT INTO t VALUES ('{stored}')")
    condition = Condition(column="c", op=op, value=value)
    assert read(path, filter=(condition,)).num_rows == found


def test_filters_on_other_types(path: str) -> None:
    fill(
        path,
        "CREATE TABLE t (b BOOLEAN, c TIME, d DECIMAL(9,2), e DATE)",
        "INSERT INTO t VALUES (1, '10:00', 1.10, '2024-01-31'), ('false', '10:00:01', 2, NULL)",
    )
    for column, op, value, count in [
        ("b", "=", True, 1),
        ("b", "=", False, 1),
        ("c", "=", "10:00:00", 1),
        ("c", "<=", "10:00:01", 2),
        ("d", "=", "1.1", 1),
        ("d", ">", 1, 2),
        ("e", "in", ["2024-01-31"], 1),
        ("e", "!=", "2024-01-30", 1),
    ]:
        condition = Condition.model_validate({"column": column, "op": op, "value": value})
        assert read(path, filter=(condition,)).num_rows == count, (column, op, value)


def test_a_source_may_be_closed_in_the_middle_of_a_read(path: str) -> None:
    fill(path, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1), (2), (3)")
    opened = source(path)
    batches = opened.read(Slice(object="t", columns=("a",)), 1)
    next(batches)
    opened.close()
    opened.close()
    del batches
    fill(path, "DROP TABLE t")
