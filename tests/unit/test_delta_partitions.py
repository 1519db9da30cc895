"""Partitioned Delta tables: every value finds its way into the log and back, and rows do too."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors import memory
from copy_core.connectors.delta import partitions, writing
from copy_core.connectors.options import Connection, MemoryOptions
from copy_core.context import Context
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import Condition, Job, JobFile, WriteMode, resolve
from copy_core.reset import reset
from copy_core.runners.local import LocalRunner
from copy_core.state.sqlite import SqliteStateStore
from tests.unit.delta_lake import Lake, aim, commit, interrupting, numbers

MODES = ["append", "upsert", "overwrite"]
INSTANTS = st.datetimes()
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    pa.date32(): st.dates(),
    pa.timestamp("us"): INSTANTS,
    pa.timestamp("us", "UTC"): INSTANTS.map(lambda at: at.replace(tzinfo=UTC)),
}
ODD: list[tuple[pa.DataType, list[Any]]] = [
    (pa.string(), ["a/b=c %2F é", "x[y]", "__HIVE_DEFAULT_PARTITION__", " ", "two\nlines", None]),
    (pa.date32(), [date(1, 1, 1), date(9999, 12, 31), None]),
    (pa.timestamp("us"), [datetime.fromisoformat("2026-01-02T03:04:05.123456"), None]),
    (pa.timestamp("us", "UTC"), [datetime(2026, 1, 2, 3, 4, 5, 120000, UTC), None]),
    (pa.int64(), [-(2**63), 0, 2**63 - 1, None]),
    (pa.bool_(), [True, False, None]),
    (pa.uint8(), [0, 255]),
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def days(count: int, start: int = 0, *, late: int = 0) -> pa.Table:
    """Rows of three days; those that are `late` lie so many days later."""
    rows = numbers(count, start)
    of = [date(2026, 1, 1 + n % 3 + late) if n % 4 else None for n in rows["id"].to_pylist()]
    return rows.append_column("day", pa.array(of, pa.date32()))


def by_day(rows: pa.Table, sequence: int = 1, write: WriteMode = "append", **more: Any) -> Any:
    return aim(rows, sequence, write, partition_by=("day",), **more)


def logged(lake: Lake) -> list[dict[str, Any]]:
    """The files that the commits of a table added, as the log has them."""
    lines = [
        line
        for log in sorted(Path(lake.path(), "_delta_log").glob("*.json"))
        for line in log.read_text().splitlines()
    ]
    return [action["add"] for action in map(json.loads, lines) if "add" in action]


@given(st.data(), st.sampled_from(list(VALUES)))
def test_rows_come_apart_by_value_and_their_values_come_back(
    data: st.DataObject, kind: pa.DataType
) -> None:
    values = data.draw(st.lists(st.none() | VALUES[kind], min_size=1))
    numbered = pa.record_batch(
        {"p": pa.array(values, kind), "i": pa.array(range(len(values)), pa.int64())}
    )
    found: dict[int, Any] = {}
    seen = []
    for (text,), rows in partitions.apart(numbered, ["p"]):
        value = partitions.scalars({"p": text}, numbered.schema)["p"]
        assert partitions.as_logged({"p": value}) == {"p": text}
        assert rows["i"].to_pylist() == sorted(rows["i"].to_pylist())
        found |= dict.fromkeys(rows["i"].to_pylist(), value.as_py())
        seen.append(text)
    assert [found[n] for n in range(len(values))] == numbered["p"].to_pylist()
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(("kind", "values"), ODD, ids=lambda value: str(value)[:30])
def test_odd_values_are_read_back_by_other_readers(
    lake: Lake, kind: pa.DataType, values: list[Any]
) -> None:
    rows = pa.table({"p": pa.array(values, kind), "id": pa.array(range(len(values)), pa.int64())})
    lake.load(aim(rows, partition_by=("p",)), rows)
    wanted = lake.table().schema().to_arrow()
    stored = pa.array(values, kind).cast(pa.schema(wanted).field("p").type).to_pylist()
    assert lake.table().metadata().partition_columns == ["p"]
    assert lake.table().to_pyarrow_table().sort_by("id")["p"].to_pylist() == stored
    query = QueryBuilder().register("t", lake.table()).execute("SELECT p, id FROM t ORDER BY id")
    assert pa.table(query)["p"].to_pylist() == stored
    assert lake.read(["id", "p"]).sort_by("id")["p"].to_pylist() == stored
    assert len(lake.files()) == len(values)


@pytest.mark.parametrize("write", MODES)
def test_a_new_table_is_partitioned_and_written_by_partition(lake: Lake, write: WriteMode) -> None:
    for sequence in (1, 2):
        start = 6 * (sequence - 1)
        target = by_day(days(1), sequence, write)
        published = lake.load(target, days(6, start), days(6, start + 6, late=3))
        lake.to.clean(target)
        assert published.rows == 12
        assert lake.to.publish(commit(target, ())) == published
    second = [*days(6, 6).to_pylist(), *days(6, 12, late=3).to_pylist()]
    first = [*days(6).to_pylist(), *days(6, 6, late=3).to_pylist()]
    before = {"append": first, "upsert": days(6).to_pylist(), "overwrite": []}[write]
    assert lake.rows() == sorted([*before, *second], key=str)
    assert all(set(add["partitionValues"]) == {"day"} for add in logged(lake))
    removed = lake.table().vacuum(0, dry_run=True, enforce_retention_duration=False)
    live = {uri.rpartition("/")[2] for uri in lake.table().file_uris()}
    assert not [path for path in removed if path.rpartition("/")[2] in live]


def test_a_file_holds_neither_the_partition_columns_nor_rows_of_another(lake: Lake) -> None:
    lake.load(by_day(days(1)), days(9))
    for add in logged(lake):
        rows = pa.parquet.read_table(Path(lake.path(), add["path"]))
        assert rows.column_names == ["id", "v"]
        of = {row["id"]: row["day"] for row in days(9).to_pylist()}
        text = add["partitionValues"]["day"]
        assert {of[n] for n in rows["id"].to_pylist()} == {text and date.fromisoformat(text)}


def test_a_row_that_moves_to_another_partition_leaves_its_old_one(lake: Lake) -> None:
    lake.load(by_day(days(1), 1, "upsert"), days(9))
    lake.load(by_day(days(1), 2, "upsert"), days(3, 1, late=9))
    later = {row["id"]: row for row in [*days(9).to_pylist(), *days(3, 1, late=9).to_pylist()]}
    assert lake.rows() == sorted(later.values(), key=str)


def test_a_key_may_be_a_partition_column(lake: Lake) -> None:
    keys = {"keys": ("id", "day")}
    rows = days(9).filter(days(9)["day"].is_valid())
    lake.load(by_day(rows, 1, "upsert", **keys), rows)
    changed = rows.set_column(1, "v", pa.array(["new"] * rows.num_rows))
    lake.load(by_day(rows, 2, "upsert", **keys), changed.slice(2))
    assert lake.rows() == sorted(
        [*rows.slice(0, 2).to_pylist(), *changed.slice(2).to_pylist()], key=str
    )
    with pytest.raises(TerminalError) as refused:
        lake.load(by_day(rows, 3, "upsert", **keys), days(9))
    assert refused.value.code == "null-key"


def test_the_newest_row_of_a_key_wins_whatever_its_partition(lake: Lake) -> None:
    twice = pa.concat_tables([days(4), days(4, late=5).set_column(1, "v", pa.array(["w"] * 4))])
    published = lake.load(by_day(twice, 1, "upsert", order_by="v"), twice)
    assert (published.rows, published.superseded) == (4, 4)
    assert lake.rows() == sorted(twice.slice(4).to_pylist(), key=str)


def test_a_condition_on_a_partition_column_reads_its_files_alone(lake: Lake) -> None:
    lake.load(by_day(days(1)), days(9))
    second = Condition(column="day", op="=", value="2026-01-02")
    (file,) = [add for add in logged(lake) if add["partitionValues"]["day"] == "2026-01-02"]
    for add in logged(lake):
        if add != file:
            Path(lake.path(), add["path"]).unlink()
    rows = lake.read(["id", "day"], filter=(second,)).to_pylist()
    assert rows == [{"id": n, "day": date(2026, 1, 2)} for n in (1, 7)]


def test_values_in_any_order_take_bounded_memory(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_HELD_BYTES", 4_000)
    rows = numbers(2_000)
    of = pa.array([n * 7919 % 20 for n in range(2_000)], pa.int32())
    rows = rows.append_column("p", of)
    published = lake.load(aim(rows, partition_by=("p",)), rows)
    assert published.files == len(lake.files()) > 20
    assert lake.rows() == sorted(rows.to_pylist(), key=str)


def test_an_error_while_staging_leaves_no_file_in_any_partition(lake: Lake) -> None:
    rows = days(9)
    target = by_day(rows)
    schema = lake.to.prepare(target)
    broken = ValueError("the source broke")

    def half() -> Any:
        yield from rows.cast(schema).to_batches()
        raise broken

    with pytest.raises(ValueError, match="broke") as raised:
        lake.to.stage(target, 0, half())
    assert raised.value is broken
    assert lake.files() == []


@pytest.mark.parametrize(("kind", "values"), ODD, ids=lambda value: str(value)[:30])
def test_the_partitions_that_arrive_are_replaced_whoever_wrote_them(
    lake: Lake, kind: pa.DataType, values: list[Any]
) -> None:
    rows = pa.table({"p": pa.array(values, kind), "id": pa.array(range(len(values)), pa.int64())})
    lake.load(aim(rows, partition_by=("p",)), rows.slice(0, 0))
    stored = pa.schema(lake.table().schema().to_arrow())
    # delta-rs cannot write into folders that are called like this.
    theirs = rows.filter(pa.array(["[" not in str(value) for value in values])).cast(stored)
    write_deltalake(lake.path(), theirs, mode="append")
    target = aim(rows, 2, "overwrite_partitions")
    published = lake.load(target, rows.slice(1).set_column(1, "id", rows["id"].slice(1)))
    lake.to.clean(target)
    assert published.rows == len(values) - 1
    found = lake.table().to_pyarrow_table().sort_by("id")
    assert found["id"].to_pylist() == rows["id"].to_pylist()
    assert found["p"].to_pylist() == rows.cast(stored)["p"].to_pylist()
    query = QueryBuilder().register("t", lake.table()).execute("SELECT id FROM t ORDER BY id")
    assert pa.table(query)["id"].to_pylist() == rows["id"].to_pylist()


def test_an_empty_value_in_the_log_is_the_partition_of_null(lake: Lake) -> None:
    """As the protocol has it: other writers tell null so."""
    rows = numbers(2).append_column("p", pa.array(["a", None]))
    write_deltalake(lake.path(), rows, partition_by=["p"])
    log = Path(lake.path(), "_delta_log", f"{0:020}.json")
    log.write_text(log.read_text().replace('"p":null', '"p":""'))
    lake.load(aim(rows, 1, "overwrite_partitions"), rows.slice(1))
    assert lake.rows() == rows.to_pylist()


@pytest.mark.parametrize("touched", [True, False])
def test_what_others_commit_meanwhile_is_neither_lost_nor_brought_back(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, touched: bool
) -> None:
    """Rows that they add to a partition are replaced with it, rows that they delete stay away."""
    lake.load(by_day(days(1)), days(9))
    first, second, third = (date(2026, 1, n) for n in (1, 2, 3))
    theirs = days(1).set_column(2, "day", pa.array([first if touched else second]))

    def others() -> None:
        write_deltalake(lake.path(), theirs.set_column(0, "id", pa.array([99])), mode="append")
        lake.table().delete("day = '2026-01-03'")

    target = by_day(days(1), 2, "overwrite_partitions")
    arriving = days(1).set_column(2, "day", pa.array([first]))
    staged = lake.stage(target, arriving)
    interrupting(monkeypatch, others)
    lake.to.publish(commit(target, staged))
    found = {row["id"]: row["day"] for row in lake.rows()}
    assert [n for n, day in found.items() if day == first] == [0]
    assert third not in found.values()
    assert found.get(99) == (None if touched else second)
    kept = {row["id"] for row in days(9).to_pylist() if row["day"] in (second, None)}
    assert set(found) == kept | {0} | (set() if touched else {99})


def test_a_change_data_feed_hears_of_partitions_that_are_replaced(lake: Lake) -> None:
    feeds = {"delta.enableChangeDataFeed": "true"}
    DeltaTable.create(lake.path(), days(1).schema, partition_by=["day"], configuration=feeds)
    lake.load(aim(days(1)), days(9))
    new = days(1, 20, late=0).set_column(2, "day", pa.array([date(2026, 1, 2)]))
    lake.load(aim(days(1), 2, "overwrite_partitions"), new)
    feed = pa.table(lake.table().load_cdf(starting_version=2)).to_pylist()
    changes = sorted((row["id"], row["_change_type"]) for row in feed)
    assert changes == [(1, "delete"), (7, "delete"), (20, "insert")]


@pytest.mark.parametrize("of", ["constraint", "floats"])
def test_partitions_are_not_replaced_where_rows_are_left_to_delta_rs(lake: Lake, of: str) -> None:
    rows = numbers(3).append_column("p", pa.array([0.5, 1.5, None] if of == "floats" else [1] * 3))
    write_deltalake(lake.path(), rows, partition_by=["p"])
    if of == "constraint":
        lake.table().alter.add_constraint({"small": "id < 100"})
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(rows, 1, "overwrite_partitions"))
    assert refused.value.code == "table-feature"
    assert of in refused.value.what


def test_partitions_are_not_replaced_by_rows_that_do_not_tell_theirs(lake: Lake) -> None:
    lake.load(by_day(days(1)), days(3))
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(numbers(1), 2, "overwrite_partitions"))
    assert (refused.value.code, refused.value.where["column"]) == ("column-missing", "day")


@pytest.mark.parametrize("write", [*MODES, "overwrite_partitions"])
def test_a_new_column_reaches_every_partition(lake: Lake, write: WriteMode) -> None:
    lake.load(by_day(days(1), 1, write), days(4))
    rows = days(4, 4).append_column("new", pa.array(["a", "b", None, "d"]))
    lake.load(by_day(rows, 2, write), rows)
    lake.load(by_day(days(1), 3, "append"), days(1, 40))
    found = {row["id"]: row["new"] for row in lake.rows()}
    assert [found[n] for n in (4, 5, 6, 7, 40)] == ["a", "b", None, "d", None]
    assert {found.get(n) for n in range(4)} == {None}
    assert lake.table().metadata().partition_columns == ["day"]


@pytest.mark.parametrize(
    ("column", "kind", "code"),
    [
        ("other", pa.int64(), "column-missing"),
        ("p", pa.float64(), "partition-type"),
        ("p", pa.binary(), "partition-type"),
        ("p", pa.decimal128(10, 2), "partition-type"),
    ],
)
def test_a_column_that_cannot_part_rows_is_refused(
    lake: Lake, column: str, kind: pa.DataType, code: str
) -> None:
    rows = pa.table({"p": pa.array([], kind), "id": pa.array([], pa.int64())})
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(rows, partition_by=(column,)))
    assert (refused.value.code, refused.value.where["column"]) == (code, column)


def test_a_table_needs_a_column_beside_its_partitions(lake: Lake) -> None:
    rows = numbers(1).select(["id"])
    with pytest.raises(ConfigError, match="no column but those"):
        lake.to.prepare(aim(rows, partition_by=("id",)))
    lake.load(by_day(days(1)), days(3))
    with pytest.raises(ConfigError, match="no column but those"):
        lake.to.prepare(aim(days(1).select(["day"]), 2))


@pytest.mark.parametrize("there", [["day"], []])
def test_the_columns_of_a_table_that_exists_are_its_own(lake: Lake, there: list[str]) -> None:
    write_deltalake(lake.path(), days(3), partition_by=there or None)
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(days(1), partition_by=("v",)))
    assert refused.value.code == "partition-mismatch"
    assert ("day" if there else "no column") in refused.value.what
    lake.load(aim(days(1)), days(3, 3))
    assert lake.rows() == sorted(days(6).to_pylist(), key=str)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", ""]),
        pa.array([300_000_000_000_000_000], pa.timestamp("us", "UTC")),
        pa.array([2**30], pa.date32()),
    ],
    ids=str,
)
def test_a_value_that_no_log_can_tell_is_refused(lake: Lake, values: pa.Array) -> None:
    rows = pa.table({"p": values, "id": pa.array(range(len(values)), pa.int64())})
    with pytest.raises(TerminalError) as refused:
        lake.load(aim(rows, partition_by=("p",)), rows)
    assert (refused.value.code, refused.value.where["column"]) == ("partition-value", "p")
    assert lake.files() == []


def test_null_is_refused_where_a_partition_column_requires_a_value(lake: Lake) -> None:
    schema = pa.schema([("id", pa.int64()), pa.field("day", pa.date32(), nullable=False)])
    DeltaTable.create(lake.path(), schema, partition_by=["day"])
    with pytest.raises(TerminalError) as refused:
        lake.load(aim(days(1).select(["id", "day"])), days(9).select(["id", "day"]))
    assert refused.value.code == "null-value"


def test_a_partition_column_that_does_not_arrive_is_null(lake: Lake) -> None:
    write_deltalake(lake.path(), days(3), partition_by=["day"])
    lake.load(aim(numbers(1)), numbers(2, 3))
    assert {row["id"]: row["day"] for row in lake.rows() if row["id"] > 2} == {3: None, 4: None}


@pytest.mark.parametrize("write", MODES)
def test_delta_rs_writes_what_only_it_can(lake: Lake, write: WriteMode) -> None:
    """A partitioned table with a constraint, and one by values that we leave to it."""
    write_deltalake(lake.path(), days(3), partition_by=["day"])
    lake.table().alter.add_constraint({"small": "id < 100"})
    floats = numbers(3).append_column("f", pa.array([0.5, 1.5, None]))
    write_deltalake(lake.path("floats"), floats, partition_by=["f"])
    more = {"append": (3, 6), "upsert": (0, 3), "overwrite": (0, 3)}[write]
    lake.load(by_day(days(1), 1, write), days(3, more[0]))
    lake.load(aim(floats, 1, write, object="floats"), floats)
    assert lake.rows() == sorted(days(more[1]).to_pylist(), key=str)
    assert len(lake.rows("floats")) == (6 if write == "append" else 3)
    with pytest.raises(TerminalError):
        lake.load(by_day(days(1), 2, write), days(3, 99))


def test_what_describes_a_part_stays_small_however_many_files_it_has(lake: Lake) -> None:
    rows = numbers(600)
    rows = rows.append_column("p", rows["id"])
    target = aim(rows, partition_by=("p",))
    (staged,) = lake.stage(target, rows)
    assert len(staged.model_dump_json()) < 1_000
    (described,) = (Path(lake.path()) / "copyjob").rglob("*.json")
    text = described.read_text()
    described.unlink()
    with pytest.raises(TerminalError) as refused:
        lake.to.publish(commit(target, [staged]))
    assert refused.value.code == "staged-missing"
    described.write_text(text)
    assert lake.to.publish(commit(target, [staged])).files == 600
    lake.to.clean(target)
    assert not described.exists()
    assert len(lake.rows()) == 600


def test_what_was_staged_for_other_partitions_is_not_published(lake: Lake) -> None:
    target = aim(days(1))
    staged = lake.stage(target, days(3))
    write_deltalake(lake.path(), days(1), partition_by=["day"])
    with pytest.raises(TerminalError) as refused:
        lake.to.publish(commit(target, staged))
    assert refused.value.code == "table-changed"


def test_a_job_replaces_the_days_that_its_filter_takes_in(lake: Lake, tmp_path: Path) -> None:
    rows = numbers(9).append_column("day", pa.array([f"2026-01-0{1 + n % 3}" for n in range(9)]))
    shop = memory.store(str(tmp_path))
    state = SqliteStateStore(tmp_path / "state.db")

    def job(day: str, **more: Any) -> Job:
        table = {"source": "t", "filter": [{"column": "day", "op": ">=", "value": day}]}
        says = {"name": "job", "source": "shop", "destination": "lake", "tables": [table]}
        how = {"write": "overwrite_partitions", "partition_by": ["day"], **more}
        return resolve(JobFile.model_validate(says | how))

    def run(day: str, **more: Any) -> list[dict[str, Any]]:
        connections: dict[str, Connection] = {
            "shop": MemoryOptions(type="memory", name=str(tmp_path)),
            "lake": lake.options,
        }
        (table,) = LocalRunner(Context(job(day, **more), connections, state)).run().tables
        assert table.status == "copied", table.error
        return sorted(lake.rows(), key=lambda row: int(row["id"]))

    shop.put("t", rows, ["id"])
    assert run("2026-01-01", parts=3) == rows.to_pylist()
    # What the source has lost of the days before is not seen, and what is new of them neither.
    changed = rows.set_column(1, "v", pa.array(["new"] * 9)).slice(3)
    shop.put("t", changed, ["id"])
    late = [row for row in changed.to_pylist() if row["day"] == "2026-01-03"]
    kept = [row for row in rows.to_pylist() if row["day"] < "2026-01-03"]
    assert run("2026-01-03") == sorted([*kept, *late], key=lambda row: row["id"])
    assert run("2026-01-09") == sorted([*kept, *late], key=lambda row: row["id"])
    reset(state, job("2026-01-03"), ["t"], truncate=True)
    assert run("2026-01-03") == late
    state.close()
    shop.clear()


def test_a_destination_that_does_not_replace_partitions_says_so(tmp_path: Path) -> None:
    shop, state = memory.store(str(tmp_path)), SqliteStateStore(tmp_path / "state.db")
    shop.put("t", days(3), ["id"])
    table = {"source": "t", "destination": "other", "write": "overwrite_partitions"}
    says = {"name": "job", "source": "shop", "destination": "shop", "tables": [table]}
    connections: dict[str, Connection] = {"shop": MemoryOptions(type="memory", name=str(tmp_path))}
    context = Context(resolve(JobFile.model_validate(says)), connections, state)
    (result,) = LocalRunner(context).run().tables
    assert result.error is not None
    assert result.error["code"] == "mode-not-offered"
    assert "overwrite_partitions" in result.error["message"]
    state.close()
    shop.clear()
