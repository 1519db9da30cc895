"""Writing SQLite files: what comes back, and what is left alone."""

from __future__ import annotations

import datetime as dt
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_core.connectors.options import SqliteOptions
from copy_core.connectors.sql.sqlite import SqliteDestination, SqliteSource
from copy_core.errors import ConfigError, ConflictError, CopyJobError, TerminalError
from copy_core.job import Drift, WriteMode
from copy_core.model import Commit, Published, Slice, Staged, Target
from copy_core.schema import schema_to_json
from copy_core.watermark import Watermark


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "out.db")


def query(path: str, *statements: str) -> list[tuple[Any, ...]]:
    with adbc.connect(f"file:{path}", autocommit=True) as connection:
        for statement in statements:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                found = cursor.fetchall()
    return found


def destination(path: str) -> SqliteDestination:
    return SqliteDestination(SqliteOptions(type="sqlite", path=path))


def target(
    rows: pa.Table,
    write: WriteMode = "append",
    *,
    sequence: int = 1,
    keys: tuple[str, ...] = (),
    order_by: str = "",
    drift: Drift = "evolve",
    name: str = "t",
    table: str = "s",
) -> Target:
    columns = tuple((a, b, c) for a, b, c in schema_to_json(rows.schema))
    return Target(
        job="j",
        table=table,
        object=name,
        sequence=sequence,
        write=write,
        columns=columns,
        keys=keys,
        order_by=order_by,
        drift=drift,
    )


def write(path: str, rows: pa.Table, mode: WriteMode = "append", **how: Any) -> Published:
    """Copies rows in two parts."""
    to = target(rows, mode, **how)
    with destination(path) as opened:
        schema = opened.prepare(to)
        fitting = rows.select(schema.names).cast(schema)
        half = rows.num_rows // 2
        staged = [
            opened.stage(to, n, iter(part.to_batches()))
            for n, part in enumerate([fitting.slice(0, half), fitting.slice(half)])
        ]
        done = opened.publish(Commit(target=to, watermark=None, staged=tuple(staged)))
        opened.clean(to)
        return done


def read(path: str, table: str = "t") -> pa.Table:
    with SqliteSource(SqliteOptions(type="sqlite", path=path)) as source:
        schema = source.describe(table).schema
        part = Slice(object=table, columns=tuple(schema.names))
        return pa.Table.from_batches(source.read(part, 10), schema)


KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "i8": (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    "i64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "u32": (pa.uint32(), st.integers(0, 2**32 - 1)),
    "u64": (pa.uint64(), st.integers(0, 2**63 - 1)),
    "f32": (pa.float32(), st.floats(width=32, allow_nan=False)),
    "f64": (pa.float64(), st.floats(allow_nan=False)),
    "s": (pa.string(), st.text(st.characters(codec="utf-8"))),
    "b": (pa.binary(), st.binary()),
    "bool": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "ts": (pa.timestamp("us"), st.datetimes()),
    "utc": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
} | {
    f"d{p}_{s}": (
        pa.decimal128(p, s),
        st.decimals(Decimal(f"{1 - 10**p}E-{s}"), Decimal(f"{10**p - 1}E-{s}"), places=s),
    )
    for p, s in [(1, 0), (5, 2), (15, 0), (15, 3), (15, 15), (16, 2), (38, 0), (38, 10), (38, 38)]
}
ROWS = st.lists(
    st.fixed_dictionaries({n: st.none() | values for n, (_, values) in KINDS.items()}), max_size=20
)
EXTREMES = [
    {
        "s": "a\0b",
        "b": b"",
        "date": dt.date(1, 1, 1),
        "ts": dt.datetime(1, 1, 1),  # noqa: DTZ001 - without a zone
        "utc": dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC),
        "d38_38": Decimal("1E-38"),
        "d15_15": Decimal("1E-15"),
    },
    {"s": "", "date": dt.date(9999, 12, 31), "f64": float("-inf"), "d38_10": Decimal("0E-10")},
    {},
]


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_what_was_written_reads_back_identical(found: list[dict[str, Any]]) -> None:
    schema = pa.schema([(name, kind) for name, (kind, _) in KINDS.items()])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "x.db"))
        rows = pa.Table.from_pylist(EXTREMES + found, schema)
        write(path, rows)
        back = read(path)
    widest = {pa.int8(): pa.int64(), pa.uint32(): pa.int64(), pa.float32(): pa.float64()}
    assert back.schema.types == [widest.get(k, k) for k in schema.types]
    assert back.to_pylist() == rows.to_pylist()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.float64(), float("nan")),
        (pa.float32(), float("nan")),
        (pa.uint64(), 2**63),
        (pa.date32(), -1_000_000),
        (pa.timestamp("us"), 2**62),
        (pa.timestamp("us", "UTC"), -(2**62)),
    ],
)
def test_what_sqlite_cannot_keep_is_refused(path: str, kind: pa.DataType, value: Any) -> None:
    count = {pa.date32(): pa.int32(), pa.uint64(): pa.uint64()}.get(kind, pa.int64())
    column = pa.array([value], kind if isinstance(value, float) else count)
    rows = pa.table({"c": column.cast(kind)})
    with pytest.raises(TerminalError) as caught:
        write(path, rows)
    assert (caught.value.code, caught.value.where["column"]) == ("value-out-of-range", "c")
    assert query(path, "SELECT count(*) FROM sqlite_schema WHERE name = 't'") == [(0,)]


