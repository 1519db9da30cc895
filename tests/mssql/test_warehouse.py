"""The Fabric Warehouse connector, with all but COPY INTO running live: see `warehouse`."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerClient

from copy_core.connectors.options import SqliteOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.connectors.sql.fabric_warehouse import copy_into, ledger
from copy_core.connectors.sql.mssql.db import Database as Connection
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.warehouse_options import StagingOptions
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.job import WriteMode
from copy_core.schema import type_name
from tests.conformance import kit
from tests.conformance.destination_kit import aim, check, load, publish, stage
from tests.conformance.onelake import onelake
from tests.conformance.rigs import DestinationRig
from tests.conformance.samples import table, typed
from tests.mssql.desk import Desk
from tests.mssql.warehouse import (
    Warehouse,
    WarehouseDestinationRig,
    WarehouseSourceRig,
    bulk_load,
    stand_in,
    warehouse,
)
from tests.servers import Azurite

__all__ = ["Warehouse", "stand_in", "warehouse"]
pytestmark = pytest.mark.timeout(900)

LOAD = copy_into.load


TestSource = kit.source(WarehouseSourceRig)


def keys_are_compared_exactly(_: object, rig: DestinationRig) -> None:
    """Text of the stand-in is in a code page, and T-SQL takes `key` and `key ` for one."""
    keys = ["key", "KEY", "Key", "", "1", "01"]
    for sequence in (1, 2):
        rows = pa.table({"k": keys, "v": [10 * sequence + n for n in range(len(keys))]})
        load(rig, aim(rows, sequence, "upsert", keys=("k",)), rows)
    check(rig, rows)


def every_value_arrives(_: object, rig: DestinationRig, kind: str) -> None:
    """Text of the stand-in is not in UTF-8: what is certain to fit is ASCII."""
    rows = pa.table({"id": [1, 2, 3], "text": ["", 'it\'s "quoted", and\nbroken', None]})
    rows = rows if kind == "string" else typed(kind)
    column = next(field for field in rows.schema if field.name != "id")
    load(rig, aim(rows), rows)
    load(rig, aim(rows, 2), rows)  # into the table that the first has made
    found = rig.read("t")
    assert found is not None
    assert type_name(found.schema.field(column.name).type) == rig.types[kind]
    check(rig, rows, rows)


TestDestination = type(
    "TestDestination",
    (kit.destination(WarehouseDestinationRig),),
    {
        "test_keys_are_compared_exactly": keys_are_compared_exactly,
        "test_every_value_of_every_type_arrives_as_it_is": every_value_arrives,
    },
)


def rules_of(write: WriteMode) -> dict[str, Any]:
    """A table of a job that writes in a mode."""
    return {"destination": "t", "write": write, "keys": ["id"] if write == "upsert" else None}


class Shop(NamedTuple):
    """A table `t` of 50 rows in SQLite, and a job that copies it into a Warehouse."""

    path: Path
    desk: Desk


@pytest.fixture
def shop(rig: WarehouseDestinationRig, tmp_path: Path) -> Shop:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(9), at TIMESTAMP)")
        db.executemany(
            "INSERT INTO t VALUES (?, ?, ?)",
            [(n, f"n{n}", f"2026-01-01 00:00:{n:02}") for n in range(50)],
        )
    source = SqliteOptions(type="sqlite", path=str(path))
    return Shop(path, Desk(tmp_path, source, rig.warehouse.options))


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WarehouseDestinationRig]:
    rig = WarehouseDestinationRig(tmp_path, request)
    yield rig
    rig.close()


def test_text_is_as_long_as_the_source_says_in_bytes(rig: WarehouseDestinationRig) -> None:
    rows = pa.table({"id": [1], "short": ["ab"], "long": ["cd"], "open": ["ef"]})
    load(rig, aim(rows, lengths={"short": 10, "long": 4000}), rows)
    asked = (
        "SELECT name, max_length FROM sys.columns WHERE object_id = OBJECT_ID('t')"
        " AND name <> 'id' ORDER BY name"
    )
    assert rig.database.rows(asked) == [("long", -1), ("open", -1), ("short", 40)]


def test_a_value_that_is_too_long_is_refused_before_it_is_staged(
    rig: WarehouseDestinationRig,
) -> None:
    rows = pa.table({"id": [1], "text": ["x" * 41]})
    with pytest.raises(TerminalError) as refused:
        load(rig, aim(rows, lengths={"text": 10}), rows)
    assert (refused.value.code, refused.value.where["column"]) == ("too-long", "text")
    assert rig.staged() == []


@pytest.mark.parametrize("write", sorted(WarehouseDestinationRig.capabilities.modes))
def test_of_two_publishers_at_once_one_is_undone_and_then_finds_the_others_work(
    rig: WarehouseDestinationRig, monkeypatch: pytest.MonkeyPatch, write: WriteMode
) -> None:
    """Both have seen a ledger without the sequence. Rows that are added alone are no conflict: it
    is the turn that makes one.
    """
    load(rig, aim(table(), write=write), table())
    rows, real = table(start=100), ledger.hold
    target = aim(rows, 2, write)

    def late(db: Connection, name: ObjectName) -> ledger.Turn:
        db.rows(f"SELECT COUNT(*) FROM {ledger.ledger_of(name).quoted}")  # the snapshot begins
        monkeypatch.setattr(ledger, "hold", real)
        with rig.open() as other:
            publish(other, target, staged)
        return real(db, name)

    monkeypatch.setattr(ledger, "hold", late)
    with rig.open() as to:
        staged = stage(to, target, rows)
        with pytest.raises(TransientError) as lost:
            publish(to, target, staged)
        assert lost.value.code == "snapshot-conflict"
        assert publish(to, target, staged).rows == rows.num_rows
    check(rig, *([rows] if write == "overwrite" else [table(), rows]))


@pytest.mark.parametrize("write", sorted(WarehouseDestinationRig.capabilities.modes))
def test_rows_that_others_change_meanwhile_make_a_run_publish_again(
    rig: WarehouseDestinationRig, shop: Shop, monkeypatch: pytest.MonkeyPatch, write: WriteMode
) -> None:
    """To add rows is no conflict; to change those that another transaction has changed is one."""
    rules = rules_of(write)
    shop.desk.copy(**rules)
    real = ledger.hold

    def late(db: Connection, name: ObjectName) -> ledger.Turn:
        monkeypatch.setattr(ledger, "hold", real)
        db.rows("SELECT COUNT(*) FROM t")  # the snapshot begins
        rig.database.run("UPDATE t SET name = 'theirs' WHERE id < 2")
        return real(db, name)

    monkeypatch.setattr(ledger, "hold", late)
    again = shop.desk.copy(**rules)
    assert again.retries == (0 if write == "append" else 1)
    found = rig.database.rows("SELECT COUNT(*), COUNT(CASE WHEN name = 'theirs' THEN 1 END) FROM t")
    assert found == [(100, 2) if write == "append" else (50, 0)]
    assert rig.staged() == []


@pytest.mark.parametrize("write", sorted(WarehouseDestinationRig.capabilities.modes))
def test_a_commit_whose_answer_is_lost_is_found_in_the_ledger(
    rig: WarehouseDestinationRig, shop: Shop, monkeypatch: pytest.MonkeyPatch, write: WriteMode
) -> None:
    real = Connection.run
    lost: list[str] = []

    def deaf(self: Connection, statement: Any, values: Any = ()) -> int:
        done = real(self, statement, values)
        if str(statement).startswith("COMMIT") and not lost and "t" in rig.database.tables():
            lost.append(str(statement))
            raise TransientError("the connection broke", code="connection-lost")
        return done

    monkeypatch.setattr(Connection, "run", deaf)
    rules = rules_of(write)
    copied = shop.desk.copy(**rules)
    assert (len(lost), copied.retries, copied.rows_written) == (1, 1, 50)
    assert rig.database.rows("SELECT COUNT(*), SUM(id) FROM t") == [(50, 1225)]
    assert rig.staged() == []


def test_statements_of_the_job_run_around_the_rows(rig: WarehouseDestinationRig) -> None:
    rig.database.run("CREATE TABLE steps (what varchar(50), rows_there int)")
    load(rig, aim(table()), table(2))
    step = "INSERT INTO steps (what, rows_there) SELECT '{}', COUNT(*) FROM t"
    before, after = (step.format("pre"),), (step.format("post"),)
    target = aim(table(), 2, pre_copy_sql=before, post_copy_sql=after)
    load(rig, target, table(3, start=2))
    steps = rig.database.rows("SELECT what, rows_there FROM steps ORDER BY rows_there")
    assert steps == [("pre", 2), ("post", 5)]


@pytest.mark.parametrize("setting", ["pre_copy_sql", "post_copy_sql"])
def test_a_statement_that_fails_is_named_and_undoes_everything(
    rig: WarehouseDestinationRig, setting: str
) -> None:
    load(rig, aim(table()), table())
    given: dict[str, Any] = {setting: ("DELETE FROM t WHERE id = 1", "SELECT nothing FROM nowhere")}
    with pytest.raises(CopyJobError) as refused:
        load(rig, aim(table(), 2, "overwrite", **given), table(2, start=7))
    assert refused.value.where["statement"] == f"{setting} 2"
    check(rig, table())


def test_a_first_load_that_is_undone_leaves_an_empty_table_and_begins_again(
    rig: WarehouseDestinationRig,
) -> None:
    """The table is created by itself: what creates one holds up all who ask for tables."""
    undone = aim(table(), post_copy_sql=("SELECT nothing FROM nowhere",))
    with pytest.raises(CopyJobError):
        load(rig, undone, table())
    check(rig, table(0))
    load(rig, aim(table()), table())
    check(rig, table())


@pytest.mark.parametrize("ending", ["COMMIT; BEGIN TRANSACTION", "ROLLBACK; BEGIN TRANSACTION"])
@pytest.mark.parametrize("setting", ["pre_copy_sql", "post_copy_sql"])
def test_a_statement_that_ends_the_transaction_is_refused_and_doubles_no_row(
    rig: WarehouseDestinationRig, setting: str, ending: str
) -> None:
    load(rig, aim(table()), table())
    rows = table(2, start=7)
    given: dict[str, Any] = {setting: (ending,)}
    with pytest.raises(TerminalError) as refused:
        load(rig, aim(rows, 2, **given), rows)
    assert refused.value.code == "transaction-ended"
    load(rig, aim(rows, 2), rows)
    check(rig, table(), rows)


def test_files_wait_in_a_lakehouse(rig: WarehouseDestinationRig, azurite: Azurite) -> None:
    workspace, lakehouse = str(uuid4()), str(uuid4())
    waits = StagingOptions(workspace=workspace, lakehouse=lakehouse, prefix="waiting")
    with onelake(azurite) as lake:
        lake.create(workspace)
        with open_destination(rig.warehouse.options.model_copy(update={"staging": waits})) as to:
            staged = stage(to, aim(table()), table())
            with ContainerClient(azurite.blob_endpoint, workspace, azurite.key) as files:
                names = list(files.list_blob_names())
                assert len(names) == 1
                assert names[0].startswith(f"{lakehouse}/Files/waiting/copyjob-staging/")
                publish(to, aim(table()), staged)
                to.clean(aim(table()))
                assert list(files.list_blob_names()) == []
    check(rig, table())


def test_staged_files_are_packed_as_copy_into_reads_them(rig: WarehouseDestinationRig) -> None:
    with rig.open() as to:
        stage(to, aim(table()), table())
    [name] = rig.warehouse.files.list_blob_names()
    data = rig.warehouse.files.download_blob(name).readall()
    row_group = pq.read_metadata(pa.BufferReader(data)).row_group(0)
    assert {row_group.column(n).compression for n in range(3)} <= {"SNAPPY", "GZIP"}


def test_a_ledger_without_its_turn_publishes_nothing(rig: WarehouseDestinationRig) -> None:
    load(rig, aim(table()), table())
    name = ledger.ledger_of(ObjectName(rig.database.schema, "t"))
    rig.database.run(f"DELETE FROM {name.quoted} WHERE [destination] = '' OR [job] = ''")
    with pytest.raises(TerminalError) as refused:
        load(rig, aim(table(), 2), table())
    assert refused.value.code == "ledger-damaged"
    check(rig, table())


def test_a_part_of_many_files_is_loaded_whole(rig: WarehouseDestinationRig) -> None:
    staging = rig.warehouse.options.staging
    assert staging is not None
    small = staging.model_copy(update={"file_mb": 1})
    rows = pa.table({"id": range(64), "noise": [random.randbytes(100_000) for _ in range(64)]})
    schema = pa.schema([("id", pa.int64()), ("noise", pa.binary())])
    with open_destination(rig.warehouse.options.model_copy(update={"staging": small})) as to:
        to.prepare(aim(rows))
        batches = iter(rows.cast(schema).to_batches(16))
        staged = to.stage(aim(rows), 0, (b for b in batches for _ in range(4)))
        assert staged.ref["files"] > 1
        assert publish(to, aim(rows), [staged]).rows == 256
    assert rig.database.rows("SELECT COUNT(*), SUM(id) FROM t") == [(256, 4 * sum(range(64)))]


def test_rows_that_get_lost_on_the_way_in_are_missed(
    rig: WarehouseDestinationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table()

    def lossy(db: Connection, into: ObjectName, *given: Any) -> None:
        bulk_load(db, into, *given)
        db.run(f"DELETE FROM {into.quoted} WHERE c0 = 0")

    monkeypatch.setattr(copy_into, "load", lossy)
    with rig.open() as to:
        staged = stage(to, aim(rows), rows)
        with pytest.raises(TerminalError) as missed:
            publish(to, aim(rows), staged)
    assert missed.value.code == "count-mismatch"
    assert rig.read("t") is None


def test_a_refused_load_says_what_may_be_missing_and_keeps_the_secret(
    rig: WarehouseDestinationRig, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in does not know the real statement."""
    rows = table()
    monkeypatch.setattr(copy_into, "load", LOAD)
    with rig.open() as to:
        staged = stage(to, aim(rows), rows)
        with pytest.raises(CopyJobError) as refused:
            publish(to, aim(rows), staged)
        to.clean(aim(rows))
    assert "Storage Blob Data Reader" in refused.value.fix
    assert azurite.key not in str(refused.value.to_json())
    assert rig.staged() == []


