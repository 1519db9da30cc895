"""Copies of whole objects, through jobs, from one folder of this machine to another."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from copy_core import jobfile
from copy_core.cli import main
from copy_core.connectors.files import objects, parcel, received
from copy_core.connectors.files.manifest import Placed
from copy_core.connectors.files.store import Entry, Store
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.registry import open_source
from copy_core.context import Context
from copy_core.errors import ConfigError, TransientError
from copy_core.model import Commit, Published, RunSummary, Slice, TableResult
from copy_core.rewind import rewind
from copy_core.runners.local import LocalRunner
from copy_core.state import lease, tables
from copy_core.state.sqlite import SqliteStateStore
from copy_core.steps import Steps
from copy_core.transfer import transfer


class House:
    """A job that copies objects between two folders, and its state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = SqliteStateStore(folder / "state.db")
        self.source, self.destination = folder / "from", folder / "to"
        self.source.mkdir()
        self.settings: dict[str, Any] = {}
        self.formats = ["binary", "binary"]
        self.retries = 1

    def lose_state(self, name: str = "new") -> None:
        """Goes on with an empty state."""
        self.state.close()
        self.state = SqliteStateStore(self.folder / f"{name}.db")

    def put(self, path: str, text: str = "x", below: Path | None = None) -> None:
        file = (below or self.source) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def found(self, below: Path | None = None) -> dict[str, str]:
        """What lies at the destination, ledgers and what waits aside."""
        root = below or self.destination
        files = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
        return {k: p.read_text() for k, p in files.items() if "_copyjob" not in k.split("/")}

    def context(self, *sources: str) -> Context:
        roots = zip(("from", "to"), (self.source, self.destination), self.formats, strict=True)
        entries = [{"source": name, **self.settings} for name in sources or ["in"]]
        job = {
            "name": "job",
            "source": "from",
            "destination": "to",
            "limits": {"retries": self.retries},
            "tables": entries,
            "connections": {
                name: {"type": "local", "root": str(root), "format": format_}
                for name, root, format_ in roots
            },
        }
        path = self.folder / "job.json"
        path.write_text(json.dumps(job))
        loaded = jobfile.load(path)
        return Context(loaded.job, loaded.connections, self.state)

    def rewind(self, value: str) -> None:
        context = self.context()
        with open_source(context.connection("from")) as source:
            rewind(self.state, context.job, "in", value, source)

    def run(self, *sources: str) -> RunSummary:
        return LocalRunner(self.context(*sources)).run()

    def one(self, source: str = "in") -> TableResult:
        (result,) = self.run(source).tables
        assert result.error is None, result.error
        return result

    def refused(self, source: str = "in") -> dict[str, Any]:
        (result,) = self.run(source).tables
        assert result.status == "failed"
        assert result.error is not None
        return result.error


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.state.close()


def counts(result: TableResult) -> tuple[Any, ...]:
    assert (result.rows_read, result.rows_written) == (0, 0)
    return result.status, result.files_read, result.files_written


def test_a_folder_is_copied_with_all_that_is_below_it(house: House) -> None:
    files = {"a": "1", "b/c d.txt": "22", "b/é%+.csv": "", "_hidden/.x": "4", "b/_copy": "5"}
    for path, text in files.items():
        house.put(f"in/{path}", text)
    house.put("inside", "not in the folder")
    house.put("in/_copyjob/ledger/x.json", "{}")
    result = house.one()
    assert counts(result) == ("copied", 5, 5)
    assert (result.bytes_read, result.bytes_written) == (5, 5)
    assert house.found() == {f"in/{path}": text for path, text in files.items()}


def test_the_root_is_a_folder_too(house: House) -> None:
    house.put("a")
    house.put("b/c")
    house.settings = {"destination": "all"}
    assert counts(house.one(".")) == ("copied", 2, 2)
    assert set(house.found()) == {"all/a", "all/b/c"}
    house.settings = {"destination": "."}
    house.destination = house.folder / "other"
    house.lose_state()
    assert counts(house.one(".")) == ("copied", 2, 2)
    assert set(house.found()) == {"a", "b/c"}


