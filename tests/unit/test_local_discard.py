"""Files that go from a folder once they are copied, while others write and processes die."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import ConfigError


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


def seen(store: LocalStore) -> list[tuple[str, str]]:
    return [(entry.key, entry.etag) for entry in store.list()]


def found(folder: Path) -> dict[str, str]:
    """Every file that lies there, whoever it belongs to."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def others(path: Path, text: str) -> None:
    """What any program does that writes whole files."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def at_the_rename(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has something happen just before a file is taken aside, or just after."""

    def at(before: Callable[[], object], after: Callable[[], object] = lambda: None) -> None:
        rename = Path.rename

        def renamed(path: Path, target: Path) -> Any:
            monkeypatch.setattr(Path, "rename", rename)
            before()
            made = rename(path, target)
            after()
            return made

        monkeypatch.setattr(Path, "rename", renamed)

    return at


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_a_file_that_is_replaced_at_the_last_moment_stays(
    store: LocalStore,
    tmp_path: Path,
    at_the_rename: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    links: bool,
) -> None:
    store.put("in/x", b"old")
    store.put("in/y", b"old")
    copied = seen(store)

    def none(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", none)
    at_the_rename(lambda: others(tmp_path / "in/x", "new"))
    store.discard(copied)
    assert found(tmp_path) == {"in/x": "new"}
    assert [key for key, _ in seen(store)] == ["in/x"]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_what_is_put_back_replaces_nothing(
    store: LocalStore,
    tmp_path: Path,
    at_the_rename: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    links: bool,
) -> None:
    store.put("x", b"old")
    copied = seen(store)

    def none(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", none)
    at_the_rename(
        lambda: others(tmp_path / "x", "new"), lambda: (tmp_path / "x").write_text("newest")
    )
    store.discard(copied)
    assert found(tmp_path) == {"x": "newest"}


def test_a_file_that_is_written_to_at_the_last_moment_stays(
    store: LocalStore, tmp_path: Path, at_the_rename: Callable[..., None]
) -> None:
    store.put("x", b"old")
    copied = seen(store)

    def append() -> None:
        with (tmp_path / "x").open("a") as file:
            file.write(" and more")

    at_the_rename(append)
    store.discard(copied)
    assert found(tmp_path) == {"x": "old and more"}


def test_a_folder_that_took_the_name_stays(
    store: LocalStore, tmp_path: Path, at_the_rename: Callable[..., None]
) -> None:
    store.put("x", b"old")
    copied = seen(store)

    def replace() -> None:
        (tmp_path / "x").unlink()
        store.put("x/y", b"new")

    at_the_rename(replace)
    store.discard(copied)
    assert found(tmp_path) == {"x/y": "new"}


def test_of_a_link_only_the_link_goes(store: LocalStore, tmp_path: Path) -> None:
    store.put("a/file", b"1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/link").symlink_to("../a/file")
    store.discard([each for each in seen(store) if each[0] == "b/link"])
    assert found(tmp_path) == {"a/file": "1"}
    assert not (tmp_path / "b/link").is_symlink()


def test_whoever_lists_meanwhile_brings_nothing_back(
    store: LocalStore, tmp_path: Path, at_the_rename: Callable[..., None]
) -> None:
    store.put("in/x", b"1")
    copied = seen(store)
    at_the_rename(lambda: None, lambda: list(LocalStore(str(tmp_path)).list("in/x")))
    store.discard(copied)
    assert found(tmp_path) == {}


def test_many_at_once_remove_all_and_leave_nothing(store: LocalStore, tmp_path: Path) -> None:
    for n in range(400):
        store.put(f"in/{n % 2}/{n:03}", b"1")
    copied = seen(store)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.discard(copied[n % 10 :: 10]), range(20)))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0", "1", "in"]


def test_a_folder_that_is_gone_is_not_made_again(store: LocalStore, tmp_path: Path) -> None:
    store.discard([("in/deep/x", "1-2-3-4")])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_nothing_may_be_taken_from_is_named(
    store: LocalStore, tmp_path: Path
) -> None:
    store.put("in/x", b"1")
    (tmp_path / "in/_copyjob").write_text("a file of that name is in the way")
    with pytest.raises(ConfigError, match="in") as raised:
        store.discard([each for each in seen(store) if each[0] == "in/x"])
    assert raised.value.code == "not-permitted"
    assert (tmp_path / "in/x").read_text() == "1"


# Processes that die


DIES = """
import os, sys
from pathlib import Path
from copy_core.connectors.files.stores.local import LocalStore

root, moment = Path(sys.argv[1]), sys.argv[2]
store = LocalStore(str(root))
copied = [(entry.key, entry.etag) for entry in store.list()]
rename, opened = Path.rename, Path.open

def renamed(path, target):
    if moment == "it took another":
        path.with_name("new").write_text("new")
        path.with_name("new").replace(path)
    made = rename(path, target)
    os.kill(os.getpid(), 9)

def refused(path, mode="r", *args):
    if mode == "xb":
        os.kill(os.getpid(), 9)
    return opened(path, mode, *args)

Path.rename = renamed
if moment == "it began":
    Path.open = refused
store.discard(copied)
"""


def died(folder: Path, moment: str) -> list[tuple[str, str]]:
    """Lets a process die that discards the files of a folder; what it knew of them."""
    copied = seen(LocalStore(str(folder)))
    command = [sys.executable, "-c", DIES, str(folder), moment]
    assert subprocess.run(command, check=False).returncode == -9
    return copied


@pytest.mark.parametrize(
    ("moment", "text"), [("it took it", "old"), ("it took another", "new"), ("it began", "old")]
)
def test_what_a_dead_process_had_taken_comes_back(
    store: LocalStore, tmp_path: Path, moment: str, text: str
) -> None:
    store.put("in/deep/x", b"old")
    died(tmp_path, moment)
    assert [key for key, _ in seen(store)] == ["in/deep/x"]
    assert found(tmp_path) == {"in/deep/x": text}
    assert not (tmp_path / "in/deep/_copyjob").exists()


@pytest.mark.parametrize(
    ("moment", "left"),
    [("it took it", {}), ("it took another", {"in/x": "new"}), ("it began", {})],
)
def test_whoever_goes_on_removes_what_was_meant_and_no_more(
    store: LocalStore, tmp_path: Path, moment: str, left: dict[str, str]
) -> None:
    store.put("in/x", b"old")
    store.put("in/y", b"old")
    copied = died(tmp_path, moment)
    store.discard(copied)
    assert found(tmp_path) == left
    assert [key for key, _ in seen(store)] == list(left)


def test_what_came_meanwhile_is_newer_than_what_was_taken(
    store: LocalStore, tmp_path: Path
) -> None:
    store.put("x", b"old")
    died(tmp_path, "it took it")
    store.put("x", b"newer")
    assert [key for key, _ in seen(store)] == ["x"]
    assert found(tmp_path) == {"x": "newer"}