def test_keys_that_the_destination_has_twice_are_refused(rig: WarehouseDestinationRig) -> None:
    old = pa.table({"id": [1, 1, 2], "name": ["a", "b", "c"]})
    rig.create("t", old)
    new = pa.table({"id": [1, 3], "name": ["x", "y"]})
    with pytest.raises(TerminalError) as refused:
        load(rig, aim(new, write="upsert"), new)
    assert refused.value.code == "duplicate-key"
    check(rig, old)


def test_a_dropped_table_begins_anew(rig: WarehouseDestinationRig) -> None:
    rows = table()
    load(rig, aim(rows, 7), rows)
    rig.database.run("DROP TABLE t")
    with rig.open() as to:
        assert to.last_commit("job", "source.table", "t") is None
    load(rig, aim(rows), rows)
    check(rig, rows)
    with rig.open() as to:
        last = to.last_commit("job", "source.table", "t")
    assert last is not None
    assert last.sequence == 1


def test_a_table_has_one_history_however_it_is_spelled(rig: WarehouseDestinationRig) -> None:
    other = f"{rig.database.schema.upper()}.T"
    load(rig, aim(table(), object=other), table())
    with rig.open() as to:
        for name in (other, "t", f"{rig.database.schema}.t"):
            last = to.last_commit("job", "source.table", name)
            assert last is not None
            assert last.sequence == 1
    load(rig, aim(table(), object="t"), table())  # which is known already
    check(rig, table())


