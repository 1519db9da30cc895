"""Delta tables as a connection asks for them: their properties, few large files, old ones gone."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from pydantic import ValidationError

from copy_core.connectors.delta import DeltaDestination, compaction, upkeep
from copy_core.connectors.delta.onelake import lake_of
from copy_core.connectors.options import DeltaOptions
from copy_core.errors import ConfigError
from copy_core.job import WriteMode
from tests.unit.delta_lake import Lake, aim, commit, interrupting, numbers

FEED = {"delta.enableChangeDataFeed": "true"}
AT_ONCE = {"delta.deletedFileRetentionDuration": "interval 0 days"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def opened(lake: Lake, **options: Any) -> Lake:
    """The same tables by a connection that asks for more."""
    lake.options = DeltaOptions.model_validate(
        {"type": "delta", "root": str(lake.root), **options}, strict=True
    )
    lake.to = DeltaDestination(lake.options)
    return lake


def copied(lake: Lake, rows: pa.Table, sequence: int, write: WriteMode = "append") -> None:
    """The whole way of a copy."""
    target = aim(rows, sequence, write)
    lake.load(target, rows)
    lake.to.clean(target)


def by_datafusion(lake: Lake) -> list[dict[str, Any]]:
    query = QueryBuilder().register("t", lake.table()).execute("SELECT * FROM t")
    return sorted(pa.table(query).to_pylist(), key=str)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three small files are many."""
    monkeypatch.setattr(compaction, "_MANY", 3)


SOON = pytest.mark.usefixtures("soon")


# Properties


def test_a_table_is_made_with_the_properties_that_are_asked_for(lake: Lake) -> None:
    asked = {"delta.enableChangeDataFeed": True, "delta.logRetentionDuration": "interval 9 days"}
    copied(opened(lake, properties=asked, vacuum="8d"), numbers(3), 1)
    made = lake.table().metadata().configuration
    assert made == {
        **FEED,
        "delta.logRetentionDuration": "interval 9 days",
        "delta.deletedFileRetentionDuration": "interval 691200 seconds",
    }
    copied(lake, numbers(1, start=2, value="new"), 2, "upsert")
    feed = pa.table(lake.table().load_cdf(starting_version=1))["_change_type"].to_pylist()
    assert sorted(feed) == ["update_postimage", "update_preimage"]
    copied(opened(lake, properties={"delta.checkpointInterval": 5}), numbers(1, start=9), 3)
    assert lake.table().metadata().configuration == made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delta.appendOnly", True),
        ("delta.autoOptimize.autoCompact", False),
        ("delta.autoOptimize.optimizeWrite", False),
        ("delta.checkpoint.writeStatsAsJson", True),
        ("delta.checkpoint.writeStatsAsStruct", True),
        ("delta.checkpointInterval", 1),
        ("delta.dataSkippingNumIndexedCols", -1),
        ("delta.deletedFileRetentionDuration", "interval 2 weeks"),
        ("delta.enableChangeDataFeed", True),
        ("delta.enableExpiredLogCleanup", False),
        ("delta.logRetentionDuration", "interval 12 hours"),
        ("delta.targetFileSize", 1_000_000),
    ],
)
def test_a_table_of_any_property_is_written_and_read(lake: Lake, name: str, value: object) -> None:
    opened(lake, properties={name: value}, optimize=True)
    for sequence in (1, 2, 3):
        copied(lake, numbers(2, start=2 * sequence), sequence)
    assert list(lake.table().metadata().configuration) == [name]
    assert [row["id"] for row in lake.rows()] == list(range(2, 8))
    assert lake.read(["id"]).num_rows == 6


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"properties": {"delta.setTransactionRetentionDuration": "interval 1 days"}}, "cannot be"),
        ({"properties": {"delta.columnMapping.mode": "name"}}, "cannot be set"),
        ({"properties": {"delta.enableDeletionVectors": True}}, "cannot be set"),
        ({"properties": {"delta.constraints.small": "id < 9"}}, "cannot be set"),
        ({"properties": {"delta.appendOnly": "yes"}}, "must be true or false, not yes"),
        ({"properties": {"delta.checkpointInterval": "often"}}, "must be a whole number"),
        ({"properties": {"delta.checkpointInterval": 0}}, "must be a whole number"),
        ({"properties": {"delta.logRetentionDuration": "30 days"}}, "a span such as interval 7"),
        ({"vacuum": "23h"}, "a day or more"),
        ({"vacuum": 9}, "a day or more"),
        ({"vacuum": "8d", "properties": AT_ONCE}, "leave that property out"),
    ],
    ids=str,
)
def test_what_would_break_a_copy_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        DeltaOptions.model_validate({"type": "delta", "root": "x", **options}, strict=True)