@pytest.mark.parametrize(
    ("source", "copied"),
    [
        ("in/b.csv", {"b.csv"}),
        ("in/*.csv", {"a.csv", "b.csv"}),
        ("in/**/*.csv", {"a.csv", "b.csv", "x/c.csv"}),
        ("i?/x/*", {"in/x/c.csv", "in/x/d.txt"}),
    ],
)
def test_an_object_or_a_pattern_is_copied_into_a_folder(
    house: House, source: str, copied: set[str]
) -> None:
    for path in ("a.csv", "b.csv", "x/c.csv", "x/d.txt"):
        house.put(f"in/{path}")
    house.settings = {"destination": "there"}
    assert counts(house.one(source)) == ("copied", len(copied), len(copied))
    assert set(house.found()) == {f"there/{path}" for path in copied}


@pytest.mark.parametrize("source", ["in/b.csv", "in/*.csv"])
def test_an_object_or_a_pattern_needs_a_folder_to_go_to(house: House, source: str) -> None:
    house.put("in/b.csv")
    assert house.refused(source)["code"] == "destination-missing"


def test_patterns_choose_below_the_folder(house: House) -> None:
    for path in ("a.csv", "b.txt", "old/a.csv", "new/a.csv", "new/_x.csv"):
        house.put(f"in/{path}")
    house.settings = {"include": ["**/*.csv"], "exclude": ["old/**", "**/_*"]}
    assert counts(house.one()) == ("copied", 2, 2)
    assert set(house.found()) == {"in/a.csv", "in/new/a.csv"}


def test_an_increment_copies_what_is_new_and_what_changed(house: House) -> None:
    house.settings = {"mode": "incremental"}
    house.put("in/a", "1")
    house.put("in/b", "1")
    first = house.one()
    assert (first.load_type, *counts(first)) == ("full", "copied", 2, 2)
    assert counts(house.one()) == ("unchanged", 0, 0)
    house.put("in/b", "2")
    house.put("in/c", "2")
    second = house.one()
    assert (second.load_type, *counts(second)) == ("incremental", "copied", 2, 2)
    assert second.lower_bound == first.upper_bound
    assert house.found() == {"in/a": "1", "in/b": "2", "in/c": "2"}
    assert counts(house.one()) == ("unchanged", 0, 0)


def test_a_file_of_the_very_instant_of_the_watermark_is_not_missed(house: House) -> None:
    house.settings = {"mode": "incremental"}
    for n in range(30):
        house.put(f"in/{n}", str(n))
        house.one()
    assert house.found() == {f"in/{n}": str(n) for n in range(30)}


def test_nothing_new_in_a_folder_that_was_emptied_is_no_error(house: House) -> None:
    house.settings = {"mode": "incremental"}
    house.put("in/a")
    house.one()
    (house.source / "in/a").unlink()
    (house.source / "in").rmdir()
    assert counts(house.one()) == ("unchanged", 0, 0)


def test_a_folder_that_is_not_there_is_an_error_that_names_those_that_are(house: House) -> None:
    house.put("input/a")
    house.settings = {"write": "overwrite"}
    house.put("in/old", below=house.destination)
    error = house.refused("inptu")
    assert (error["code"], error["fix"]) == ("table-missing", "Did you mean input?")
    assert set(house.found()) == {"in/old"}


def test_changed_patterns_are_refused_until_the_table_is_reset(house: House) -> None:
    house.settings = {"mode": "incremental", "include": ["*.csv"]}
    house.put("in/a.csv")
    house.one()
    house.settings["include"] = ["*"]
    error = house.refused()
    assert error["code"] == "definition-changed"
    assert "patterns to include changed from *.csv to *" in error["message"]