def test_long_decimals_of_a_key_order_as_numbers(path: str) -> None:
    kind = pa.decimal128(20, 2)
    for n, (newest, other) in enumerate(
        [("10", "9"), ("-9", "-10"), ("1", "-1"), ("0.5", None), ("-3", None)]
    ):
        rows = pa.table(
            {
                "id": [n, n],
                "at": pa.array([Decimal(v) if v else None for v in (other, newest)], kind),
                "v": ["old", "new"],
            }
        )
        done = write(path, rows, "upsert", keys=("id",), order_by="at", sequence=n + 1)
        assert (done.rows, done.superseded) == (1, 1)
    assert {v for (v,) in query(path, "SELECT v FROM t")} == {"new"}


ROW = pa.table({"id": [1, 2], "v": ["a", "b"]})


def test_rows_are_added_to_a_table_of_all_types(path: str) -> None:
    schema = pa.schema([(name, kind) for name, (kind, _) in KINDS.items()])
    rows = pa.Table.from_pylist(EXTREMES, schema)
    for sequence in (1, 2):
        assert write(path, rows, sequence=sequence).rows == len(EXTREMES)
    assert read(path).to_pylist() == 2 * rows.to_pylist()


def test_a_new_table_gets_its_first_part_without_a_copy_and_no_leftovers(path: str) -> None:
    write(path, ROW)
    names = query(path, "SELECT name FROM sqlite_schema ORDER BY name")
    assert names == [("_copyjob_ledger",), ("t",)]


def test_a_stale_view_does_not_stop_a_first_publish(path: str) -> None:
    query(
        path, "CREATE VIEW waiting AS SELECT * FROM t", "CREATE VIEW broken AS SELECT x FROM nope"
    )
    write(path, ROW)
    assert query(path, "SELECT id FROM waiting") == [(1,), (2,)]


def test_overwrite_keeps_the_users_own_table(path: str) -> None:
    query(
        path,
        "CREATE TABLE t (v VARCHAR(10) DEFAULT 'x', id INTEGER PRIMARY KEY, twice AS (id * 2))",
        "CREATE INDEX mine ON t (v)",
        "INSERT INTO t (id, v) VALUES (9, 'z')",
    )
    assert write(path, ROW, "overwrite").rows == 2
    assert query(path, "SELECT id, v, twice FROM t") == [(1, "a", 2), (2, "b", 4)]
    assert query(path, "SELECT name FROM sqlite_schema WHERE type = 'index'") == [("mine",)]


