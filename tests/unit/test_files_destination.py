"""Writing folders of files: what readers see, whenever the writer dies."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copy_core.connectors.base import Destination
from copy_core.connectors.files.connector import open_destination, open_source
from copy_core.connectors.files.ledger import Ledger
from copy_core.connectors.files.store import Entry
from copy_core.connectors.options import LocalOptions
from copy_core.errors import ConfigError, ConflictError, TerminalError
from copy_core.job import WriteMode
from copy_core.model import Commit, Published, Slice, Staged, Target
from copy_core.schema import schema_to_json
from copy_core.watermark import Watermark

MARK = Watermark(kind="int", value="7")


def options(root: Path, **more: Any) -> LocalOptions:
    return LocalOptions(type="local", root=str(root), **more)


def aim(rows: pa.Table, sequence: int = 1, write: WriteMode = "append", **more: Any) -> Target:
    columns = tuple((n, kind, null) for n, kind, null in schema_to_json(rows.schema))
    whereto = {"job": "nightly", "table": "dbo.Orders", "object": "lake/orders"} | more
    return Target(sequence=sequence, write=write, columns=columns, **whereto)


def numbers(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64())})


def staged(to: Destination, target: Target, *parts: pa.Table) -> tuple[Staged, ...]:
    to.prepare(target)
    return tuple(to.stage(target, n, part.to_batches()) for n, part in enumerate(parts))


def load(to: Destination, target: Target, *parts: pa.Table) -> Published:
    commit = Commit(target=target, watermark=MARK, staged=staged(to, target, *parts))
    published = to.publish(commit)
    to.clean(target)
    return published


def seen(of: LocalOptions, name: str = "lake/orders") -> list[int]:
    """What our own reader sees."""
    with open_source(of) as source:
        info = source.describe(name)
        (part,) = source.split(info, Slice(object=name, columns=("id",)), 1)
        return sorted(i for b in source.read(part, 10) for i in b.column("id").to_pylist())


def listed(root: Path, name: str = "lake/orders") -> list[int]:
    """What a reader sees that only lists the folder."""
    with duckdb.connect() as db:
        rows = db.execute(f"SELECT id FROM '{root / name}/*.parquet' ORDER BY id").fetchall()
    return [i for (i,) in rows]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Ends the process before the n-th change to the disk; after it nothing is done any more."""
    left = {"steps": 10**9}

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def step(*args: Any, **more: Any) -> Any:
            left["steps"] -= 1
            if left["steps"] <= 0:
                raise Killed
            return real(*args, **more)

        monkeypatch.setattr(os, name, step)

    for name in ("rename", "replace", "unlink", "fsync", "mkdir"):
        wrap(name)
    return left


@pytest.mark.parametrize("write", ["append", "overwrite"])
@pytest.mark.parametrize("takes_up", ["publish", "last_commit", "clean", "another job"])
def test_wherever_a_publish_dies_readers_see_before_or_after_and_the_next_finishes_it(
    tmp_path: Path, deadly: dict[str, int], write: WriteMode, takes_up: str
) -> None:
    before, new = [1, 2, 3], [4, 5]
    after = new if write == "overwrite" else before + new
    outcomes = []
    for step in range(1, 60):
        root = tmp_path / str(step)
        of = options(root)
        to = open_destination(of)
        load(to, aim(numbers(), 1), numbers(1, 2), numbers(3))
        target = aim(numbers(), 2, write)
        commit = Commit(
            target=target, watermark=MARK, staged=staged(to, target, numbers(4), numbers(5))
        )
        deadly["steps"] = step
        try:
            first = to.publish(commit)
        except Killed:
            first = None
        deadly["steps"] = 10**9
        now = seen(of)
        assert now in (before, after)
        assert any(set(listed(root)) >= set(rows) for rows in (before, after))
        committed = now == after
        outcomes.append(committed)
        if takes_up == "last_commit" or not committed:
            last = to.last_commit("nightly", "dbo.Orders", "lake/orders")
            assert last is not None
            assert last.sequence == (2 if committed else 1)
        elif takes_up == "clean":
            to.clean(target)
        elif takes_up == "another job":
            load(to, aim(numbers(), 1, job="other"), numbers(99))
            assert seen(of) == listed(root) == [*after, 99]
            continue
        if committed and takes_up != "publish":
            assert listed(root) == after
        again = to.publish(commit)
        assert first in (None, again)
        assert (again.sequence, again.rows, again.files, again.watermark) == (2, 2, 2, MARK)
        assert seen(of) == listed(root) == after
        assert to.publish(commit) == again
        to.clean(target)
        assert not [p for p in root.glob("**/_copyjob/**/*") if p.suffix in (".parquet", ".tmp")]
        if first:
            break
    assert outcomes[0] is False
    assert outcomes[-1] is True