@pytest.mark.parametrize("write", ["upsert", "overwrite"])
def test_a_new_table_that_only_takes_appends_is_not_made_for_more(
    lake: Lake, write: WriteMode
) -> None:
    opened(lake, properties={"delta.appendOnly": True})
    with pytest.raises(ConfigError, match="appendOnly") as refused:
        lake.to.prepare(aim(numbers(1), 1, write))
    assert refused.value.code == "table-feature"
    copied(lake, numbers(1), 1)


# Few large files


@SOON
def test_files_stay_as_they_are_unless_it_is_asked_for(lake: Lake) -> None:
    for sequence in range(1, 6):
        copied(lake, numbers(1, start=sequence), sequence)
    assert lake.table().version() == 4


@SOON
def test_many_small_files_become_one_with_the_same_rows(lake: Lake) -> None:
    opened(lake, optimize=True, properties=FEED)
    for sequence in range(1, 6):
        copied(lake, numbers(3, start=3 * sequence), sequence)
    assert lake.rows() == by_datafusion(lake) == sorted(numbers(15, 3).to_pylist(), key=str)
    assert len(lake.table().file_uris()) == 1
    assert lake.table().version() == 6
    feed = pa.table(lake.table().load_cdf(starting_version=0))
    assert sorted(feed["id"].to_pylist()) == list(range(3, 18))
    assert len(lake.rows(version=2)) == 9
    lake.to.clean(aim(numbers(1), 5))
    assert lake.table().version() == 6
    copied(lake, numbers(3, start=18), 6)
    copied(lake, numbers(3, start=21), 7)
    assert len(lake.rows()) == len(lake.read(["id"])) == 21


@SOON
def test_only_a_partition_with_many_small_files_is_written_anew(
    lake: Lake,
) -> None:
    """Whatever its value is called."""
    opened(lake, optimize=True)
    odd = ["a/b=c %2F é", "x[y]", "__HIVE_DEFAULT_PARTITION__", " ", None]
    rows = numbers(5).append_column("p", pa.array(odd))
    lake.load(aim(rows, 1, partition_by=("p",)), rows)
    for sequence in (2, 3):
        more = rows.slice(0, 4 if sequence == 2 else 5)
        lake.load(aim(rows, sequence), more)
    lake.to.clean(aim(rows, 3))
    every = [*rows.to_pylist(), *rows.slice(0, 4).to_pylist(), *rows.to_pylist()]
    assert lake.rows() == by_datafusion(lake) == sorted(every, key=str)
    assert len(lake.table().file_uris()) == 6
    assert lake.read(["p"]).num_rows == 14