def test_an_upsert_into_a_table_without_a_key_adds_a_unique_index(path: str) -> None:
    query(
        path, "CREATE TABLE t (id INT, v TEXT, own TEXT)", "INSERT INTO t VALUES (1, 'x', 'mine')"
    )
    write(path, ROW, "upsert", keys=("id",))
    assert query(path, "SELECT * FROM t ORDER BY id") == [(1, "a", "mine"), (2, "b", None)]
    with pytest.raises(CopyJobError):
        write(path, pa.table({"id": [5, 5], "v": ["a", "b"]}), "upsert", keys=("id",), sequence=2)


def test_an_upsert_into_a_table_with_duplicates_is_refused_before_anything(path: str) -> None:
    query(path, "CREATE TABLE t (id INT, v TEXT)", "INSERT INTO t VALUES (1, 'x'), (1, 'y')")
    with destination(path) as opened, pytest.raises(ConfigError) as caught:
        opened.prepare(target(ROW, "upsert", keys=("id",)))
    assert caught.value.code == "duplicate-key"


def test_keys_are_told_apart_as_the_table_tells_them_apart(path: str) -> None:
    query(path, "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, v INT)")
    rows = pa.table({"id": ["A", "a"], "v": [1, 2]})
    done = write(path, rows, "upsert", keys=("id",), order_by="v")
    assert (done.rows, done.superseded) == (1, 1)
    assert query(path, "SELECT v FROM t") == [(2,)]


def doubled(ids: Sequence[int | None], values: Sequence[str]) -> pa.Table:
    """Three rows with a column that tells nothing and holds what no message may show."""
    return pa.table({"id": pa.array(ids, pa.int64()), "v": values, "n": ["secret"] * 3})


@pytest.mark.parametrize("values", ["abc", "bac"])
def test_the_newest_row_of_a_key_wins(path: str, values: str) -> None:
    rows = doubled([1, 1, 2], list(values))
    done = write(path, rows, "upsert", keys=("id",), order_by="v")
    assert (done.rows, done.superseded) == (2, 1)
    assert query(path, "SELECT v FROM t WHERE id = 1") == [(max(values[:2]),)]


@pytest.mark.parametrize(
    ("ids", "order_by", "code"),
    [
        ([1, 1, 2], "", "duplicate-key"),
        ([1, 1, 2], "n", "duplicate-key"),
        ([1, None, 2], "v", "null-key"),
    ],
)
def test_keys_that_identify_no_row_are_refused(
    path: str, ids: Sequence[int | None], order_by: str, code: str
) -> None:
    rows = doubled(ids, ["a", "b", "c"])
    with pytest.raises(TerminalError) as caught:
        write(path, rows, "upsert", keys=("id",), order_by=order_by)
    assert (caught.value.code, caught.value.where["table"]) == (code, "t")
    assert "secret" not in str(caught.value)
    assert query(path, "SELECT count(*) FROM sqlite_schema WHERE name = 't'") == [(0,)]


def test_ties_at_the_newest_value_are_refused(path: str) -> None:
    rows = pa.table({"id": [1, 1, 1], "at": [1, 2, 2], "v": ["a", "b", "c"]})
    with pytest.raises(TerminalError) as caught:
        write(path, rows, "upsert", keys=("id",), order_by="at")
    assert (caught.value.code, caught.value.where["table"]) == ("duplicate-key", "t")


def test_a_row_that_a_trigger_drops_undoes_the_publication(path: str) -> None:
    query(
        path,
        "CREATE TABLE t (id INT, v TEXT)",
        "CREATE TRIGGER d BEFORE INSERT ON t WHEN new.id = 2 BEGIN SELECT RAISE(IGNORE); END",
    )
    with pytest.raises(TerminalError) as caught:
        write(path, ROW)
    assert caught.value.code == "count-mismatch"
    assert query(path, "SELECT count(*) FROM t") == [(0,)]


def test_a_rule_of_the_table_undoes_the_publication(path: str) -> None:
    query(path, "CREATE TABLE t (id INT CHECK (id < 2), v TEXT)")
    with pytest.raises(TerminalError, match="CHECK") as caught:
        write(path, ROW)
    assert caught.value.code == "constraint"
    assert query(path, "SELECT count(*) FROM t") == [(0,)]