def test_what_the_warehouse_fills_is_left_to_it(rig: WarehouseDestinationRig) -> None:
    rig.database.run("CREATE TABLE t (number bigint IDENTITY, id bigint, name varchar(20))")
    rows = pa.table({"number": [70, 80], "id": [1, 2], "name": ["a", "b"]})
    load(rig, aim(rows), rows)
    assert rig.database.rows("SELECT id, name FROM t WHERE number < 10 ORDER BY id") == [
        (1, "a"),
        (2, "b"),
    ]


def test_a_uniqueidentifier_is_one_however_it_is_written(rig: WarehouseDestinationRig) -> None:
    rig.database.run("CREATE TABLE t (id uniqueidentifier NOT NULL, v bigint)")
    lower = "0a1b2c3d-0000-4000-8000-00000000000f"
    for sequence, key in enumerate((lower, f"{{{lower.upper()}}}", lower), 1):
        rows = pa.table({"id": [key], "v": [sequence]})
        load(rig, aim(rows, sequence, "upsert"), rows)
    assert rig.database.rows("SELECT CAST(id AS varchar(36)), v FROM t") == [(lower.upper(), 3)]


def test_new_columns_are_added_in_the_types_of_a_warehouse(rig: WarehouseDestinationRig) -> None:
    rig.create("t", table())
    rows = table().append_column("seen", pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 5))
    load(rig, aim(rows, write="overwrite"), rows)
    assert rig.database.rows("SELECT DISTINCT CONVERT(varchar(10), seen, 23) FROM t") == [
        ("2026-01-01",)
    ]


