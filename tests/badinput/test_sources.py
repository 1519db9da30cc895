"""Sources that are damaged, missing, locked, or ask to be read outside their root."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from deltalake import DeltaTable

from copy_core.connectors.sql import sqlite_db
from tests.badinput.desk import Desk, between, from_each, locked
from tests.badinput.places import TABLE, Delta, Files, Sqlite, sales


def files(desk: Desk) -> list[Path]:
    return cast("Files", desk.source).files()


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def junk(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 8)


def scribble(file: Path) -> None:
    """Spoils the pages of a Parquet file and leaves its footer whole."""
    whole = file.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    file.write_bytes(whole[:4] + b"\xff" * (len(whole) - 4 - footer) + whole[-footer:])


@pytest.mark.parametrize(
    ("desk", "spoil"),
    [
        (("parquet", "sqlite"), halve),
        (("parquet", "delta"), scribble),
        (("parquet", "sqlite"), empty),
        (("parquet", "sqlite"), junk),
        (("csv", "sqlite"), junk),
        (("csv", "delta"), lambda file: file.write_text('"id","v","name"\n4,40,"a",5\n')),
        (("csv", "sqlite"), lambda file: file.write_text('"id","v","name"\nfour,40,"a"\n')),
        (("jsonl", "sqlite"), halve),
        (("jsonl", "sqlite"), junk),
        (("jsonl", "parquet"), lambda file: file.write_text('{"id": "four", "v": 40}\n')),
    ],
    indirect=["desk"],
    ids=[
        *("parquet-halved", "parquet-pages", "parquet-empty", "parquet-junk"),
        *("csv-junk", "csv-ragged", "csv-word", "jsonl-halved", "jsonl-junk", "jsonl-word"),
    ],
)
def test_a_damaged_file(desk: Desk, spoil: Callable[[Path], None]) -> None:
    desk.load()
    last = files(desk)[-1]
    whole = last.read_bytes()
    spoil(last)
    before = desk.arrived(), desk.watermark()
    ran = desk.run()
    assert ran.exit == 1, ran
    assert ran.error["fix"], ran.error
    where = ran.error["where"]
    if ran.error["code"] == "incompatible-type":  # a word among numbers is no damage, but text
        assert where["column"] == "id"
    else:
        assert ran.error["code"] in ("bad-file", "bad-value"), ran.error
        assert last.name in where["file"], ran.error
    assert (desk.arrived(), desk.watermark()) == before
    last.write_bytes(whole)
    desk.recovers()


@between(("delta", "sqlite"), ("delta", "delta"))
@pytest.mark.parametrize("where", ["log", "data", "pages", "gone"])
def test_a_damaged_delta_table(desk: Desk, where: str) -> None:
    desk.load()
    folder = desk.source.path / TABLE
    pattern = "_delta_log/*1.json" if where == "log" else "*.parquet"
    file = max(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    whole = file.read_bytes()
    if where == "gone":
        file.unlink()
    else:
        (scribble if where == "pages" else halve)(file)
    before = desk.arrived(), desk.watermark()
    ran = desk.run()
    assert ran.exit == 1, ran
    assert ran.error["where"]["table"] == TABLE
    assert ran.error["fix"], ran.error
    named = "_delta_log" if where == "log" else file.name  # delta-rs does not say which file
    assert named in str(ran.error)
    assert "unknown>" not in ran.err, ran.err
    assert (desk.arrived(), desk.watermark()) == before
    file.write_bytes(whole)
    desk.recovers()


@from_each("delta")
@pytest.mark.parametrize("damage", ["junk", "other", "gap", "checkpoint", "first"])
def test_a_damaged_delta_log(desk: Desk, damage: str) -> None:
    desk.load()
    desk.source.add(sales(5))
    log = desk.source.path / TABLE / "_delta_log"
    if damage == "checkpoint":
        DeltaTable(str(desk.source.path / TABLE)).create_checkpoint()
        file = next(log.glob("*.checkpoint.parquet"))
    else:
        version = {"gap": 1, "first": 0}.get(damage, 2)
        file = log / f"{version:020}.json"
    whole = file.read_bytes()
    if damage == "gap":
        file.unlink()
    elif damage == "other":
        file.write_text('{"add": {"path": 1}}')
    else:
        {"junk": junk, "checkpoint": halve, "first": empty}[damage](file)
    ran = desk.refuses("delta-damaged", "_delta_log", table=TABLE)
    assert "ParsedLogPath" not in ran.err
    file.write_bytes(whole)
    desk.recovers()


@pytest.mark.parametrize("code", ["file-missing", "not-a-database", "is-folder", "corrupt"])
def test_a_sqlite_file_that_is_none(desk: Desk, code: str) -> None:
    desk.load()
    file = desk.source.path
    whole = file.read_bytes()
    file.unlink()
    if code == "is-folder":
        file.mkdir()
        code = "file-missing"
    elif code == "not-a-database":
        file.write_text("I am a letter, not a database." * 50)
    elif code == "corrupt":
        file.write_bytes(whole[:4096] + b"\x55" * (len(whole) - 4096))
    desk.refuses(code, table=TABLE, file=str(file))
    if file.is_dir():
        file.rmdir()
    file.write_bytes(whole)
    desk.recovers()


def test_a_sqlite_file_that_is_locked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_db, "BUSY_MS", 50)
    desk.load()
    with locked(desk.source.path):
        desk.refuses("locked", "End the other transaction", file=str(desk.source.path))
    desk.recovers()


def test_a_view_that_went_stale(desk: Desk) -> None:
    desk.load()
    with closing(sqlite3.connect(desk.source.path)) as db, db:
        db.execute("ALTER TABLE orders RENAME TO raw")
        db.execute("CREATE VIEW orders AS SELECT id, v, name, gone FROM raw")
    desk.refuses("sqlite", "gone", table=TABLE, file=str(desk.source.path))
    cast("Sqlite", desk.source).run("DROP VIEW orders")
    desk.source.rename("raw", TABLE)
    desk.recovers()


@from_each("delta", "parquet", "csv", "jsonl")
@pytest.mark.parametrize(
    "name", ["../secrets", "/etc", "orders/../../x", "_delta_log", ".hidden", "a/./../../b"]
)
def test_a_path_out_of_the_root(desk: Desk, name: str) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.entry |= {"source": name, "destination": TABLE}
    ran = desk.run()
    assert ran.exit == 1, ran
    kept_in = ["path-outside", "path-hidden", "bad-name"]
    assert ran.error["code"] in (["table-missing"] if name == ".hidden" else []) + kept_in
    assert ran.error["fix"]
    desk.entry["source"] = TABLE
    desk.recovers()


@from_each("delta", "parquet")
def test_a_link_out_of_the_root(desk: Desk) -> None:
    desk.load()
    outside = desk.folder / "outside"
    (desk.source.path / TABLE).rename(outside)
    (desk.source.path / TABLE).symlink_to(outside)
    desk.refuses("bad-name" if isinstance(desk.source, Delta) else "path-outside", "root")
    (desk.source.path / TABLE).unlink()
    outside.rename(desk.source.path / TABLE)
    desk.recovers()


@from_each()
def test_a_root_that_is_not_there(desk: Desk) -> None:
    desk.load()
    desk.source.path.rename(desk.folder / "moved")
    code = "file-missing" if isinstance(desk.source, Sqlite) else "root-missing"
    ran = desk.refuses(code, table=TABLE)
    assert str(desk.source.path) in ran.err
    (desk.folder / "moved").rename(desk.source.path)
    desk.recovers()


@from_each("delta", "parquet", "csv", "jsonl")
def test_a_root_that_is_a_file(desk: Desk) -> None:
    desk.load()
    desk.source.path.rename(desk.folder / "moved")
    desk.source.path.write_text("I was here first.")
    desk.refuses("root-missing", f"{desk.source.path} is a file", table=TABLE)
    desk.source.path.unlink()
    (desk.folder / "moved").rename(desk.source.path)
    desk.recovers()
