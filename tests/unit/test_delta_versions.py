"""Copies by the version of a Delta table: what commits added since, each row once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from copy_core.connectors.base import Source
from copy_core.connectors.registry import open_source
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark, next_window
from tests.conformance.test_delta import S3, Azure, Place
from tests.unit.delta_lake import Lake, aim, numbers

VERSION = "_commit_version"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def mark(version: int) -> Watermark:
    return Watermark(kind="int", value=str(version))


def add(lake: Lake, *ids: int) -> None:
    """One commit with these rows."""
    rows = pa.table({"id": pa.array(ids, pa.int64()), "v": [f"v{n}" for n in ids]})
    write_deltalake(lake.path(), rows, mode="append")


def copied(
    source: Source,
    low: Watermark | None,
    *columns: str,
    parts: int = 1,
    again: bool = False,
    **more: Any,
) -> tuple[list[Any], Watermark | None]:
    """One incremental copy: rows (ids if no columns are named), and the new watermark."""
    info = source.describe("t")
    newest = source.newest(info, VERSION, low)
    window = next_window(VERSION, low, newest, first=low is None, **more)
    if window is None:
        return [], low
    wanted = Slice(object="t", columns=columns or ("id",), window=window, snapshot=info.snapshot)
    whole = wanted.model_copy(update={"again": again})
    slices = source.split(info, whole, parts)
    rows = [row for part in slices for batch in source.read(part, 2) for row in batch.to_pylist()]
    assert source.estimate(info, whole) == len(rows)
    found = rows if columns else [row["id"] for row in rows]
    return sorted(found, key=str), window.high


def test_the_version_is_a_column_where_it_is_named(lake: Lake) -> None:
    add(lake, 1)
    info = lake.source.describe("t")
    assert info.schema.names == ["id", "v"]
    assert info.hidden == pa.schema([pa.field(VERSION, pa.int64(), nullable=False)])
    assert info.watermarks[VERSION] == "int"
    assert lake.source.count_nulls(info, VERSION) == 0
    add(lake, 2)
    add(lake, 3)
    # A first load has the version that is read; a window that in which a row came.
    first, low = copied(lake.source, None, VERSION, "id")
    assert first == [{VERSION: 2, "id": 1}, {VERSION: 2, "id": 2}, {VERSION: 2, "id": 3}]
    assert low == mark(2)
    later, _ = copied(lake.source, mark(0), "id", VERSION)
    assert later == [{"id": 2, VERSION: 1}, {"id": 3, VERSION: 2}]
    only = Condition(column=VERSION, op=">", value=1)
    assert lake.read(["id"], filter=(only,)).num_rows == 3


@pytest.mark.parametrize("name", [VERSION, "_Commit_Version"])
def test_a_column_of_the_table_that_has_this_name_is_read_as_it_is(lake: Lake, name: str) -> None:
    write_deltalake(lake.path(), pa.table({name: [7]}))
    info = lake.source.describe("t")
    assert info.hidden is not None
    assert info.hidden.names == []
    assert lake.source.newest(info, name, None) == mark(7)
    assert lake.source.newest_hidden("t", name, None) == mark(7)
    assert lake.read().to_pylist() == [{name: 7}]


@pytest.mark.parametrize("parts", [1, 3])
def test_each_commit_is_copied_once(lake: Lake, parts: int) -> None:
    add(lake, 1, 2, 3, 4, 5)
    ids, low = copied(lake.source, None, parts=parts)
    assert ids == [1, 2, 3, 4, 5]
    assert copied(lake.source, low) == ([], low)
    add(lake, 6, 7, 8)
    add(lake, 9)
    info = lake.source.describe("t")
    add(lake, 10)  # after the window was fixed
    window = next_window(VERSION, low, lake.source.newest(info, VERSION, low), first=False)
    assert window is not None
    whole = Slice(object="t", columns=("id",), window=window, snapshot=info.snapshot)
    slices = lake.source.split(info, whole, parts)
    assert len(slices) <= parts
    # Parts go through JSON, and are read by other sources.
    sent = [Slice.model_validate_json(part.model_dump_json()) for part in slices]
    found = [
        n for p in sent for b in Lake(lake.root).source.read(p, 2) for n in b["id"].to_pylist()
    ]
    assert sorted(found) == [6, 7, 8, 9]
    assert copied(lake.source, window.high) == ([10], mark(3))


def test_what_is_compacted_is_neither_lost_nor_repeated(lake: Lake) -> None:
    add(lake, 1)
    add(lake, 2)
    _, low = copied(lake.source, None)
    add(lake, 3)
    lake.table().optimize.compact()
    add(lake, 4)
    lake.table().optimize.compact()
    assert len(lake.table().file_uris()) == 1
    rows, low = copied(lake.source, low, "id", VERSION)
    assert rows == [{"id": 3, VERSION: 2}, {"id": 4, VERSION: 4}]
    lake.table().optimize.z_order(["id"])
    assert copied(lake.source, low) == ([], mark(lake.table().version()))


def test_what_is_compacted_in_partitions_of_odd_names(lake: Lake) -> None:
    for number in range(3):
        rows = pa.table({"id": [number, number], "p": ["a b/%c", "ü=1"]})
        write_deltalake(lake.path(), rows, mode="append", partition_by=["p"])
    lake.table().optimize.compact()
    found, _ = copied(lake.source, mark(1), "id", "p")
    assert found == [{"id": 2, "p": "a b/%c"}, {"id": 2, "p": "ü=1"}]


def update(table: DeltaTable) -> None:
    table.update(updates={"v": "'new'"}, predicate="id = 2")


def merge(table: DeltaTable) -> None:
    rows = pa.table({"id": [2, 9], "v": ["new", "new"]})
    merging = table.merge(rows, "s.id = t.id", source_alias="s", target_alias="t")
    merging.when_matched_update_all().when_not_matched_insert_all().execute()


REWRITES: dict[str, Callable[[DeltaTable], object]] = {
    "UPDATE": update,
    "MERGE": merge,
    "DELETE": lambda table: table.delete("id = 2"),
    "WRITE": lambda table: write_deltalake(table, numbers(3), mode="overwrite"),
    "RESTORE": lambda table: table.restore(0),
}


@pytest.mark.parametrize("operation", REWRITES)
def test_rows_that_were_written_anew_are_not_appended_again(lake: Lake, operation: str) -> None:
    add(lake, 1, 2, 3)
    if operation == "RESTORE":
        lake.table().delete()
    _, low = copied(lake.source, None)
    REWRITES[operation](lake.table())
    with pytest.raises(ConfigError, match=operation) as refused:
        copied(lake.source, low)
    assert (refused.value.code, refused.value.where["table"]) == ("rows-rewritten", "t")
    assert f"version {lake.table().version()} " in str(refused.value)
    there = {1: "v1", 2: "v2", 3: "v3"} if operation != "RESTORE" else {}
    rows, _ = copied(lake.source, low, "id", "v", again=True)
    there |= {row["id"]: row["v"] for row in rows}
    assert {(row["id"], row["v"]) for row in lake.rows()} <= there.items()
    assert len({row["id"] for row in rows}) == len(rows)


def test_deletes_of_whole_files_are_not_seen(lake: Lake) -> None:
    add(lake, 1)
    _, low = copied(lake.source, None)
    add(lake, 2)
    add(lake, 3)
    lake.table().delete("id < 3")
    assert copied(lake.source, low)[0] == [3]


def test_what_another_copyjob_wrote(lake: Lake) -> None:
    lake.load(aim(numbers(1), 1), numbers(3))
    _, low = copied(lake.source, None)
    lake.load(aim(numbers(1), 2), numbers(2, start=3), numbers(1, start=5))
    lake.to.clean(aim(numbers(1), 2))
    assert copied(lake.source, low, parts=2) == ([3, 4, 5], mark(1))


def test_partitions_of_every_type_are_read_from_the_log(lake: Lake) -> None:
    rows = pa.table(
        {
            "id": [1, 2, 3],
            "text": ["a b/%c", None, "ü"],
            "yes": [True, False, None],
            "day": pa.array([0, None, -1], pa.date32()),
            "at": pa.array([1_700_000_000_123_456, 0, None], pa.timestamp("us", "UTC")),
            "plain": pa.array([None, 1_000_000, 7], pa.timestamp("us")),
            "cents": pa.array(["1.50", "0.25", None]).cast(pa.decimal128(10, 2)),
            "ratio": [0.1, None, -2.5],
            "small": pa.array([1, -1, None], pa.int8()),
        }
    )
    by = rows.column_names[1:]
    write_deltalake(lake.path(), rows.slice(0, 0), partition_by=by)
    _, low = copied(lake.source, None)
    write_deltalake(lake.path(), rows, mode="append")
    found, _ = copied(lake.source, low, *rows.column_names)
    assert found == rows.to_pylist()


def test_a_partition_leaves_files_unread(lake: Lake) -> None:
    add_to = pa.table({"id": [1, 2], "p": ["a", "b"]})
    write_deltalake(lake.path(), add_to, partition_by=["p"])
    write_deltalake(lake.path(), add_to, mode="append")
    info = lake.source.describe("t")
    window = next_window(VERSION, mark(0), mark(1), first=False)
    assert window is not None
    part = Slice(object="t", columns=("id",), window=window, snapshot=info.snapshot)
    some = part.model_copy(update={"filter": (Condition(column="p", value="a"),)})
    assert [lake.source.count_files(each) for each in (part, some)] == [2, 1]


def test_a_window_that_ends_before_the_newest_version(lake: Lake) -> None:
    add(lake, 1)
    add(lake, 2)
    wide = pa.table({"id": [3], "v": ["c"], "w": [1.5]})
    write_deltalake(lake.path(), wide, mode="append", schema_mode="merge")
    assert copied(lake.source, None, "id", "w", delay=1) == (
        [{"id": 1, "w": None}, {"id": 2, "w": None}],
        mark(1),
    )
    assert copied(lake.source, None, delay=9) == ([], mark(-7))
    assert copied(lake.source, mark(-7), delay=2) == ([1], mark(0))
    assert copied(lake.source, mark(1), lookback=5) == ([1, 2, 3], mark(2))


def test_a_log_that_was_shortened_is_no_table_without_changes(lake: Lake) -> None:
    for number in range(5):
        add(lake, number)
    lake.table().create_checkpoint()
    for version in range(3):
        Path(lake.path(), "_delta_log", f"{version:020}.json").unlink()
    with pytest.raises(ConfigError) as refused:
        copied(lake.source, mark(1))
    assert refused.value.code == "log-expired"
    assert "copyjob reset" in refused.value.fix
    assert copied(lake.source, mark(2)) == ([3, 4], mark(4))
    assert copied(lake.source, None)[0] == [0, 1, 2, 3, 4]


def test_a_log_that_is_damaged_is_named(lake: Lake) -> None:
    add(lake, 1)
    add(lake, 2)
    lake.table().create_checkpoint()
    log = Path(lake.path(), "_delta_log", f"{1:020}.json")
    for junk in (b"{", b"[]\n", b"\xff"):
        log.write_bytes(junk)
        with pytest.raises(TerminalError) as damaged:
            copied(lake.source, mark(0))
        assert damaged.value.code == "delta-damaged"
        assert log.name in damaged.value.where["file"]


def test_compacted_rows_whose_files_were_vacuumed_are_not_lost_silently(lake: Lake) -> None:
    add(lake, 1)
    add(lake, 2)
    lake.table().optimize.compact()
    lake.table().vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(ConfigError) as refused:
        copied(lake.source, mark(0))
    assert (refused.value.code, refused.value.where["table"]) == ("file-vacuumed", "t")
    assert "copyjob reset" in refused.value.fix
    assert copied(lake.source, None)[0] == [1, 2]


def test_a_table_that_was_made_anew_is_noticed(lake: Lake) -> None:
    for number in range(3):
        add(lake, number)
    _, low = copied(lake.source, None)
    write_deltalake(lake.path("other"), numbers(1))
    Path(lake.path()).rename(lake.root / "old")
    Path(lake.path("other")).rename(lake.path())
    with pytest.raises(ConfigError) as refused:
        copied(lake.source, low)
    assert refused.value.code == "version-missing"
    with pytest.raises(ConfigError, match="version 2"):
        lake.source.newest_hidden("t", VERSION, low)


def test_a_version_of_another_table_is_not_read(lake: Lake) -> None:
    add(lake, 1)
    info = lake.source.describe("t")
    part = Slice(object="t", columns=("id",), snapshot=info.snapshot)
    Path(lake.path()).rename(lake.root / "old")
    add(lake, 2)
    with pytest.raises(TerminalError) as gone:
        list(Lake(lake.root).source.read(part, 9))
    assert gone.value.code == "source-changed"
    # A plan of an earlier release knows the number alone.
    assert lake.read(snapshot="0")["id"].to_pylist() == [2]


def test_a_version_that_is_gone_is_planned_anew(lake: Lake) -> None:
    for number in range(4):
        add(lake, number)
    parts = [Slice(object="t", columns=("id",), snapshot=lake.source.describe("t").snapshot)]
    parts += [part.model_copy(update={"snapshot": f"{n}"}) for part in parts for n in (1, 9)]
    add(lake, 4)
    lake.table().create_checkpoint()
    for version in range(4):
        Path(lake.path(), "_delta_log", f"{version:020}.json").unlink()
    for part in parts:
        with pytest.raises(TerminalError) as gone:
            list(Lake(lake.root).source.read(part, 9))
        assert (gone.value.code, gone.value.where["table"]) == ("source-changed", "t")
        assert "Run again" in gone.value.fix


def test_a_file_that_left_the_table_meanwhile_is_planned_anew(lake: Lake) -> None:
    add(lake, 1)
    add(lake, 2)
    info = lake.source.describe("t")
    part = Slice(object="t", columns=("id",), snapshot=info.snapshot)
    lake.table().optimize.compact()
    lake.table().vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(TerminalError) as gone:
        list(lake.source.read(part, 9))
    assert (gone.value.code, gone.value.where["table"]) == ("source-changed", "t")
    assert lake.read(["id"]).num_rows == 2


def test_patterns_of_files_mean_nothing(lake: Lake) -> None:
    add(lake, 1)
    info = lake.source.describe("t")
    whole = Slice(object="t", columns=("id",))
    for setting in ("include", "exclude"):
        part = whole.model_copy(update={setting: ("*.parquet",)})
        with pytest.raises(ConfigError) as refused:
            lake.source.split(info, part, 1)
        assert refused.value.code == "setting-not-offered"


@pytest.mark.parametrize("place", [Azure, S3])
def test_in_object_stores(
    tmp_path: Path, request: pytest.FixtureRequest, place: type[Place]
) -> None:
    there = place(tmp_path, request)
    there.write("t", numbers(2))
    with open_source(there.options) as source:
        _, low = copied(source, None)
        there.write("t", numbers(2, start=2), "append")
        there.table("t").optimize.compact()
        assert copied(source, low, "id", VERSION) == (
            [{"id": 2, VERSION: 1}, {"id": 3, VERSION: 1}],
            mark(2),
        )
        there.table("t").create_checkpoint()
        there.remove(f"t/_delta_log/{1:020}.json")
        with pytest.raises(ConfigError) as refused:
            copied(source, low)
        assert refused.value.code == "log-expired"
