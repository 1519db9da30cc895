"""Publishing into Delta: exactly once whoever races, a ledger that lasts, and a clean-up that
never touches what was published.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from copy_core.connectors.delta import DeltaDestination
from copy_core.connectors.options import DeltaOptions
from copy_core.errors import CopyJobError, TerminalError, TransientError
from copy_core.job import WriteMode
from copy_core.model import Commit, Published
from tests.unit.delta_lake import MARK, Lake, aim, commit, interrupting, numbers


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def publish_in_process(root: str, text: str) -> Published:
    """One publisher among several; tries again as the control flow does."""
    to = DeltaDestination(DeltaOptions(type="delta", root=root))
    for _ in range(20):
        try:
            return to.publish(Commit.model_validate_json(text))
        except TransientError:
            continue
    return to.publish(Commit.model_validate_json(text))


def append_in_process(root: str, start: int) -> None:
    """Another program that appends to the table all the while; an overwrite may get in its way."""
    for number in range(start, start + 5):
        with suppress(CommitFailedError):
            write_deltalake(f"{root}/t", numbers(1, start=number), mode="append")


@pytest.mark.parametrize("write", ["append", "overwrite", "upsert"])
@pytest.mark.parametrize("there", [True, False], ids=["into a table", "into none"])
def test_processes_that_publish_one_sequence_publish_it_once(
    lake: Lake, write: WriteMode, there: bool
) -> None:
    first = 1
    if there:
        lake.load(aim(numbers(1), 1, "append"), numbers(5))
        first = 2
    target = aim(numbers(1), first, write)
    staged = lake.stage(target, numbers(10, start=5), numbers(10, start=15))
    text = commit(target, staged).model_dump_json()
    with ProcessPoolExecutor(6, mp_context=get_context("spawn")) as pool:
        others = [pool.submit(append_in_process, str(lake.root), n) for n in (1000, 2000) if there]
        publishers = [pool.submit(publish_in_process, str(lake.root), text) for _ in range(6)]
        published = [p.result() for p in publishers]
        for other in others:
            other.result()
    assert len({p.model_dump_json() for p in published}) == 1
    assert published[0].rows == 20
    ids = [row["id"] for row in lake.rows() if row["id"] < 1000]
    assert sorted(ids) == list(range(5 if write == "overwrite" or not there else 0, 25))
    marked = [info for info in lake.table().history() if "copyjob" in info]
    assert len(marked) == first
    late = sorted(row["id"] for row in lake.rows() if row["id"] >= 1000)
    if there and write != "overwrite":
        assert late == [*range(1000, 1005), *range(2000, 2005)]


def test_the_ledger_outlives_the_log(lake: Lake) -> None:
    lake.load(aim(numbers(1)), numbers(3))
    published = lake.load(aim(numbers(1), 2), numbers(2, start=3))
    log = lake.root / "t/_delta_log"
    for number in range(3):
        write_deltalake(lake.path(), numbers(1, start=50 + number), mode="append")
    lake.table().create_checkpoint()
    for old in range(4):
        (log / f"{old:020}.json").unlink()
    assert lake.to.last_commit("job", "source", "t") == published
    assert lake.load(aim(numbers(1), 2), numbers(2, start=3)) == published
    lake.to.clean(aim(numbers(1), 2))
    assert len(lake.rows()) == 8
    lake.load(aim(numbers(1), 3), numbers(1, start=9))
    assert len(lake.rows()) == 9


def test_delta_rs_tidies_and_vacuums_around_the_ledger(lake: Lake) -> None:
    for sequence in range(1, 4):
        published = lake.load(aim(numbers(1), sequence), numbers(2, start=sequence * 10))
        lake.to.clean(aim(numbers(1), sequence))
    table = lake.table()
    table.create_checkpoint()
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    lake.table().cleanup_metadata()
    lake.table().vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert lake.to.last_commit("job", "source", "t") == published
    assert len(lake.rows()) == 6


def test_the_log_has_the_record_when_the_file_beside_it_is_lost_or_torn(lake: Lake) -> None:
    published = lake.load(aim(numbers(1)), numbers(3))
    (record,) = (lake.root / "t/_delta_log/_copyjob").rglob("*.json")
    record.write_text('{"after": -1, "publ')
    assert lake.to.last_commit("job", "source", "t") == published
    record.unlink()
    assert lake.to.last_commit("job", "source", "t") == published
    (lake.root / "t/_delta_log/00000000000000000000.json").rename(lake.root / "hidden")
    lake_log = lake.root / "t/_delta_log/00000000000000000000.json"
    lines = (lake.root / "hidden").read_text().splitlines()
    lake_log.write_text("\n".join(line for line in lines if "commitInfo" not in line))
    with pytest.raises(TerminalError) as lost:
        lake.to.last_commit("job", "source", "t")
    assert lost.value.code == "ledger-lost"


def test_a_record_of_an_attempt_that_never_committed_says_nothing(lake: Lake) -> None:
    lake.load(aim(numbers(1)), numbers(3))
    (record,) = (lake.root / "t/_delta_log/_copyjob").rglob("*.json")
    noted = json.loads(record.read_text())
    noted["published"]["sequence"] = 2
    record.with_name("2-0000000000000000.json").write_text(json.dumps(noted))
    last = lake.to.last_commit("job", "source", "t")
    assert last is not None
    assert last.sequence == 1


def test_the_commit_tells_people_what_it_was(lake: Lake) -> None:
    published = lake.load(aim(numbers(1)), numbers(3))
    (info,) = lake.table().history()
    assert info["copyjob"]["published"] == published.to_json()
    assert published.watermark == MARK
    assert lake.table().transaction_version(info["copyjob"]["ledger"]) == 1


def test_what_was_published_stays_when_it_has_left_the_table(lake: Lake) -> None:
    lake.load(aim(numbers(1), 1, "overwrite"), numbers(3))
    lake.to.clean(aim(numbers(1), 1))
    lake.load(aim(numbers(1), 2, "overwrite"), numbers(3, start=3))
    for sequence in (1, 2):
        lake.to.clean(aim(numbers(1), sequence))
    assert [row["id"] for row in lake.rows(version=0)] == [0, 1, 2]
    lake.table().optimize.compact()
    lake.to.clean(aim(numbers(1), 2))
    assert [row["id"] for row in lake.rows(version=1)] == [3, 4, 5]


def test_cleaning_finds_the_commit_among_those_of_others(lake: Lake) -> None:
    for sequence in (1, 2):
        target = aim(numbers(1), sequence, "overwrite")
        lake.stage(target, numbers(9, start=90))
        lake.load(target, numbers(3, start=3 * sequence))
        for _ in range(3):
            write_deltalake(lake.path(), numbers(1, start=50), mode="append")
        lake.to.clean(target)
    versions = lake.table().version()
    assert [row["id"] for row in lake.rows(version=versions - 3)] == [6, 7, 8]
    assert [row["id"] for row in lake.rows(version=0)] == [3, 4, 5]
    ours = [file for file in lake.files() if file.startswith("copyjob/")]
    assert len(ours) == 2


def test_cleaning_does_not_look_at_sequences_long_past(lake: Lake) -> None:
    for sequence in range(1, 6):
        target = aim(numbers(1), sequence)
        lake.load(target, numbers(1, start=sequence))
        lake.to.clean(target)
    (folder,) = (lake.root / "t/copyjob").iterdir()
    stray = folder / "1" / "stray.parquet"
    stray.write_bytes(b"")
    target = aim(numbers(1), 6)
    lake.load(target, numbers(1, start=6))
    lake.to.clean(target)
    assert stray.exists()
    (records,) = (lake.root / "t/_delta_log/_copyjob").iterdir()
    assert len(list(records.iterdir())) == 2


@pytest.mark.parametrize("late", [1, 2, 3])
def test_a_run_that_cleans_long_after_others_spares_older_versions(lake: Lake, late: int) -> None:
    """It slept between its commit and its cleaning, or staged a part after all was over."""
    for sequence in range(1, 5):
        target = aim(numbers(1), sequence, "overwrite")
        lake.load(target, numbers(2, start=sequence * 10))
        lake.to.clean(target)
    files = lake.files()
    lake.stage(aim(numbers(1), late, "overwrite"), numbers(3))
    lake.to.clean(aim(numbers(1), late, "overwrite"))
    assert set(lake.files()) >= set(files)
    for version in range(4):
        assert len(lake.rows(version=version)) == 2
    assert len(lake.files()) == len(files) + (late < 3)


def test_cleaning_spares_the_tables_files_when_its_records_are_gone(lake: Lake) -> None:
    for sequence in (1, 2):
        lake.load(aim(numbers(1), sequence), numbers(3, start=3 * sequence))
    for record in (lake.root / "t/_delta_log/_copyjob").rglob("*.json"):
        record.unlink()
    lake.to.clean(aim(numbers(1), 2))
    assert len(lake.rows()) == 6


def test_an_upsert_leaves_no_file_that_is_not_the_tables(lake: Lake) -> None:
    lake.load(aim(numbers(1), 1, "upsert"), numbers(10))
    target = aim(numbers(1).append_column("at", pa.array([1])), 2, "upsert", order_by="at")
    old = numbers(3, value="old").append_column("at", pa.array([1, 1, 1]))
    new = numbers(3, value="new").append_column("at", pa.array([2, 2, 2]))
    published = lake.load(target, old, new)
    assert (published.rows, published.superseded) == (3, 3)
    lake.to.clean(target)
    known = {file for v in range(3) for file in relative(lake.table(version=v))}
    assert set(lake.files()) == known
    assert [row["v"] for row in lake.rows()][:3] == ["new0", "new1", "new2"]


def test_a_file_that_shrank_is_missed(lake: Lake) -> None:
    target = aim(numbers(1))
    staged = lake.stage(target, numbers(3))
    path = lake.root / "t" / staged[0].ref["files"][0]["path"]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TerminalError) as missing:
        lake.to.publish(commit(target, staged))
    assert missing.value.code == "staged-missing"
    assert not DeltaTable.is_deltatable(lake.path())


def test_a_table_that_changed_under_what_was_staged_is_no_silent_mix(lake: Lake) -> None:
    write_deltalake(lake.path(), numbers(1))
    target = aim(numbers(1), 1, drift="ignore")
    staged = lake.stage(target, numbers(3))
    changed = pa.table({"id": pa.array([1], pa.int64()), "v": [2]})
    write_deltalake(lake.path(), changed, mode="overwrite", schema_mode="overwrite")
    with pytest.raises(CopyJobError) as refused:
        lake.to.publish(commit(target, staged))
    assert refused.value.code == "incompatible-type"
    assert refused.value.where["column"] == "v"
    assert len(lake.rows()) == 1


def test_a_column_that_was_dropped_after_staging_is_missed(lake: Lake) -> None:
    write_deltalake(lake.path(), numbers(1))
    target = aim(numbers(1), 1, drift="ignore")
    staged = lake.stage(target, numbers(3))
    write_deltalake(
        lake.path(), numbers(1).select(["id"]), mode="overwrite", schema_mode="overwrite"
    )
    with pytest.raises(TerminalError) as refused:
        lake.to.publish(commit(target, staged))
    assert refused.value.code == "table-changed"
    assert len(lake.rows()) == 1


def test_an_unrelated_commit_between_reading_and_overwriting_is_not_half_kept(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.load(aim(numbers(1), 1, "overwrite"), numbers(3))
    target = aim(numbers(1), 2, "overwrite")
    staged = lake.stage(target, numbers(3, start=3))
    interrupting(
        monkeypatch, lambda: write_deltalake(lake.path(), numbers(1, start=99), mode="append")
    )
    lake.to.publish(commit(target, staged))
    assert [row["id"] for row in lake.rows()] == [3, 4, 5]


def test_an_upsert_sees_the_key_that_somebody_else_just_wrote(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.load(aim(numbers(1), 1, "upsert"), numbers(3))
    target = aim(numbers(1), 2, "upsert")
    staged = lake.stage(target, numbers(1, start=99, value="ours"))
    interrupting(
        monkeypatch,
        lambda: write_deltalake(lake.path(), numbers(1, start=99, value="theirs"), mode="append"),
    )
    lake.to.publish(commit(target, staged))
    assert [row["v"] for row in lake.rows() if row["id"] == 99] == ["ours99"]


def relative(table: DeltaTable) -> list[str]:
    root = table.table_uri.removeprefix("file://")
    return [uri.removeprefix("file://").removeprefix(root).lstrip("/") for uri in table.file_uris()]
