"""Destinations that cannot be written, are damaged, or run full."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError

from copy_core.connectors.delta.faults import translate
from tests.badinput.desk import Desk, between, can_mount, mounted, to_each, told
from tests.badinput.places import TABLE, Delta, Sqlite, sales

FOLDERS = ("delta", "parquet", "csv", "jsonl")


def aim(desk: Desk, path: Path) -> None:
    """Makes the job write below another path."""
    place = desk.connections["to"]
    place["path" if "path" in place else "root"] = str(path)


@to_each()
@pytest.mark.parametrize("where", ["a-file", "/proc/copyjob", "/sys/copyjob", "/dev/null/x"])
def test_a_place_that_cannot_be_written(desk: Desk, where: str) -> None:
    desk.source.add(sales(1, 2, 3))
    path = desk.folder / where
    if where == "a-file":
        path.write_text("I was here first.")
        path = path / "below" if isinstance(desk.destination, Sqlite) else path
    aim(desk, path)
    ran = desk.run()
    assert ran.exit == 1, ran
    error = ran.error
    assert error["fix"], error
    shown = path.parent if where == "/dev/null/x" else path
    assert str(shown) in error["message"] + error["where"].get("file", ""), error
    assert error["recovery"] == "config", error
    assert "storage" not in error["fix"], error  # of the cloud
    assert "Traceback" not in ran.err
    assert desk.watermark() == (0, None)
    aim(desk, desk.destination.path)
    desk.recovers()


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Keeps this user from writing in a folder; root heeds only a mount."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    with mounted(folder, "--bind", folder):
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield


if os.geteuid() != 0 or can_mount():

    @to_each()
    def test_a_place_that_became_read_only(desk: Desk) -> None:
        inner = desk.folder / "disk"
        inner.mkdir()
        desk.destination.path = inner / desk.destination.path.name
        if not isinstance(desk.destination, Sqlite):
            desk.destination.path.mkdir()
        aim(desk, desk.destination.path)
        desk.load()
        before = desk.arrived(), desk.watermark()
        folder = inner if isinstance(desk.destination, Sqlite) else inner / "to" / TABLE
        with unwritable(folder):
            ran = desk.run()
            assert ran.exit == 1, ran
            assert ran.error["recovery"] == "config", ran.error
            assert ran.error["fix"], ran.error
            assert "storage" not in ran.error["fix"], ran.error  # of the cloud
            assert str(inner) in ran.err, ran.err
        assert (desk.arrived(), desk.watermark()) == before
        desk.recovers()


def test_a_database_in_a_folder_that_is_not_there(desk: Desk) -> None:
    desk.source.add(sales(1, 2, 3))
    aim(desk, desk.folder / "none" / "to.db")
    desk.refuses("file-missing", "Correct the `path`", file="none/to.db")
    aim(desk, desk.destination.path)
    desk.recovers()


def test_a_destination_that_is_no_database(desk: Desk) -> None:
    desk.load()
    whole = desk.destination.path.read_bytes()
    desk.destination.path.write_text("I am a letter, not a database." * 50)
    told(desk.run(), "not-a-database", table=TABLE, file="to.db")
    desk.destination.path.write_bytes(whole)
    assert desk.watermark() == (1, "30")
    desk.recovers()


@to_each()
def test_a_destination_that_was_lost(desk: Desk) -> None:
    desk.load()
    desk.destination.remove()
    if isinstance(desk.destination, Sqlite):
        desk.destination.path.unlink()
    desk.refuses("destination-lost", "copyjob reset", table=TABLE)
    assert desk.call("reset", str(desk.file), "--all", "--yes").exit == 0
    desk.recovers()


@to_each("parquet", "csv", "jsonl")
@pytest.mark.parametrize(
    "text", ["", "{", '{"job": 1}', "\x00\xff"], ids=["empty", "half", "other", "binary"]
)
def test_a_damaged_ledger(desk: Desk, text: str) -> None:
    desk.load()
    (ledger,) = (desk.destination.path / TABLE / "_copyjob" / "ledger").glob("*.json")
    whole = ledger.read_bytes()
    ledger.write_text(text, encoding="latin-1")
    before = desk.arrived(), desk.watermark()
    ran = desk.run()
    assert ran.exit == 1, ran
    assert ledger.name in ran.error["where"].get("file", ""), ran.error
    assert ran.error["code"] not in ("unexpected", "os-error"), ran.error
    assert ran.error["fix"], ran.error
    assert (desk.arrived(), desk.watermark()) == before
    ledger.write_bytes(whole)
    desk.recovers()


@to_each("delta")
def test_a_damaged_log(desk: Desk) -> None:
    desk.load()
    log = max((desk.destination.path / TABLE / "_delta_log").glob("*.json"))
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2])
    before = desk.watermark()
    told(desk.run(), "delta-damaged", "_delta_log", table=TABLE)
    assert desk.watermark() == before
    log.write_bytes(whole)
    desk.recovers()


@pytest.mark.parametrize(
    ("said", "recovery", "code"),
    [
        ("Unable to open file /lake/t: Permission denied (os error 13)", "config", "access-denied"),
        ("Unable to write /lake/t: File too large (os error 27)", "terminal", "disk-full"),
        ('Os { code: 28, kind: StorageFull, message: "No space left" }', "terminal", "disk-full"),
        ("Unable to open file /lake/t: Too many open files (os error 24)", "transient", "passing"),
    ],
    ids=["rights", "limit", "full", "files"],
)
def test_what_delta_says_of_this_machine(said: str, recovery: str, code: str) -> None:
    error = translate(DeltaError(f"Generic LocalFileSystem error: {said}"))
    assert (error.recovery, error.code) == (recovery, code)
    assert said in error.what
    assert "storage" not in error.fix  # of the cloud


@to_each(*FOLDERS)
@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside"])
def test_a_destination_out_of_the_root(desk: Desk, name: str) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.entry["destination"] = name
    bad = "bad-name" if isinstance(desk.destination, Delta) else "path-outside"
    desk.refuses(bad, "..", table=name)
    assert not list(desk.folder.glob("**/outside"))
    del desk.entry["destination"]
    desk.recovers()


@pytest.mark.parametrize("name", ["sqlite_master", "_copyjob_ledger", "_copyjob_anything"])
def test_a_reserved_name(desk: Desk, name: str) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.entry["destination"] = name
    desk.refuses("bad-name", "destination", table=name)
    del desk.entry["destination"]
    desk.recovers()


def bulky(*ids: int) -> pa.Table:
    """Rows of about 4 KB each."""
    return sales(*ids, name=[os.urandom(2000).hex() for _ in ids])


def small_files() -> None:
    """In a child: as if the disk were full, at 200 KB a file; every user may do that."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