@pytest.mark.parametrize("write", ["append", "overwrite"])
def test_a_publish_whose_files_another_one_moves_tells_what_that_has_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: WriteMode
) -> None:
    """It has looked at the ledger already, and looks for what is staged now."""
    of, target = options(tmp_path), aim(numbers(), 1, write)
    to, other = open_destination(of), open_destination(of)
    commit = Commit(target=target, watermark=MARK, staged=staged(to, target, numbers(1, 2)))
    waiting, published = Ledger.waiting, list[Published]()

    def meanwhile(*args: Any) -> Iterator[Entry]:
        monkeypatch.setattr(Ledger, "waiting", waiting)
        published.append(other.publish(commit))
        return waiting(*args)

    monkeypatch.setattr(Ledger, "waiting", meanwhile)
    assert [to.publish(commit)] == published
    assert seen(of) == listed(tmp_path) == [1, 2]


def test_a_process_that_is_killed_while_it_holds_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    of = options(tmp_path)
    load(open_destination(of), aim(numbers()), numbers(1))
    (lock,) = tmp_path.glob("**/.copyjob-lock")
    code = f"""
import os, pathlib
from copy_core import disk
with disk.locked(pathlib.Path({str(lock)!r})):
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    load(open_destination(of), aim(numbers(), 2), numbers(2))
    assert listed(tmp_path) == [1, 2]


def test_names_of_files_tell_where_they_come_from(tmp_path: Path) -> None:
    to = open_destination(options(tmp_path))
    load(to, aim(numbers(), 12), numbers(1), numbers(2))
    names = sorted(p.name for p in (tmp_path / "lake/orders").glob("*.parquet"))
    assert [name[:40] for name in names] == [
        "nightly-dbo_Orders-000012-00000-" + names[0][32:40],
        "nightly-dbo_Orders-000012-00001-" + names[1][32:40],
    ]


def test_the_ledger_stays_small_and_an_old_sequence_is_never_published_again(
    tmp_path: Path,
) -> None:
    to = open_destination(options(tmp_path))
    first = Commit(target=aim(numbers()), watermark=MARK, staged=())
    for sequence in range(1, 31):
        load(to, aim(numbers(), sequence), numbers(sequence))
    ledgers = list((tmp_path / "lake/orders/_copyjob").glob("**/[!.]*.*"))
    assert len(ledgers) == 1
    assert [p.name for p in (tmp_path / "lake/orders/_copyjob").iterdir()] == ["ledger"]
    assert len(json.loads(ledgers[0].read_text())["published"]) < 10
    late = first.model_copy(update={"staged": staged(to, aim(numbers()), numbers(99))})
    with pytest.raises(ConflictError):
        to.publish(late)
    assert listed(tmp_path) == list(range(1, 31))


def test_a_damaged_ledger_is_told_and_nothing_is_published(tmp_path: Path) -> None:
    to = open_destination(options(tmp_path))
    load(to, aim(numbers()), numbers(1))
    (ledger,) = (tmp_path / "lake/orders/_copyjob/ledger").glob("*.json")
    ledger.write_text(ledger.read_text()[:50])
    for act in (
        lambda: to.last_commit("nightly", "dbo.Orders", "lake/orders"),
        lambda: to.prepare(aim(numbers(), 2)),
        lambda: seen(options(tmp_path)),
    ):
        with pytest.raises(TerminalError) as raised:
            act()
        assert raised.value.code == "ledger-damaged"
        assert raised.value.where["file"] == str(ledger)


def test_a_reader_that_was_planned_in_the_middle_of_a_commit_reads_it_after_its_end(
    tmp_path: Path, deadly: dict[str, int]
) -> None:
    of = options(tmp_path)
    to = open_destination(of)
    target = aim(numbers())
    commit = Commit(target=target, watermark=MARK, staged=staged(to, target, numbers(1, 2)))
    ledger = tmp_path / "lake/orders/_copyjob/ledger"
    step = 0
    while not list(ledger.glob("*.json")):
        step += 1
        deadly["steps"] = step
        with pytest.raises(Killed):
            to.publish(commit)
    deadly["steps"] = 10**9
    assert json.loads(next(ledger.glob("*.json")).read_text())["pending"]
    assert not list(tmp_path.glob("lake/orders/*.parquet"))
    with open_source(of) as source:
        info = source.describe("lake/orders")
        (part,) = source.split(info, Slice(object="lake/orders", columns=("id",)), 1)
        now = [b.to_pylist() for b in source.read(part, 10)]
        to.publish(commit)
        to.clean(target)
        assert [b.to_pylist() for b in source.read(part, 10)] == now == [[{"id": 1}, {"id": 2}]]


# What stands in the way


def test_a_file_in_place_of_the_folder_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    with pytest.raises(ConfigError) as raised:
        open_destination(options(tmp_path)).prepare(aim(numbers()))
    assert raised.value.where["table"] == "lake/orders"


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_read() -> None:
    # The kernel's own file system takes no folder from anybody, root included.
    with pytest.raises((ConfigError, TerminalError)) as raised:
        open_destination(options(Path("/proc/self"))).prepare(aim(numbers()))
    assert raised.value.where["table"] == "lake/orders"


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "../out", "/abs", "_hidden"])
def test_a_name_that_no_folder_can_have_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_destination(options(tmp_path)).prepare(aim(numbers(), object=name))
    assert raised.value.where["table"] == name
    assert list(tmp_path.iterdir()) == []


def test_long_names_of_jobs_and_tables_fit_into_a_files_name(tmp_path: Path) -> None:
    to = open_destination(options(tmp_path))
    load(to, aim(numbers(), job="j" * 100, table="表" * 200, object="x" * 255), numbers(1))
    assert listed(tmp_path, "x" * 255) == [1]


@pytest.mark.parametrize("format_", ["parquet", "csv", "jsonl"])
def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path: Path, format_: str) -> None:
    of = options(tmp_path, format=format_)
    to = open_destination(of)
    rows = pa.table({"id": pa.array(range(200_000), pa.int64())})
    target = aim(rows)
    to.prepare(target)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TerminalError) as raised:
            to.stage(target, 0, rows.to_batches(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.code == "disk-full"
    assert raised.value.where["table"] == "lake/orders"
    assert not [p for p in tmp_path.glob("**/*") if p.suffix == f".{format_}"]
    load(to, target, rows)
    assert len(seen(of)) == 200_000


def test_a_disk_that_is_full_at_the_commit_publishes_nothing(tmp_path: Path) -> None:
    of = options(tmp_path)
    to = open_destination(of)
    load(to, aim(numbers()), numbers(1))
    target = aim(numbers(), 2)
    commit = Commit(target=target, watermark=MARK, staged=staged(to, target, numbers(2)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(TerminalError) as raised:
            to.publish(commit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.code == "disk-full"
    assert seen(of) == listed(tmp_path) == [1]
    to.publish(commit)
    assert seen(of) == listed(tmp_path) == [1, 2]


def test_an_overwrite_does_not_pretend_to_replace_folders_below(tmp_path: Path) -> None:
    to = open_destination(options(tmp_path))
    load(to, aim(numbers(), object="lake/orders/old"), numbers(1))
    with pytest.raises(ConfigError) as raised:
        to.prepare(aim(numbers(), write="overwrite"))
    assert raised.value.code == "folder-nested"
    to.prepare(aim(numbers(), write="append"))


def test_columns_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    to = open_destination(options(tmp_path))
    load(to, aim(numbers()), numbers(1))
    with pytest.raises(ConfigError) as raised:
        to.prepare(aim(pa.table({"ID": pa.array([1], pa.int64())}), 2))
    assert raised.value.where["column"] == "ID"


# Text formats


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_text_columns_go_by_name_whatever_their_values_look_like(
    tmp_path: Path, format_: str
) -> None:
    of = options(tmp_path, format=format_, types={"code": "string"})
    to = open_destination(options(tmp_path, format=format_))
    rows = pa.table({"id": pa.array([1], pa.int64()), "code": ["007"]})
    load(to, aim(rows, 1), rows)
    more = pa.table({"code": ["x"], "id": pa.array([2], pa.int64()), "new": [True]})
    load(to, aim(more, 2), more)
    with open_source(of) as source:
        info = source.describe("lake/orders")
        assert info.schema.names == ["id", "code", "new"]
        whole = Slice(object="lake/orders", columns=("id", "code", "new"))
        found = [row for b in source.read(whole, 10) for row in b.to_pylist()]
    assert found == [
        {"id": 1, "code": "007", "new": None},
        {"id": 2, "code": "x", "new": True},
    ]
    with pytest.raises(ConfigError) as raised:
        open_destination(of).prepare(aim(numbers(), 3, drift="fail").model_copy(
            update={"columns": (("code", "int64", "null"),)}
        ))  # fmt: skip
    assert raised.value.where["column"] == "code"


def test_files_without_a_header_take_columns_by_their_place(tmp_path: Path) -> None:
    of = options(tmp_path, format="csv", csv={"header": False})
    to = open_destination(of)
    rows = pa.table({"id": pa.array([1], pa.int64()), "name": ["x"]})
    load(to, aim(rows, 1), rows)
    load(to, aim(rows, 2), rows)
    written = [p.read_text() for p in (tmp_path / "lake/orders").glob("*.csv")]
    assert written == ['1,"x"\n'] * 2
    with pytest.raises(ConfigError) as raised:
        to.prepare(aim(numbers(), 3))
    assert raised.value.code == "column-count"


def test_a_value_that_a_required_column_cannot_hold_is_an_error(tmp_path: Path) -> None:
    to = open_destination(options(tmp_path))
    target = aim(numbers()).model_copy(update={"columns": (("id", "int64", "not null"),)})
    to.prepare(target)
    with pytest.raises(TerminalError):
        to.stage(target, 0, pa.table({"id": pa.array([None], pa.int64())}).to_batches())
    assert not list(tmp_path.glob("**/*.parquet"))


def test_large_parts_become_several_files_of_good_row_groups(tmp_path: Path) -> None:
    to = open_destination(options(tmp_path, file_mb=1))
    rows = pa.table({"id": pa.array(range(3_000_000), pa.int64())})
    target = aim(rows)
    to.prepare(target)
    part = to.stage(target, 0, rows.to_batches(65_536))
    published = to.publish(Commit(target=target, watermark=None, staged=(part,)))
    files = sorted((tmp_path / "lake/orders").glob("*.parquet"))
    assert published.files == len(files) == 3
    assert published.bytes == sum(f.stat().st_size for f in files)
    footers = [pq.read_metadata(f) for f in files]
    assert [m.row_group(0).num_rows for m in footers][:2] == [1_048_576] * 2