def test_an_overwrite_mirrors_the_folder_and_leaves_others_alone(house: House) -> None:
    house.settings = {"write": "overwrite"}
    for path in ("a", "b", "x/c"):
        house.put(f"in/{path}", "new")
    for path in ("in/0", "in/a", "in/b.old", "in/x/d", "in/z/e", "inside", "j"):
        house.put(path, "old", below=house.destination)
    assert counts(house.one()) == ("copied", 3, 3)
    mine = {"in/a": "new", "in/b": "new", "in/x/c": "new"}
    assert house.found() == {**mine, "inside": "old", "j": "old"}
    (house.source / "in/b").unlink()
    house.put("in/c", "more")
    assert counts(house.one()) == ("copied", 3, 3)
    assert set(house.found()) == {"in/a", "in/c", "in/x/c", "inside", "j"}


def test_an_append_replaces_what_has_the_same_name_and_keeps_the_rest(house: House) -> None:
    house.put("in/a", "new")
    house.put("in/a", "old", below=house.destination)
    house.put("in/b", "old", below=house.destination)
    house.one()
    assert house.found() == {"in/a": "new", "in/b": "old"}


def test_an_overwrite_of_a_folder_that_others_write_into_is_refused(house: House) -> None:
    house.put("in/a")
    house.put("other/a")
    house.settings = {"destination": "there/other"}
    house.one("other")
    house.settings = {"destination": "there", "write": "overwrite"}
    error = house.refused()
    assert (error["code"], error["where"]["file"]) == ("folder-nested", "there/other")
    assert set(house.found()) == {"there/other/a"}


def test_flattened_objects_lose_their_folders(house: House) -> None:
    house.settings = {"hierarchy": "flatten"}
    house.put("in/x/a")
    house.put("in/y/z/b")
    house.put("in/c")
    assert counts(house.one()) == ("copied", 3, 3)
    assert set(house.found()) == {"in/a", "in/b", "in/c"}


@pytest.mark.parametrize("parts", [1, 3])
def test_flattened_objects_of_one_name_are_refused(house: House, parts: int) -> None:
    house.settings = {"hierarchy": "flatten", "parts": parts, "delete_source": True}
    for path in ("x/a", "x/b", "y/c", "z/a"):
        house.put(f"in/{path}")
    error = house.refused()
    assert error["code"] == "name-twice"
    assert "'in/x/a' and 'in/z/a' would both be called 'in/a'" in error["message"]
    assert set(house.found(house.source)) == {"in/x/a", "in/x/b", "in/y/c", "in/z/a"}
    (house.source / "in/z/a").unlink()
    house.one()
    assert set(house.found()) == {"in/a", "in/b", "in/c"}


def test_objects_go_from_the_source_once_they_are_committed(house: House) -> None:
    house.settings = {"delete_source": True, "mode": "incremental", "exclude": ["keep"]}
    house.put("in/a", "1")
    house.put("in/keep", "1")
    assert counts(house.one()) == ("copied", 1, 1)
    assert set(house.found(house.source)) == {"in/keep"}
    house.put("in/a", "2")
    assert counts(house.one()) == ("copied", 1, 1)
    assert house.found(house.source) == {"in/keep": "1"}
    assert house.found() == {"in/a": "2"}


def test_what_changed_after_it_was_copied_stays_at_the_source(house: House) -> None:
    house.put("in/a", "1")
    house.put("in/b", "1")
    store = LocalStore(str(house.source))
    copied = [Placed(e.key, e.key, e.etag) for e in store.list("in/")]
    before = (house.source / "in/b").stat().st_ctime_ns
    while (house.source / "in/b").stat().st_ctime_ns == before:  # until the kernel's clock ticks
        house.put("in/b", "2")
    objects.ObjectSource(store, house.context().connections["from"]).discard(copied)  # type: ignore[arg-type]
    assert house.found(house.source) == {"in/b": "2"}