def staged(path: str, to: Target) -> Staged:
    with destination(path) as opened:
        opened.prepare(to)
        return opened.stage(to, 0, iter(ROW.to_batches()))


def test_a_sequence_is_published_once(path: str) -> None:
    to = target(ROW)
    commit = Commit(
        target=to,
        watermark=Watermark(kind="int", value="2"),
        staged=(staged(path, to),),
    )
    with destination(path) as opened:
        first = opened.publish(commit)
        assert opened.publish(commit) == first == opened.last_commit("j", "s", "T")
    assert query(path, "SELECT count(*) FROM t") == [(2,)]


def test_a_late_publication_of_an_older_sequence_is_a_conflict(path: str) -> None:
    old = target(ROW, sequence=1)
    part = staged(path, old)
    write(path, ROW, sequence=2)
    with destination(path) as opened, pytest.raises(ConflictError):
        opened.publish(Commit(target=old, watermark=None, staged=(part,)))


def test_a_dropped_table_takes_its_history_with_it(path: str) -> None:
    write(path, ROW)
    query(path, "DROP TABLE t")
    with destination(path) as opened:
        assert opened.last_commit("j", "s", "t") is None
    assert write(path, ROW).rows == 2
    assert query(path, "SELECT count(*) FROM t") == [(2,)]


def test_staged_rows_that_are_gone_or_changed(path: str) -> None:
    to = target(ROW)
    part = staged(path, to)
    name = part.ref["table"]
    query(path, f'DELETE FROM "{name}" WHERE id = 1')
    with destination(path) as opened:
        with pytest.raises(TerminalError) as changed:
            opened.publish(Commit(target=to, watermark=None, staged=(part,)))
        query(path, f'DROP TABLE "{name}"', "CREATE TABLE victim (a INT)")
        for ref in ({"table": name}, {"table": "victim"}, {}):
            lost = part.model_copy(update={"ref": ref})
            with pytest.raises(TerminalError) as gone:
                opened.publish(Commit(target=to, watermark=None, staged=(lost,)))
            assert gone.value.code == "staged-missing"
    assert changed.value.code == "count-mismatch"


def test_clean_leaves_later_sequences_and_other_tables(path: str) -> None:
    first, second = target(ROW), target(ROW, sequence=2)
    staged(path, first)
    kept = staged(path, second).ref["table"]
    other = first.model_copy(update={"table": "another"})
    also = staged(path, other).ref["table"]
    with destination(path) as opened:
        opened.clean(first)
        opened.clean(first)
    left = query(path, "SELECT name FROM sqlite_schema WHERE name LIKE '%stage%' ORDER BY name")
    assert left == sorted([(kept,), (also,)])


def test_an_error_of_the_source_goes_through_unchanged(path: str) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from ROW.to_batches()
        raise ZeroDivisionError("the source broke")

    with destination(path) as opened, pytest.raises(ZeroDivisionError, match="the source broke"):
        opened.stage(target(ROW), 0, broken())


def test_a_late_worker_whose_staging_was_collected_is_told_so(path: str) -> None:
    to = target(ROW)

    def collected() -> Iterator[pa.RecordBatch]:
        with destination(path) as other:
            other.clean(to)
        yield from ROW.to_batches()

    with destination(path) as opened:
        opened.prepare(to)
        with pytest.raises(TerminalError) as caught:
            opened.stage(to, 0, collected())
    assert caught.value.code == "staged-missing"