@SOON
def test_what_one_copy_does_of_it_is_bounded_and_the_next_goes_on(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sequence in range(1, 9):
        copied(lake, numbers(1, start=sequence), sequence)
    size = Path(lake.path(), lake.files()[0]).stat().st_size
    monkeypatch.setattr(compaction, "_MOST_BYTES", 4 * size + size // 2)
    opened(lake, optimize=True)
    left = []
    for _ in range(3):
        lake.to.clean(aim(numbers(1), 8))
        left.append(len(lake.table().file_uris()))
    assert left[0] == 5
    assert left == sorted(left, reverse=True)
    assert len(lake.rows()) == 8


@SOON
def test_large_files_are_left_alone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for sequence in range(1, 5):
        copied(lake, numbers(1, start=sequence), sequence)
    monkeypatch.setattr(compaction, "_SMALL_BYTES", 10)
    opened(lake, optimize=True).to.clean(aim(numbers(1), 4))
    assert len(lake.table().file_uris()) == 4


@pytest.mark.parametrize("others", ["append", "delete", "overwrite"])
@SOON
def test_another_writer_in_between_loses_and_doubles_nothing(
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    others: str,
) -> None:
    for sequence in range(1, 5):
        copied(lake, numbers(2, start=2 * sequence), sequence)

    def work() -> None:
        if others == "delete":
            lake.table().delete("id = 4")
        else:
            write_deltalake(lake.path(), numbers(1, start=50), mode=others)  # type: ignore[call-overload]  # one of the two

    interrupting(monkeypatch, work)
    with caplog.at_level(logging.WARNING, "copyjob"):
        opened(lake, optimize=True).to.clean(aim(numbers(1), 4))
    kept = {"append": [*range(2, 10), 50], "delete": [2, 3, *range(5, 10)], "overwrite": [50]}
    assert sorted(row["id"] for row in lake.rows()) == kept[others]
    assert ("another writer" in caplog.text) == (others != "append")
    lake.to.clean(aim(numbers(1), 4))
    assert sorted(row["id"] for row in lake.rows()) == kept[others]


@SOON
def test_a_commit_whose_answer_was_lost_is_found(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sequence in range(1, 5):
        copied(lake, numbers(2, start=2 * sequence), sequence)
    original = DeltaTable.create_write_transaction

    def lost(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        original(self, *args, **kwargs)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", lost)
    opened(lake, optimize=True).to.clean(aim(numbers(1), 4))
    assert [row["id"] for row in lake.rows()] == list(range(2, 10))
    assert len(lake.table().file_uris()) == 1


@SOON
def test_the_ledger_outlives_compaction_checkpoints_and_clean_logs(lake: Lake) -> None:
    opened(lake, optimize=True, properties={"delta.checkpointInterval": 2})
    for sequence in range(1, 8):
        published = lake.load(aim(numbers(1), sequence), numbers(2, start=2 * sequence))
        lake.to.clean(aim(numbers(1), sequence))
    table = lake.table()
    table.create_checkpoint()
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    lake.table().create_checkpoint()
    lake.table().cleanup_metadata()
    assert lake.to.last_commit("job", "source", "t") == published
    assert lake.load(aim(numbers(1), 7), numbers(9)) == published
    assert len(lake.rows()) == 14


# Old files


def age(lake: Lake, days: int, name: str = "t") -> None:
    """Has everything in a table happened so many days ago."""
    then = time.time() - days * 86_400
    for path in Path(lake.path(name)).rglob("*"):
        if path.suffix == ".json" and path.parent.name == "_delta_log":
            actions = [json.loads(line) for line in path.read_text().splitlines()]
            for action in actions:
                if "remove" in action:
                    action["remove"]["deletionTimestamp"] -= days * 86_400_000
            path.write_text("\n".join(map(json.dumps, actions)))
        os.utime(path, (then, then))


def test_files_that_left_the_table_long_ago_are_removed(lake: Lake) -> None:
    opened(lake, vacuum="8d")
    for sequence in (1, 2):
        copied(lake, numbers(3, start=3 * sequence), sequence, "overwrite")
    age(lake, 7)
    lake.to.clean(aim(numbers(1), 2))
    assert len(lake.files()) == 2
    age(lake, 2)
    copied(lake, numbers(3, start=9), 3, "overwrite")
    assert len(lake.files()) == 2
    assert len(lake.rows(version=1)) == 3
    assert [row["id"] for row in lake.rows()] == [10, 11, 9]


@pytest.mark.parametrize("forgotten", [True, False], ids=["forgotten", "remembered"])
def test_a_log_that_has_forgotten_them_is_no_hindrance(lake: Lake, forgotten: bool) -> None:
    """A checkpoint leaves out what was removed long ago."""
    opened(lake, vacuum="1d")
    for sequence in (1, 2, 3):
        copied(lake, numbers(3, start=3 * sequence), sequence, "overwrite")
    age(lake, 3)
    if forgotten:
        lake.table().create_checkpoint()
        for path in Path(lake.path(), "_delta_log").glob("*[01].json"):
            path.unlink()
    copied(lake, numbers(1), 4)
    assert len([file for file in lake.files() if file.startswith("copyjob/")]) == 2
    assert len(lake.rows()) == 4


def test_what_waits_to_be_published_is_never_removed(lake: Lake) -> None:
    """However old, of this job and of another, with a list of files as well as without."""
    opened(lake, vacuum="1d")
    rows = numbers(4).append_column("p", pa.array([1, 2, 1, 2]))
    first = aim(rows, 1, "overwrite", partition_by=("p",))
    others = aim(rows, 1, job="other", partition_by=("p",))
    waiting = lake.stage(others, rows)
    lake.load(first, rows)
    next_of_ours = lake.stage(aim(rows, 2), rows.slice(0, 1))
    strangers = Path(lake.path(), "p=1", "stranger.parquet")
    strangers.parent.mkdir()
    strangers.write_bytes(b"another program is about to commit this")
    nested = Lake(Path(lake.path()))
    nested.load(aim(numbers(2), object="nested"), numbers(2))
    age(lake, 30)
    lake.to.clean(first)
    assert strangers.exists()
    assert len(nested.rows("nested")) == 2
    for target, staged in ((others, waiting), (aim(rows, 2), next_of_ours)):
        lake.to.publish(commit(target, staged))
    assert len(lake.rows()) == 9


def test_a_table_that_keeps_files_for_less_is_left_alone_and_says_so(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    write_deltalake(lake.path(), numbers(1), configuration=AT_ONCE)
    opened(lake, vacuum="1d")
    with caplog.at_level(logging.WARNING, "copyjob"):
        copied(lake, numbers(3), 1, "overwrite")
    assert "delta.deletedFileRetentionDuration" in caplog.text
    assert len(lake.files()) == 2


def test_files_of_a_change_data_feed_go_with_their_age(lake: Lake) -> None:
    opened(lake, vacuum="1d", properties=FEED)
    copied(lake, numbers(3), 1)
    copied(lake, numbers(2, value="new"), 2, "upsert")
    assert any(file.startswith("_change_data/") for file in lake.files())
    age(lake, 2)
    copied(lake, numbers(1, start=9), 3)
    assert not any(file.startswith("_change_data/") for file in lake.files())
    assert len(lake.rows()) == 4


def test_a_table_that_keeps_files_for_ever_does(lake: Lake) -> None:
    ever = {"delta.deletedFileRetentionDuration": "interval 99999999999 weeks"}
    opened(lake, vacuum="1d")
    write_deltalake(lake.path(), numbers(1), configuration=ever)
    copied(lake, numbers(3), 1, "overwrite")
    age(lake, 1000)
    lake.to.clean(aim(numbers(1), 1))
    assert len(lake.files()) == 2


@SOON
def test_what_compaction_left_goes_too(lake: Lake) -> None:
    opened(lake, optimize=True, properties=AT_ONCE)
    for sequence in range(1, 4):
        copied(lake, numbers(2, start=2 * sequence), sequence)
    orphan = Path(lake.path(), compaction.FOLDER, "orphan-0.parquet")
    orphan.write_bytes(b"a process died before it committed this")
    time.sleep(0.01)
    upkeep.vacuum(lake_of(lake.options), "t", timedelta(0))
    assert not orphan.exists()
    copied(lake, numbers(1), 4)
    upkeep.vacuum(lake_of(lake.options), "t", timedelta(0))
    assert len(lake.rows()) == 7