@pytest.mark.parametrize(
    ("name", "code"),
    [("a/b", "bad-name"), ("nowhere.t", "schema-missing"), ("v", "not-a-table")],
)
def test_places_where_nothing_can_be_written(
    rig: WarehouseDestinationRig, name: str, code: str
) -> None:
    rig.database.run("CREATE VIEW v AS SELECT 1 AS id")
    with rig.open() as to, pytest.raises(ConfigError) as refused:
        to.prepare(aim(table(), object=name))
    assert refused.value.code == code


def test_without_a_place_for_files_a_warehouse_is_only_read(rig: WarehouseDestinationRig) -> None:
    alone = rig.warehouse.options.model_copy(update={"staging": None})
    rig.create("t", table())
    with open_source(alone) as source:
        assert source.describe("t").rows == 5
    with pytest.raises(ConfigError, match="where rows wait"):
        open_destination(alone)


def test_two_warehouses_share_a_container(rig: WarehouseDestinationRig) -> None:
    rows = table()
    options = rig.warehouse.options
    with rig.open() as one, open_destination(options.model_copy(update={"server": "o"})) as other:
        staged = stage(one, aim(rows), rows)
        other.clean(aim(rows))
        publish(one, aim(rows), staged)
    check(rig, rows)


def test_a_job_copies_into_a_warehouse_and_out_of_it(
    rig: WarehouseDestinationRig, shop: Shop, tmp_path: Path
) -> None:
    settings = {"mode": "incremental", "incremental_column": "at", "write": "upsert"}
    there = shop.desk
    assert there.copy(destination="t", **settings).rows_written == 50
    with closing(sqlite3.connect(shop.path)) as db, db:
        db.execute("UPDATE t SET name = 'new', at = '2026-01-02 00:00:00' WHERE id < 3")
    assert there.copy(destination="t", **settings).rows_written == 3
    assert there.copy(destination="t", **settings).status == "unchanged"
    assert rig.database.rows("SELECT COUNT(*), MIN(id), SUM(id) FROM t WHERE name <> 'new'") == [
        (47, 3, sum(range(3, 50)))
    ]
    assert rig.staged() == []
    (tmp_path / "back").mkdir()
    back = SqliteOptions(type="sqlite", path=str(tmp_path / "back.db"))
    home = Desk(tmp_path / "back", rig.warehouse.options, back)
    name = f"{rig.database.schema}.t"
    assert home.copy(name, destination="t", parts=3, **settings, keys=["id"]).rows_written == 50
    with closing(sqlite3.connect(back.path)) as db:
        assert db.execute("SELECT SUM(id), COUNT(*) FROM t").fetchall() == [(1225, 50)]