@pytest.mark.parametrize(
    ("ddl", "rows", "how", "code"),
    [
        ("CREATE VIEW t AS SELECT 1 AS id", ROW, {}, "not-a-table"),
        ("CREATE TABLE t (id INT, v TEXT AS (id))", ROW, {}, "generated-column"),
        ("CREATE TABLE t (id INT)", ROW, {"drift": "fail"}, "schema-drift"),
        ("CREATE TABLE t (id INT, v INT)", ROW, {}, "incompatible-type"),
        ("CREATE TABLE t (id INT, v POINT)", ROW, {}, "unknown-type"),
        ("CREATE TABLE t (id INT, v TEXT, w TEXT NOT NULL)", ROW, {}, "column-missing"),
        ("CREATE TABLE u (id INT)", pa.table({"a": [1], "A": [2]}), {}, "ambiguous-column"),
        ("CREATE TABLE u (id INT)", ROW, {"name": "_copyjob_ledger"}, "bad-name"),
        ("CREATE TABLE u (id INT)", ROW, {"name": "sqlite_x"}, "bad-name"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_read(
    path: str, ddl: str, rows: pa.Table, how: dict[str, Any], code: str
) -> None:
    query(path, ddl)
    with destination(path) as opened, pytest.raises(ConfigError) as caught:
        opened.prepare(target(rows, **how))
    assert caught.value.code == code


def test_other_spellings_unknown_types_and_defaults_do_not_disturb(path: str) -> None:
    query(
        path,
        "CREATE TABLE t (rid INTEGER PRIMARY KEY, ID INT, shape POINT,"
        " at TEXT NOT NULL DEFAULT 'now')",
    )
    write(path, ROW)
    assert query(path, "SELECT rid, ID, at, V FROM t") == [(1, 1, "now", "a"), (2, 2, "now", "b")]


def test_odd_names_of_tables_columns_and_types(path: str) -> None:
    rows = pa.table({'a"b': [1], "rowid": [2], "select": ["x"], "%? ": ["y"]})
    for n in (1, 2):
        write(path, rows, "upsert", keys=('a"b', "rowid"), name='t "]%?', sequence=n)
    assert read(path, 't "]%?').to_pylist() == rows.to_pylist()
    query(path, 'CREATE TABLE q (a "TEXT) ; DROP TABLE t --", n INT)')
    write(path, pa.table({"a": ["1"], "n": [1]}), name="q")
    assert query(path, "SELECT a FROM q") == [("1",)]


def test_several_tables_of_one_file_are_written_at_the_same_time(path: str) -> None:
    rows = pa.table({"id": list(range(200_000)), "v": ["word"] * 200_000})

    def copy(n: int) -> int:
        return write(path, rows, name=f"t{n}", table=f"s{n}").rows

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy, range(4))) == [200_000] * 4


def test_a_wal_file_can_be_source_and_destination_of_one_copy(path: str) -> None:
    query(path, "PRAGMA journal_mode=WAL", "CREATE TABLE s (id INT)")
    query(
        path,
        "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 50000)"
        " INSERT INTO s SELECT i FROM g",
    )
    to = target(pa.table({"id": [1]}))
    with (
        SqliteSource(SqliteOptions(type="sqlite", path=path)) as source,
        destination(path) as opened,
    ):
        opened.prepare(to)
        part = opened.stage(to, 0, source.read(Slice(object="s", columns=("id",)), 1000))
    assert part.rows == 50_000


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with destination(str(tmp_path / "no" / "x.db")) as opened, pytest.raises(ConfigError):
        opened.prepare(target(ROW))


def test_asking_a_file_that_is_not_there_does_not_create_it(path: str) -> None:
    with destination(path) as opened:
        assert opened.last_commit("j", "s", "t") is None
        opened.clean(target(ROW))
    assert not Path(path).exists()


FULL = """
import resource, signal, sys
import pyarrow as pa
from copy_core.errors import CopyJobError
from tests.unit.test_sqlite_destination import ROW, destination, target
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
rows = pa.table({"id": list(range(50_000)), "v": ["word"] * 50_000})
with destination(sys.argv[1]) as opened:
    opened.prepare(target(ROW))
    try:
        opened.stage(target(ROW), 0, rows.to_batches())
    except CopyJobError as e:
        print(e.code)
"""


def test_a_file_that_may_not_grow(path: str) -> None:
    assert resource.RLIMIT_FSIZE
    run = subprocess.run(
        [sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() in ("io", "disk-full"), run.stderr
    with destination(path) as opened:
        opened.clean(target(ROW))
    assert write(path, ROW).rows == 2
