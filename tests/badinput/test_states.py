"""State files that are damaged, lost, locked, out of place, or run full."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from copy_core import flow
from copy_core.state import sqlite as state_sqlite
from tests.badinput.desk import Desk, Ran, can_mount, locked, mounted, to_each, told
from tests.badinput.places import sales


def drop_state(desk: Desk) -> None:
    for file in desk.state.parent.glob("state.db*"):
        file.unlink()


def told_by_command(ran: Ran, says: str, file: Path) -> None:
    """Asserts that the command failed before it ran anything, and told why."""
    assert ran.exit in (1, 2), ran
    assert ran.out == ""
    shown = ran.err.splitlines()
    assert [line.split(":")[0].strip() for line in shown] == ["error", "at", "fix"], ran.err
    assert says in shown[0], ran.err
    assert str(file) in shown[1], ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "content",
    [b"I am a letter, not a state file." * 200, b"SQLite format 3\0" + b"\x55" * 8000],
    ids=["letter", "pages"],
)
@to_each("sqlite", "delta", "parquet")
def test_a_state_that_is_damaged(desk: Desk, content: bytes) -> None:
    desk.load()
    before = desk.arrived()
    drop_state(desk)
    desk.state.write_bytes(content)
    told_by_command(desk.run(), "damaged", desk.state)
    assert desk.arrived() == before
    assert desk.state.read_bytes() == content
    drop_state(desk)  # as the fix says: the ledger gives back the watermark
    desk.recovers()


def test_a_state_whose_end_is_cut_off(desk: Desk) -> None:
    desk.load()
    before = desk.arrived()
    desk.state.write_bytes(desk.state.read_bytes()[:6000])
    ran = desk.run()
    assert ran.exit == 1, ran
    assert "damaged" in ran.err
    assert desk.arrived() == before
    drop_state(desk)
    desk.recovers()


@pytest.mark.parametrize(
    "value",
    ["", "[]", "{}", '{"v": 99, "table": "orders"}'],
    ids=["empty", "list", "nothing", "another-version"],
)
def test_a_row_of_the_state_that_is_damaged(desk: Desk, value: str) -> None:
    desk.load()
    before = desk.arrived()
    with closing(sqlite3.connect(desk.state)) as db, db:
        rows = db.execute("SELECT partition, key, value FROM state").fetchall()
        mine = [(p, k) for p, k, v in rows if '"watermark"' in v and '"sequence"' in v]
        changed = db.executemany(
            "UPDATE state SET value = ? WHERE partition = ? AND key = ?",
            [(value, *place) for place in mine],
        )
        assert changed.rowcount
    told(desk.run(), "state-damaged", state=str(desk.state))
    assert desk.arrived() == before
    drop_state(desk)
    desk.recovers()


@pytest.mark.parametrize("key", ["lease", "header"])
def test_another_row_of_the_state_that_is_damaged(desk: Desk, key: str) -> None:
    desk.load()
    run_id = desk.run().summary["run_id"]
    before = desk.arrived()
    partition = "job" if key == "lease" else f"run/{run_id}"
    with closing(sqlite3.connect(desk.state)) as db, db:
        db.execute("REPLACE INTO state VALUES (?, ?, '{\"v\": 99}', 'x')", (partition, key))
    ran = desk.run() if key == "lease" else desk.call("status", str(desk.file), "--run", run_id)
    assert ran.exit == 1, ran
    assert "or was written by another version of copyjob" in ran.err, ran.err
    assert f"partition {partition}, key {key}, state {desk.state}" in ran.err, ran.err
    assert "pydantic" not in ran.err
    assert desk.arrived() == before
    drop_state(desk)
    desk.recovers()


@pytest.mark.parametrize("where", ["folder", "below-a-file", "/proc/copyjob/state.db", "/dev/full"])
def test_a_state_that_is_out_of_place(desk: Desk, where: str) -> None:
    desk.load()
    (desk.folder / "folder").mkdir()
    (desk.folder / "file").write_text("I was here first.")
    path = desk.folder / {"below-a-file": "file/state.db"}.get(where, where)
    before = desk.arrived(), desk.watermark()
    told_by_command(desk.run("--state", str(path)), "state file", path)
    assert (desk.arrived(), desk.watermark()) == before
    desk.recovers()


@pytest.mark.parametrize("url", ["postgres://here/db", "https://example.com/x", "tables:key=abc"])
def test_a_state_of_an_unknown_kind(desk: Desk, url: str) -> None:
    desk.load()
    ran = desk.run("--state", url)
    assert ran.exit == 2, ran
    assert "fix: Give a file" in ran.err.replace("  ", ""), ran.err
    assert "abc" not in ran.err
    desk.recovers()


@to_each()
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_state_that_was_lost(desk: Desk, mode: str) -> None:
    if mode == "full":
        desk.settings = {"mode": "full", "write": "overwrite"}
    desk.load()
    drop_state(desk)
    desk.recovers()
    if mode == "incremental":
        assert desk.watermark() == (2, "40")


@to_each()
def test_a_state_of_long_ago(desk: Desk) -> None:
    desk.load()
    with closing(sqlite3.connect(desk.state)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    old = desk.state.read_bytes()
    desk.recovers()
    desk.source.add(sales(5))
    drop_state(desk)
    desk.state.write_bytes(old)
    desk.recovers()
    assert desk.watermark() == (3, "50")


def test_a_state_that_is_locked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_sqlite, "_BUSY_S", 0.05)
    monkeypatch.setattr(flow, "backoff", lambda *_: 0.0)
    desk.load()
    before = desk.arrived()
    with locked(desk.state):
        ran = desk.run()
    told(ran, "state-locked", file=str(desk.state))
    assert desk.arrived() == before
    desk.recovers()


def test_a_job_that_another_run_has(desk: Desk) -> None:
    desk.load()
    command = [sys.executable, "-m", "copy_core.cli", "run", str(desk.file), "--quiet"]
    with locked(desk.destination.path):
        first = subprocess.Popen(command)
        while not json.loads(desk.call("status", str(desk.file), "--json").out)["lease"]:
            assert first.poll() is None
        second = desk.run()
    assert first.wait(60) == 0
    assert second.exit == 3, second
    error = second.error
    assert error["code"] == "lease-held"
    assert f"process {first.pid}" in error["message"], error
    assert error["fix"]
    assert second.summary["status"] == "conflict"
    assert desk.watermark() == (2, "40")
    desk.recovers()


def disk_failed(ran: Ran) -> None:
    """Asserts that a run was well, or said that the disk was not."""
    assert ran.exit in (0, 1), ran
    assert "Traceback" not in ran.err
    if ran.exit == 1:
        assert "the disk of the state file" in ran.err, ran.err
        assert "fix: Free space" in ran.err, ran.err


@to_each("delta")
@pytest.mark.parametrize("kilobytes", range(4, 84, 16))
def test_a_state_that_may_not_grow(desk: Desk, kilobytes: int) -> None:
    """Wherever in the run the state cannot be written any more, each row comes once."""
    size = kilobytes * 1024
    desk.load()
    ran = desk.run_apart(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    disk_failed(ran)
    desk.recovers()


if can_mount():

    @to_each("sqlite", "delta")
    @pytest.mark.parametrize("kilobytes", [0, 16, 24, 32, 40])
    def test_a_disk_of_the_state_that_is_full(desk: Desk, kilobytes: int) -> None:
        """As above, with so much room left on a disk of its own."""
        folder = desk.state.parent
        folder.mkdir()
        with mounted(folder, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
            desk.load()
            hog = folder / "hog"
            left = os.statvfs(folder)
            hog.write_bytes(b"\0" * (left.f_bavail * left.f_bsize - kilobytes * 1024))
            ran = desk.run_apart()
            disk_failed(ran)
            hog.unlink()
            desk.recovers()