@to_each()
def test_a_limit_on_file_sizes(desk: Desk) -> None:
    desk.load()
    desk.source.add(bulky(*range(5, 300)))
    before = desk.arrived(), desk.watermark()
    ran = desk.run_apart(preexec_fn=small_files)
    # SQLite has no code of its own for that.
    told(ran, "io" if isinstance(desk.destination, Sqlite) else "disk-full", "space", table=TABLE)
    assert (desk.arrived(), desk.watermark()) == before
    desk.recovers()


if can_mount():

    @to_each()
    def test_a_disk_that_is_full(desk: Desk) -> None:
        disk = desk.folder / "disk"
        disk.mkdir()
        with mounted(disk, "-t", "tmpfs", "-o", "size=512k", "tmpfs"):
            desk.destination.path = disk / desk.destination.path.name
            aim(desk, desk.destination.path)
            desk.load()
            desk.source.add(bulky(*range(5, 300)))
            desk.refuses("disk-full", "Free some space", table=TABLE)
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            desk.recovers()


@between(("parquet", "sqlite"))
def test_the_summary_is_valid_json_when_all_fails(desk: Desk) -> None:
    desk.source.add(sales(1))
    aim(desk, Path("/proc/copyjob"))
    assert json.loads(desk.run().out)["status"] == "failed"