def test_what_is_replaced_as_it_is_removed_goes_with_the_next_window(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.settings = {"delete_source": True, "mode": "incremental"}
    house.put("in/a", "1")
    house.put("in/b", "1")
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        if path == house.source / "in/b":
            house.put("new", "2")
            (house.source / "new").replace(path)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", late)
        assert counts(house.one()) == ("copied", 2, 2)
    assert house.found(house.source) == {"in/b": "2"}
    assert house.found() == {"in/a": "1", "in/b": "1"}
    assert counts(house.one()) == ("copied", 1, 1)
    assert house.found(house.source) == {}
    assert house.found() == {"in/a": "1", "in/b": "2"}


DIES = """
import os, sys
from pathlib import Path
from copy_core import jobfile
from copy_core.context import Context
from copy_core.runners.local import LocalRunner
from copy_core.state.sqlite import SqliteStateStore

replacing = sys.argv[3] == "another"
rename = Path.rename

def dies(path, target):
    if replacing:
        path.with_name("new").write_text("2")
        path.with_name("new").replace(path)
    rename(path, target)
    os.kill(os.getpid(), 9)

Path.rename = dies
loaded = jobfile.load(Path(sys.argv[1]))
LocalRunner(Context(loaded.job, loaded.connections, SqliteStateStore(Path(sys.argv[2])))).run()
"""


@pytest.mark.parametrize(("taken", "text"), [("what was copied", "1"), ("another", "2")])
def test_what_a_run_had_taken_from_the_source_when_it_died_is_not_lost(
    house: House, taken: str, text: str
) -> None:
    house.settings = {"delete_source": True, "mode": "incremental"}
    house.put("in/a", "1")
    house.context()
    command = [sys.executable, "-c", DIES, *map(str, (house.folder / "job.json", house.folder))]
    command[-1] += "/state.db"
    assert subprocess.run([*command, taken], check=False).returncode == -9
    assert house.found(house.source) == {}
    assert house.found() == {"in/a": "1"}
    house.one()
    assert house.found(house.source) == {}
    assert house.found() == {"in/a": text}
    assert [path.name for path in house.source.rglob("*")] == ["in"]


def test_a_run_that_died_before_it_removed_the_source_does_so_next_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.settings = {"delete_source": True}
    house.put("in/a", "1")

    def away(*_: object) -> None:
        raise TransientError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(objects.ObjectSource, "discard", away)
        house.one()
    assert set(house.found(house.source)) == {"in/a"}
    assert counts(house.one()) == ("copied", 0, 0)
    assert house.found(house.source) == {}
    assert house.found() == {"in/a": "1"}


def test_a_part_that_ends_twice_leaves_it_to_the_commit_to_remove_the_source(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second end comes after the publish, and before the commit."""
    house.settings = {"delete_source": True}
    house.put("in/a", "1")
    steps = Steps(house.context())

    def twice(context: Context, pending: tables.Pending, part: tables.Part) -> tables.Part:
        monkeypatch.setattr("copy_core.table_steps.transfer", transfer)
        late = transfer(context, pending, part)
        arg = {"run_id": pending.run_id, "table": "in", "plan_id": pending.plan_id}
        assert steps.copy_part({**arg, "part": part.number}).status == "done"
        assert steps.publish(arg).status == "done"
        return late

    monkeypatch.setattr("copy_core.table_steps.transfer", twice)
    assert counts(house.one()) == ("copied", 1, 1)
    assert house.found(house.source) == {}
    assert house.found() == {"in/a": "1"}
    assert not list(house.destination.rglob("staging"))


def test_a_run_that_cleans_long_after_others_leaves_them_what_their_commit_needs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.settings = {"delete_source": True, "mode": "incremental"}
    house.put("in/a", "1")
    house.one()
    publish = received.ObjectDestination.publish

    def meanwhile(to: received.ObjectDestination, commit: Commit) -> Published:
        published = publish(to, commit)
        to.clean(commit.target.model_copy(update={"sequence": 1}))
        return published

    monkeypatch.setattr(received.ObjectDestination, "publish", meanwhile)
    house.put("in/b", "2")
    assert counts(house.one()) == ("copied", 1, 1)
    assert house.found(house.source) == {}


def test_a_mirror_that_died_after_its_commit_is_finished_by_the_next_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.settings = {"write": "overwrite", "mode": "full"}
    house.put("in/a", "1")
    house.put("in/b", "old", below=house.destination)

    def away(*_: object) -> None:
        raise TransientError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(received.ObjectDestination, "_mirror", away)
        assert house.refused()["message"] == "the store is away"
    assert set(house.found()) == {"in/a", "in/b"}
    result = house.one()
    assert result.resumed
    assert house.found() == {"in/a": "1"}


def test_a_mirror_that_sleeps_removes_nothing_that_a_later_copy_has_placed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has chosen what is to go, and lost its job since."""
    house.settings = {"write": "overwrite", "mode": "full"}
    house.put("in/a", "1")
    house.put("in/b", "old", below=house.destination)
    mirror = received.ObjectDestination._mirror

    def listed(store: Store, prefix: str = "", after: str = "") -> Iterator[Entry]:
        yield from type(store).list(store, prefix, after)
        monkeypatch.undo()
        house.put("in/b", "new")
        held = lease.holder_of(house.state, "job")
        assert held is not None
        lease.release(house.state, "job", held.run_id)  # as time does
        assert house.one().resumed

    def slow(to: received.ObjectDestination, *args: Any) -> None:
        monkeypatch.setattr(to.store, "list", partial(listed, to.store))
        mirror(to, *args)

    monkeypatch.setattr(received.ObjectDestination, "_mirror", slow)
    assert house.refused()["recovery"] == "conflict"
    assert house.found() == {"in/a": "1", "in/b": "new"}


@pytest.mark.parametrize(("small", "taking"), [(True, "fetch"), (False, "read")])
def test_a_run_that_sleeps_with_an_object_in_hand_does_not_place_it_over_a_newer_one(
    house: House, monkeypatch: pytest.MonkeyPatch, taking: str, *, small: bool
) -> None:
    house.settings = {"mode": "incremental"}
    house.put("in/a", "old")
    take = getattr(LocalStore, taking)

    def slow(store: LocalStore, entry: Entry, *which: int) -> Any:
        data = take(store, entry, *which)
        if entry.key != "in/a":
            return data
        monkeypatch.setattr(LocalStore, taking, take)
        house.put("in/a", "new")
        held = lease.holder_of(house.state, "job")
        assert held is not None
        lease.release(house.state, "job", held.run_id)  # as time does
        assert counts(house.one()) == ("copied", 1, 1)
        late = lease.elapsed() + 3600
        monkeypatch.setattr(lease, "elapsed", lambda: late)
        return data

    monkeypatch.setattr(parcel, "PIECE", 3 if small else 2)  # bytes, as the file has
    monkeypatch.setattr(LocalStore, taking, slow)
    assert house.refused()["recovery"] == "conflict"
    assert house.found() == {"in/a": "new"}


def test_parts_are_ranges_of_keys_that_hold_every_object_once(house: House) -> None:
    names = [f"in/{n:03}" for n in range(60)]
    for name in names:
        house.put(name)
    context = house.context()
    source = open_source(context.connection("from"))
    assert isinstance(source, objects.ObjectSource)
    info = source.describe("in")
    assert (info.rows, info.bytes) == (60, 60)
    whole = Slice(object="in", columns=("path",), exclude=("01?",))
    slices = source.split(info, whole, 4)
    assert len(slices) == 4
    listed = [path for s in slices for b in source.read(s, 7) for path in b["path"].to_pylist()]
    assert listed == [f"{n:03}" for n in range(60) if n // 10 != 1]
    house.put("in/0205")
    again = [path for s in slices for b in source.read(s, 7) for path in b["path"].to_pylist()]
    assert "0205" in again


def test_a_copy_in_parts_is_whole(house: House) -> None:
    house.settings = {"parts": 5, "write": "overwrite"}
    for n in range(40):
        house.put(f"in/{n // 7}/{n}", str(n))
    house.put("in/9", "old", below=house.destination)
    result = house.one()
    assert (result.parts, *counts(result)) == (5, "copied", 40, 40)
    assert house.found() == {f"in/{n // 7}/{n}": str(n) for n in range(40)}
    assert not list((house.destination / "in/_copyjob/staging").rglob("*.gz"))


def test_a_lost_state_finds_the_watermark_in_the_ledger(house: House) -> None:
    house.settings = {"mode": "incremental"}
    house.put("in/a", "1")
    upper = house.one().upper_bound
    house.lose_state()
    assert counts(house.one()) == ("unchanged", 0, 0)
    state, _ = tables.load(house.state, "job", "in")
    assert state.watermark is not None
    assert state.watermark.value == upper


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"columns": ["path"]}, "columns"),
        ({"filter": [{"column": "size", "op": ">", "value": 3}]}, "filter"),
        ({"audit": {"run": "run_id"}}, "audit"),
        ({"keys": ["path"]}, "keys"),
    ],
)
def test_what_is_for_rows_means_nothing(
    house: House, settings: dict[str, Any], setting: str
) -> None:
    house.put("in/a")
    house.settings = settings
    error = house.refused()
    assert error["code"] == "setting-not-offered"
    assert error["message"] == f"`{setting}` means nothing for files that are copied as they are"


