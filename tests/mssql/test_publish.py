"""Publishing into tables that have rules of their own, live."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from copy_core.connectors.registry import open_destination
from copy_core.connectors.sql.mssql import lock, statements, upsert
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.job import WriteMode
from copy_core.model import Commit
from tests.conformance.destination_kit import aim
from tests.conformance.samples import table
from tests.mssql.server import Databases
from tests.mssql.target import Place

ALL = "SELECT id, name, at FROM t"


@pytest.fixture
def place(databases: Databases) -> Iterator[Place]:
    place = Place(databases.take("publish"))
    yield place
    place.to.close()
    place.run("DROP TABLE IF EXISTS t")  # before what it refers to


def written(rows: pa.Table) -> list[tuple[object, ...]]:
    return sorted((tuple(row.values()) for row in rows.to_pylist()), key=repr)


@pytest.mark.parametrize("write", ["append", "upsert", "overwrite"])
def test_an_identity_takes_the_values_that_arrive(place: Place, write: WriteMode) -> None:
    place.run("CREATE TABLE t (id bigint IDENTITY PRIMARY KEY, name nvarchar(50), at bigint)")
    place.load(aim(table(), 1, write), table(3, start=100), table(2, start=103))
    place.run("INSERT INTO t (name, at) VALUES ('by hand', 0)")
    numbers = [n for (n,) in place.rows("SELECT id FROM t")]
    assert numbers == [100, 101, 102, 103, 104, 105]


def test_an_identity_that_is_no_key_stays_as_it_is(place: Place) -> None:
    place.run("CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at bigint IDENTITY)")
    place.load(aim(table(), 1, "upsert"), table(2))
    changed = table(3).set_column(2, "at", pa.array([70, 80, 90], pa.int64()))
    place.load(aim(table(), 2, "upsert"), changed)
    assert place.rows("SELECT id, at FROM t") == [(0, 0), (1, 10), (2, 90)]


def test_columns_that_the_server_fills_are_left_to_it(place: Place) -> None:
    place.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at AS (id * 3),"
        " born int NOT NULL DEFAULT 7)"
    )
    target = aim(table(), 1, "upsert", drift="fail")
    assert place.to.prepare(target).names == ["id", "name"]
    place.load(target, table(2))
    assert place.rows("SELECT id, name, at, born FROM t") == [
        (0, "row 0", 0, 7),
        (1, "row 1", 3, 7),
    ]


def test_a_column_that_the_server_fills_orders_the_rows_that_arrive(place: Place) -> None:
    place.run("CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at AS (id * 3))")
    newer = table(1).set_column(1, "name", pa.array(["newer"])).set_column(2, "at", pa.array([5]))
    published = place.load(aim(table(), 1, "upsert", order_by="at"), newer, table(1))
    assert (published.rows, published.superseded) == (1, 1)
    assert place.rows(ALL) == [(0, "newer", 0)]


@pytest.mark.parametrize("write", ["append", "upsert", "overwrite"])
def test_triggers_fire_and_what_they_say_is_not_counted(place: Place, write: WriteMode) -> None:
    place.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at bigint)",
        "CREATE TABLE seen (what nvarchar(50))",
        "CREATE TRIGGER watch ON t AFTER INSERT AS BEGIN"
        " INSERT INTO seen SELECT name FROM inserted UNION ALL SELECT name FROM inserted;"
        " SELECT 12345 AS noise; END",
    )
    assert place.load(aim(table(), 1, write), table(3), table(2, start=3)).rows == 5
    assert place.rows(ALL) == written(table(5))
    assert len(place.rows("SELECT what FROM seen")) == 10


def test_a_trigger_in_place_of_an_insert_is_refused(place: Place) -> None:
    place.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at bigint)",
        "CREATE TRIGGER swallow ON t INSTEAD OF INSERT AS SELECT 1",
    )
    with pytest.raises(ConfigError) as refused:
        place.to.prepare(aim(table()))
    assert refused.value.code == "instead-of-trigger"


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("CONSTRAINT small CHECK (at < 1000)", "small"),
        ("CONSTRAINT parent REFERENCES p (n)", "parent"),
        ("CONSTRAINT alone UNIQUE", "alone"),
    ],
)
@pytest.mark.parametrize("write", ["append", "upsert", "overwrite"])
def test_a_broken_constraint_is_named_and_changes_nothing(
    place: Place, write: WriteMode, rule: str, name: str
) -> None:
    place.run(
        "CREATE TABLE p (n bigint PRIMARY KEY)",
        "INSERT INTO p VALUES (0), (10), (20), (30), (40)",
        f"CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at bigint {rule})",
    )
    place.load(aim(table(), 1, write), table(5))
    good, bad = table(2, start=5), table(2, start=1000)
    bad = bad.set_column(2, "at", pa.array([5000, 5000], pa.int64()))
    target = aim(table(), 2, write)
    with pytest.raises(TerminalError) as refused:
        place.publish(target, place.stage(target, good, bad))
    assert refused.value.where["table"] == "t"
    assert name in str(refused.value)
    assert place.rows(ALL) == written(table(5))
    last = place.to.last_commit("job", "source.table", "t")
    assert last is not None
    assert last.sequence == 1


def test_statements_of_the_job_run_around_the_rows(place: Place) -> None:
    place.run("CREATE TABLE steps (n int IDENTITY, what nvarchar(50), rows_there int)")
    place.load(aim(table()), table(2))
    step = "INSERT INTO steps (what, rows_there) SELECT '{}', COUNT(*) FROM t"
    target = aim(
        table(),
        2,
        pre_copy_sql=(step.format("one"), step.format("two")),
        post_copy_sql=(step.format("three"),),
    )
    place.load(target, table(3, start=2))
    steps = place.rows("SELECT n, what, rows_there FROM steps")
    assert steps == [(1, "one", 2), (2, "two", 2), (3, "three", 5)]


@pytest.mark.parametrize("setting", ["pre_copy_sql", "post_copy_sql"])
def test_a_statement_that_fails_is_named_and_undoes_everything(place: Place, setting: str) -> None:
    place.load(aim(table(), 1, "overwrite"), table())
    given = ("DELETE FROM t WHERE id = 1", "SELECT 1; SELECT nothing FROM nowhere")
    target = aim(table(), 2, "overwrite", **{setting: given})
    with pytest.raises(CopyJobError) as refused:
        place.publish(target, place.stage(target, table(2, start=7)))
    assert refused.value.where["statement"] == f"{setting} 2"
    assert "nowhere" in str(refused.value)
    assert place.rows(ALL) == written(table())


def test_a_statement_that_ends_the_transaction_before_the_rows_is_refused(place: Place) -> None:
    place.load(aim(table()), table())
    target = aim(table(), 2, pre_copy_sql=("COMMIT; BEGIN TRANSACTION",))
    with pytest.raises(TerminalError) as refused:
        place.publish(target, place.stage(target, table(2, start=7)))
    assert refused.value.code == "transaction-ended"
    assert place.rows(ALL) == written(table())


def test_a_statement_that_ends_the_transaction_after_the_rows_doubles_none(place: Place) -> None:
    target = aim(table(), post_copy_sql=("COMMIT",))
    staged = place.stage(target, table())
    with pytest.raises(CopyJobError):
        place.publish(target, staged)
    place.to.close()
    assert place.publish(target, staged).rows == 5
    assert place.rows(ALL) == written(table())


def test_a_statement_that_undoes_the_rows_and_begins_anew_is_refused(place: Place) -> None:
    place.load(aim(table()), table())
    target = aim(table(), 2, post_copy_sql=("ROLLBACK; BEGIN TRANSACTION",))
    staged = place.stage(target, table(2, start=7))
    with pytest.raises(TerminalError) as refused:
        place.publish(target, staged)
    assert refused.value.code == "transaction-ended"
    place.to.close()
    mended = target.model_copy(update={"post_copy_sql": ()})
    assert place.publish(mended, staged).rows == 2
    assert place.rows(ALL) == written(pa.concat_tables([table(), table(2, start=7)]))


def test_rows_of_other_tables_do_not_go_with_those_that_are_replaced(place: Place) -> None:
    place.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at bigint)",
        "CREATE TABLE child (id bigint REFERENCES t (id) ON DELETE CASCADE)",
    )
    place.load(aim(table()), table())
    place.run("INSERT INTO child VALUES (3)")
    target = aim(table(), 2, "overwrite")
    with pytest.raises(ConfigError) as refused:
        place.publish(target, place.stage(target, table()))
    assert refused.value.code == "cascade"
    assert place.rows("SELECT id FROM child") == [(3,)]
    place.run("DROP TABLE child")
    assert place.rows(ALL) == written(table())


@pytest.mark.parametrize("key", ["", "PRIMARY KEY"])
def test_readers_see_the_old_rows_while_a_table_is_replaced(place: Place, key: str) -> None:
    """Of a heap, too, which some ways of adding rows would keep them from. The publisher is held
    up before its commit by a row that somebody else has not committed yet.
    """
    place.run(
        f"CREATE TABLE t (id bigint {key}, name nvarchar(50), at bigint)",
        "CREATE TABLE gate (n int PRIMARY KEY)",
        "CREATE TABLE bell (n int IDENTITY(7, 1), rung int)",
    )
    place.load(aim(table()), table())
    ring = ("INSERT INTO bell (rung) VALUES (1), (1)", "INSERT INTO gate VALUES (1)")
    target = aim(table(), 2, "overwrite", post_copy_sql=ring)
    staged = place.stage(target, table(2, start=7))
    other = place.session()
    with ThreadPoolExecutor() as pool:
        try:
            with other.transaction():
                other.run("INSERT INTO gate VALUES (1)")
                publishing = pool.submit(place.publish, target, staged)
                while place.rows("SELECT IDENT_CURRENT('bell')") == [(7,)]:
                    assert not publishing.done(), publishing.result()
                    time.sleep(0.01)
                assert place.rows(ALL) == written(table())
                other.run("DELETE FROM gate")
        finally:
            other.close()
        assert publishing.result().rows == 2
    assert place.rows(ALL) == written(table(2, start=7))


@pytest.mark.parametrize("versioned", [True, False])
def test_a_trigger_hears_of_the_rows_that_are_replaced(
    databases: Databases, versioned: bool
) -> None:
    place = Place(databases.take("publish", versioned=versioned))
    place.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50), at bigint)",
        "CREATE TABLE gone (id bigint)",
        "CREATE TRIGGER watch ON t AFTER DELETE AS INSERT INTO gone SELECT id FROM deleted",
    )
    place.load(aim(table()), table(3))
    place.load(aim(table(), 2, "overwrite"), table(2, start=7))
    place.to.close()
    assert place.rows("SELECT id FROM gone") == [(0,), (1,), (2,)]
    assert place.rows("SELECT id FROM t") == [(7,), (8,)]


def test_a_new_row_takes_a_value_that_a_changed_one_gives_up(place: Place) -> None:
    """Though the change comes in a later part."""
    place.run("CREATE TABLE t (id bigint PRIMARY KEY, name nvarchar(50) UNIQUE, at bigint)")
    place.load(aim(table(), 1, "upsert"), table(1))
    new = pa.table({"id": [1], "name": ["row 0"], "at": [10]})
    changed = pa.table({"id": [0], "name": ["other"], "at": [11]})
    place.load(aim(table(), 2, "upsert"), new, changed)
    assert place.rows(ALL) == [(0, "other", 11), (1, "row 0", 10)]


def test_who_creates_a_table_meanwhile_holds_nobody_up(place: Place) -> None:
    target = aim(table())
    staged = place.stage(target, table())
    other = place.session()
    with other.transaction():
        other.run("CREATE TABLE mine (n int)")
        place.publish(target, staged)
        place.to.clean(target)
        other.run("DROP TABLE mine")
    other.close()
    assert place.rows(ALL) == written(table())
    assert place.database.tables() == ["_copyjob_ledger", "t"]


def test_keys_wait_in_another_type_than_that_of_their_column(place: Place) -> None:
    place.run("CREATE TABLE t (k varchar(10) COLLATE Polish_CI_AS PRIMARY KEY, v bigint)")
    first = pa.table({"k": ["a", "b"], "v": [1, 2]})
    place.load(aim(first, 1, "upsert", keys=("k",)), first)
    more = pa.table({"k": ["B ", "c", "C"], "v": [3, 4, 5]})
    place.load(aim(more, 2, "upsert", keys=("k",), order_by="v"), more.slice(0, 1), more.slice(1))
    assert place.rows("SELECT k, v FROM t") == [("C", 5), ("a", 1), ("b", 3)]


def test_a_dropped_table_takes_its_history_with_it(place: Place) -> None:
    place.load(aim(table(), 4), table())
    place.run("DROP TABLE t")
    assert place.to.last_commit("job", "source.table", "t") is None
    place.load(aim(table(), 4), table(2))
    assert place.rows(ALL) == written(table(2))
    last = place.to.last_commit("job", "source.table", "t")
    assert last is not None
    assert last.rows == 2


def test_all_spellings_of_a_name_share_one_history(place: Place) -> None:
    place.load(aim(table(), object="t"), table())
    spellings = ["t", f"{place.database.schema}.t", f"[{place.database.schema}].[t]"]
    found = [place.to.last_commit("job", "source.table", name) for name in spellings]
    assert [f and f.sequence for f in found] == [1, 1, 1]


@pytest.mark.parametrize("write", ["append", "upsert"])
def test_rows_that_were_taken_from_a_staging_table_are_missed(
    place: Place, write: WriteMode
) -> None:
    place.load(aim(table(), 1, write), table())
    target = aim(table(), 2, write, order_by="at")
    first, second = place.stage(target, table(3, start=10), table(3, start=20))
    place.run(f"DELETE FROM {second.ref['table']} WHERE c0 = 21")
    with pytest.raises(TerminalError) as refused:
        place.publish(target, [first, second])
    assert refused.value.code == "count-mismatch"
    assert place.rows(ALL) == written(table())


def test_a_column_that_the_table_lost_meanwhile_is_missed(place: Place) -> None:
    place.load(aim(table()), table())
    target = aim(table(), 2, drift="ignore")
    staged = place.stage(target, table(2, start=7))
    place.run("ALTER TABLE t DROP COLUMN name")
    with pytest.raises(TerminalError) as refused:
        place.publish(target, staged)
    assert refused.value.where == {"column": "name", "table": "t"}


def test_more_parts_than_one_statement_looks_at(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upsert, "_MOST_TABLES", 2)
    place.load(aim(table(), 1, "upsert"), table(2))
    newer = table(1, start=4).set_column(2, "at", pa.array([1000], pa.int64()))
    parts = [table(1, start=n) for n in range(1, 5)]
    published = place.load(aim(table(), 2, "upsert", order_by="at"), *parts, newer)
    assert (published.rows, published.superseded) == (4, 1)
    assert place.rows(ALL) == written(pa.concat_tables([table(4), newer]))


def test_a_publisher_waits_for_another_and_then_gives_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = aim(table())
    staged = place.stage(target, table())
    other = place.session()
    with other.transaction(), monkeypatch.context() as impatient:
        lock.take(other, ObjectName(place.database.schema, "T"))
        impatient.setattr(lock, "TAKE", lock.TAKE.replace("120000", "100"))
        with pytest.raises(TransientError) as busy:
            place.publish(target, staged)
        assert busy.value.code == "locked"
    other.close()
    assert place.publish(target, staged).rows == 5


def test_jobs_that_create_one_table_at_once_both_arrive(place: Place) -> None:
    barrier = threading.Barrier(3)

    def one(number: int) -> None:
        with open_destination(place.database.options) as own:
            target, rows = aim(table(), job=f"job{number}"), table(5, start=5 * number)
            schema = own.prepare(target)
            staged = own.stage(target, 0, iter(rows.cast(schema).to_batches()))
            barrier.wait()
            commit = Commit(target=target, watermark=None, staged=(staged,))
            try:
                own.publish(commit)
            except TransientError:
                # Some servers pass the lock on a moment before they show what was done under it.
                # A run tries again, too.
                own.publish(commit)
            own.clean(target)

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(3)))
    assert place.rows(ALL) == written(table(15))


def test_truncating_empties_a_table(place: Place) -> None:
    place.load(aim(table(), 1, "upsert"), table())
    db = place.session()
    with db.transaction():
        db.run(statements.truncate(ObjectName(place.database.schema, "t")))
    assert place.rows(ALL) == []
    db.close()
