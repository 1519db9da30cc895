"""The modes that the pages of local files and SQLite ask for: enough, and none too many."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from copy_core.connectors.options import Connection, LocalOptions, SqliteOptions
from tests.crash.store_places import written
from tests.matrix.cells import FIRST, run

_NOBODY = 65534
_TABLE = {"source": "t", "destination": "u"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user can get to."""
    made = Path(tempfile.mkdtemp(prefix="copyjob-rights-"))
    yield made
    shutil.rmtree(made)


@contextmanager
def somebody(folder: Path) -> Iterator[None]:
    """This process as a user to whom modes matter, and whose the folder is."""
    if os.geteuid():
        yield
        return
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, _NOBODY, _NOBODY)
    os.setegid(_NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def tried(
    folder: Path,
    fill: Callable[[Path], Connection],
    to: Connection,
    modes: Mapping[str, int],
    **table: Any,
) -> str:
    """Copies while files have these modes; what went wrong, "" if nothing.

    Args:
        folder: where all of it is.
        fill: makes the source there, anew.
        to: the destination.
        modes: the modes of files and folders, what is inside before what it is in.
        table: what the table says besides.
    """
    work = folder / "work"
    work.mkdir()
    # What is imported late is imported now, by who may read it.
    assert run(work, fill(folder), to, {**_TABLE, **table}) == ""
    source = fill(folder)
    with somebody(folder):
        try:
            for name, mode in modes.items():
                (folder / name).chmod(mode)
            return run(work, source, to, {**_TABLE, **table})
        finally:
            for name in reversed(list(modes)):
                (folder / name).chmod(0o700)


def exports(folder: Path) -> LocalOptions:
    """A folder of Parquet files."""
    (folder / "in/t").mkdir(parents=True, exist_ok=True)
    (folder / "in/t/1.parquet").write_bytes(written(FIRST, "parquet"))
    return local(folder / "in")


def objects(folder: Path) -> LocalOptions:
    """The same files, to be copied as they are."""
    return exports(folder).model_copy(update={"format": "binary"})


def shop(folder: Path) -> SqliteOptions:
    """A database."""
    (folder / "db").mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / "db/shop.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO t DEFAULT VALUES")
    return SqliteOptions(type="sqlite", path=str(folder / "db/shop.db"))


def walled(folder: Path) -> SqliteOptions:
    """A database in WAL mode."""
    found = shop(folder)
    with closing(sqlite3.connect(found.path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return found


def local(root: Path, form: str = "parquet") -> LocalOptions:
    root.mkdir(parents=True, exist_ok=True)
    return LocalOptions.model_validate({"type": "local", "root": str(root), "format": form})


READ, ENTER, WRITE = 0o400, 0o500, 0o700


@pytest.mark.parametrize(
    ("modes", "enough"),
    [
        ({"in/t/1.parquet": READ, "in/t": ENTER, "in": ENTER}, True),
        ({"in/t/1.parquet": 0, "in/t": ENTER, "in": ENTER}, False),
        ({"in/t/1.parquet": READ, "in/t": READ, "in": ENTER}, False),
        ({"in/t/1.parquet": READ, "in/t": 0o100, "in": ENTER}, False),
    ],
)
def test_files_are_read(folder: Path, modes: dict[str, int], *, enough: bool) -> None:
    wrong = tried(folder, exports, local(folder / "out"), modes)
    assert (wrong == "") == enough, wrong


@pytest.mark.parametrize(("mode", "enough"), [(WRITE, True), (ENTER, False)])
def test_files_are_removed(folder: Path, mode: int, *, enough: bool) -> None:
    to = local(folder / "out", "binary")
    # What cannot be removed yet is no error of the copy: a warning, and the next run tries again.
    assert tried(folder, objects, to, {"in/t": mode}, delete_source=True) == ""
    assert (folder / "in/t/1.parquet").exists() != enough


@pytest.mark.parametrize(("mode", "enough"), [(WRITE, True), (ENTER, False)])
@pytest.mark.parametrize("write", ["append", "overwrite"])
def test_files_are_written(folder: Path, mode: int, write: str, *, enough: bool) -> None:
    wrong = tried(folder, exports, local(folder / "out"), {"out/u": mode}, write=write)
    assert (wrong == "") == enough, wrong


@pytest.mark.parametrize(
    ("fill", "file", "inside", "enough"),
    [
        (shop, READ, ENTER, True),
        (shop, 0, ENTER, False),
        (walled, READ, WRITE, True),
        (walled, READ, ENTER, False),
    ],
)
def test_a_database_is_read(
    folder: Path, fill: Callable[[Path], Connection], file: int, inside: int, *, enough: bool
) -> None:
    modes = {"db/shop.db": file, "db": inside}
    wrong = tried(folder, fill, local(folder / "out"), modes)
    assert (wrong == "") == enough, wrong


@pytest.mark.parametrize(
    ("file", "inside", "enough"),
    [(0o600, WRITE, True), (READ, WRITE, False), (0o600, ENTER, False)],
)
@pytest.mark.parametrize("write", ["append", "upsert"])
def test_a_database_is_written(
    folder: Path, file: int, inside: int, write: str, *, enough: bool
) -> None:
    (folder / "db").mkdir()
    to = SqliteOptions(type="sqlite", path=str(folder / "db/target.db"))
    modes = {"db/target.db": file, "db": inside}
    keys = {"keys": ["id"]} if write == "upsert" else {}
    wrong = tried(folder, exports, to, modes, write=write, **keys)
    assert (wrong == "") == enough, wrong