@pytest.mark.parametrize("formats", [["binary", "parquet"], ["csv", "binary"]])
def test_objects_and_rows_do_not_mix(house: House, formats: list[str]) -> None:
    house.put("in/a")
    house.formats = formats
    error = house.refused()
    assert error["code"] == "format-mismatch"
    assert "`binary` for both" in error["fix"]


@pytest.mark.parametrize(
    ("source", "settings", "refused"),
    [
        ("in", {"destination": "in/copy"}, True),
        ("in", {"destination": "copy"}, False),
        ("in", {"destination": "."}, False),
        ("in", {"destination": ".", "write": "overwrite"}, True),
        (".", {"destination": "copy"}, True),
        ("in/a", {"destination": "in"}, True),
        ("in/a", {"destination": "in/copy"}, False),
    ],
)
def test_objects_are_not_copied_into_their_own_folder(
    house: House, source: str, settings: dict[str, Any], refused: bool
) -> None:
    house.put("in/a")
    house.destination = house.source
    house.settings = settings
    if refused:
        assert house.refused(source)["code"] == "copied-onto-itself"
        assert set(house.found()) == {"in/a"}
    else:
        assert counts(house.one(source)) == ("copied", 1, 1)


@pytest.mark.parametrize("name", ["../in", "/in", "a/../in", "in//x"])
def test_names_that_lead_out_of_the_root_are_refused(house: House, name: str) -> None:
    house.put("in/a")
    assert house.refused(name)["code"] == "path-outside"


def test_a_folder_that_somebody_writes_to_while_it_is_copied(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.settings = {"mode": "incremental"}
    for n in range(20):
        house.put(f"in/{n:02}", "1")
    reads = _counted(monkeypatch, lambda n: house.put("in/19", "2") if n == 5 else None)
    first = house.one()
    assert reads() > 5
    later = counts(house.one())
    assert house.found() == {f"in/{n:02}": "2" if n == 19 else "1" for n in range(20)}
    assert counts(first)[1] + later[1] in (20, 21)


def _counted(monkeypatch: pytest.MonkeyPatch, then: Callable[[int], None]) -> Callable[[], int]:
    """Has something happen as the objects are read; gives how many were."""
    read, count = LocalStore.read, 0

    def counted(self: LocalStore, *args: Any) -> bytes:
        nonlocal count
        if args[0].key.startswith("in/") and "_copyjob" not in args[0].key:
            count += 1
            then(count)
        return read(self, *args)

    monkeypatch.setattr(LocalStore, "read", counted)
    return lambda: count


def test_patterns_of_files_mean_nothing_where_rows_are_in_no_files(tmp_path: Path) -> None:
    job = {
        "name": "job",
        "source": "from",
        "destination": "to",
        "tables": [{"source": "t", "include": ["*.csv"]}],
        "connections": {
            "from": {"type": "sqlite", "path": str(tmp_path / "a.db")},
            "to": {"type": "memory"},
        },
    }
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    loaded = jobfile.load(path)
    with SqliteStateStore(tmp_path / "state.db") as state:
        (result,) = LocalRunner(Context(loaded.job, loaded.connections, state)).run().tables
    assert result.error is not None
    assert result.error["code"] == "setting-not-offered"


def test_names_of_folders_are_found_without_looking_at_all_that_is_in_them(house: House) -> None:
    for n in range(50):
        house.put(f"big/{n}")
    house.put("a")
    house.put("other/x")
    source = open_source(house.context().connection("from"))
    assert source.objects() == ["a", "big", "other"]
    assert os.fspath(house.source)
    with pytest.raises(ConfigError):
        source.describe("..")


def test_the_command_line_counts_files_where_there_are_no_rows(house: House) -> None:
    house.put("in/a", "123")
    house.put("in/b")
    house.context()
    job = str(house.folder / "job.json")
    planned = CliRunner().invoke(main, ["plan", job])
    assert "full load, about 2 files, append, 1 part" in planned.output
    assert "path up to in/b" in planned.output
    as_json = json.loads(CliRunner().invoke(main, ["plan", job, "--json"]).output)
    (table,) = as_json["tables"]
    assert (table["rows_expected"], table["files_expected"]) == (None, 2)
    run = CliRunner().invoke(main, ["run", job])
    assert run.exit_code == 0
    assert "in: copying about 2 files" in run.output
    assert "in: copied 2 files in " in run.output
    assert " · 2 files in " in run.output
    assert "row" not in run.output.replace("Rows/s", "")


def test_a_watermark_that_is_set_back_has_objects_copied_again(house: House) -> None:
    house.settings = {"mode": "incremental", "include": ["*"]}
    house.put("in/a")
    house.one()
    house.rewind("2020-01-01T00:00:00Z")
    assert counts(house.one()) == ("copied", 1, 1)
    assert counts(house.one()) == ("unchanged", 0, 0)
    with pytest.raises(ConfigError) as caught:
        house.rewind("yesterday")
    assert caught.value.code == "watermark-value"


class Away:
    """Has every store of this machine go away for good at its n-th write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        self._lock = threading.Lock()
        for name in ("put", "upload", "remove", "discard"):
            monkeypatch.setattr(LocalStore, name, self._guarded(getattr(LocalStore, name)))

    def _guarded(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **more: Any) -> Any:
            with self._lock:
                self.left -= 1
                if self.left < 0:
                    raise TransientError("the store is away")
            return work(*args, **more)

        return guarded


@pytest.mark.parametrize(
    "settings",
    [
        {"write": "overwrite", "parts": 2},
        {"delete_source": True, "mode": "incremental"},
        {"delete_source": True, "hierarchy": "flatten", "parts": 3},
    ],
)
def test_a_store_that_goes_away_at_any_write_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(parcel, "_TRIES", 1)
    house.settings = settings
    house.retries = 0
    mirrors, moves = "write" in settings, "delete_source" in settings
    mine = {f"in/{n % 2}/{n}": str(n) for n in range(6)}
    if "hierarchy" in settings:
        mine = {f"in/{n}": str(n) for n in range(6)}
    ends = 0
    for after in range(200):
        house.lose_state(str(after))
        house.destination = house.folder / f"to{after}"
        for n in range(6):
            house.put(f"in/{n % 2}/{n}", str(n))
        house.put("in/old", "old", below=house.destination)
        with monkeypatch.context() as patch:
            away = Away(patch, after)
            first = house.run("in")
        copied = {k: v for k, v in house.found().items() if k != "in/old"}
        assert copied.items() <= mine.items()
        assert moves or len(house.found(house.source)) == 6
        assert {*house.found(house.source).values(), *copied.values()} == set("012345")
        house.one()
        assert house.found() == (mine if mirrors else {**mine, "in/old": "old"})
        if moves:
            house.one()
            assert not house.found(house.source)
        assert not list((house.destination / "in/_copyjob/staging").rglob("*.json*"))
        ends += first.status == "succeeded"
        if away.left >= 0:
            break
    assert away.left >= 0
    assert ends >= 1
