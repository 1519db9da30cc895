"""The store of a folder of this machine: what is its own, beside the kit of all stores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import ConfigError, CopyJobError, TransientError


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "root").mkdir()
    return LocalStore(str(tmp_path / "root"))


def keys(store: LocalStore) -> list[str]:
    return [entry.key for entry in store.list()]


def code_of(use: object) -> str:
    assert callable(use)
    with pytest.raises(CopyJobError) as raised:
        use()
    return raised.value.code


# Links


def test_a_link_to_a_file_below_the_root_is_that_file(store: LocalStore, tmp_path: Path) -> None:
    store.put("real/x", b"123")
    (tmp_path / "root/link").symlink_to("real/x")
    assert keys(store) == ["link", "real/x"]
    entry = store.stat("link")
    assert entry is not None
    assert store.read(entry, 0, 3) == b"123"
    assert store.open(entry).read() == b"123"


@pytest.mark.parametrize(
    ("leads", "code"),
    [("../outside", "path-outside"), ("nowhere", "path-link"), ("folder", "path-link")],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_other_links_are_refused_unless_they_are_hidden(
    store: LocalStore, tmp_path: Path, leads: str, code: str, hidden: bool
) -> None:
    store.put("folder/x", b"1")
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "root" / (".link" if hidden else "link")).symlink_to(leads)
    if hidden:
        assert keys(store) == ["folder/x"]
    else:
        assert code_of(lambda: keys(store)) == code


def test_nothing_is_read_or_written_through_a_link_that_leads_out(
    store: LocalStore, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_bytes(b"secret")
    (tmp_path / "root/link").symlink_to("../outside")
    entry = store.put("y", b"1")
    for use in (
        lambda: list(store.list("link/")),
        lambda: store.stat("link/x"),
        lambda: store.open(entry._replace(key="link/x")),
        lambda: store.put("link/new", b""),
        lambda: store.upload("link/new"),
        lambda: store.move("y", "link/y"),
        lambda: store.move("link/x", "z"),
        lambda: store.remove(["link/x"]),
    ):
        assert code_of(use) == "path-outside"
    assert [p.name for p in (tmp_path / "outside").iterdir()] == ["x"]


def test_a_root_that_is_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    store = LocalStore(str(tmp_path / "link"))
    store.put("a/x", b"1")
    assert keys(store) == ["a/x"]


# What tells one version from another


def test_no_two_versions_are_alike_however_fast_they_come(store: LocalStore) -> None:
    etags = [store.put("x", b"1").etag for _ in range(50)]
    assert len(set(etags)) == 50


def test_a_file_that_is_moved_in_is_new_whatever_time_it_brings(
    store: LocalStore, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"1")
    os.utime(old, (1, 1))
    before = store.put("x", b"1").modified
    time.sleep(2 * store.tick_ns / 1e9)
    old.rename(tmp_path / "root/old")
    entry = store.stat("old")
    assert entry is not None
    assert before < entry.modified <= store.now()


def test_a_time_in_the_future_that_somebody_set_is_not_believed(
    store: LocalStore, tmp_path: Path
) -> None:
    store.put("x", b"1")
    os.utime(tmp_path / "root/x", (2**33, 2**33))
    entry = store.stat("x")
    assert entry is not None
    assert entry.modified <= store.now()


def test_a_change_while_a_file_is_read_is_noticed(store: LocalStore, tmp_path: Path) -> None:
    entry = store.put("x", b"11111")
    path = tmp_path / "root/x"
    while path.stat().st_ctime_ns == entry.modified:  # before Linux 6.13 its clock ticks coarsely
        with path.open("r+b") as file:
            file.write(b"2")
        os.utime(path, ns=(entry.modified, entry.modified))
    for use in (lambda: store.read(entry, 0, 5), lambda: store.open(entry)):
        with pytest.raises(TransientError) as raised:
            use()
        assert raised.value.code == "file-changed"


# What writers leave behind


DIES = """
import os, sys
from copy_core.connectors.files.stores.local import LocalStore
upload = LocalStore(sys.argv[1]).upload("t/x")
upload.put(0, b"half of it")
os.kill(os.getpid(), 9)
"""


def test_what_a_dead_writer_left_goes_with_the_next_and_what_lives_stays(
    store: LocalStore, tmp_path: Path
) -> None:
    alive = store.upload("t/alive")
    alive.put(0, b"1")
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "root")], check=False)
    assert done.returncode == -9
    assert len(list((tmp_path / "root/t").iterdir())) == 2
    assert keys(store) == []
    LocalStore(str(tmp_path / "root")).put("t/y", b"2")
    assert len(list((tmp_path / "root/t").iterdir())) == 2
    alive.complete()
    assert sorted(p.name for p in (tmp_path / "root/t").iterdir()) == ["alive", "y"]


def test_in_the_area_of_a_table_who_clears_up_sees_all(store: LocalStore) -> None:
    upload = store.upload("t/_copyjob/staging/x")
    (key,) = keys(store)
    assert key.startswith("t/_copyjob/staging/.copyjob-")
    upload.abandon()
    assert keys(store) == []


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ("inbox/new/x", ["inbox", "inbox/new"]),
        ("t/year=2026/month=1/x", ["t"]),
        ("t/_copyjob/staging/1/x", ["t"]),
    ],
)
def test_folders_that_a_copy_made_go_once_they_are_empty(
    store: LocalStore, tmp_path: Path, key: str, left: list[str]
) -> None:
    store.put(key, b"1")
    store.remove([key])
    root = tmp_path / "root"
    assert sorted(p.relative_to(root).as_posix() for p in root.rglob("*")) == left


def test_folders_that_come_and_go_are_in_nobodys_way(tmp_path: Path) -> None:
    def work(number: int) -> None:
        store = LocalStore(str(tmp_path))
        for n in range(20):
            key = f"t/_copyjob/{number % 2}/{number}/{n}"
            store.put(key, b"1")
            store.move(key, f"t/a={n}/b={number}/x")
            store.remove([f"t/a={n}/b={number}/x"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert [p.name for p in tmp_path.rglob("*")] == ["t"]


# What stands in the way


def test_a_root_that_has_to_be_there_is_missed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    for name, said in (("none", "there is no folder"), ("file", "is a file")):
        with pytest.raises(ConfigError, match=said) as raised:
            next(LocalStore(str(tmp_path / name), exists=True).list())
        assert raised.value.code == "root-missing"
        assert keys(LocalStore(str(tmp_path / name))) == []


def test_a_file_in_place_of_a_folder_is_told(store: LocalStore) -> None:
    store.put("a", b"1")
    for use in (
        lambda: store.put("a/b", b""),
        lambda: store.upload("a/b"),
        lambda: store.move("a", "a/b"),
    ):
        assert code_of(use) == "not-permitted"
    store.put("folder/b", b"1")
    assert code_of(lambda: store.put("folder", b"")) == "not-permitted"
    assert keys(store) == ["a", "folder/b"]


def test_a_name_that_is_no_text_is_told(store: LocalStore, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path / "root") + b"/\xff")).write_bytes(b"1")
    with pytest.raises(ConfigError) as raised:
        keys(store)
    assert raised.value.code == "bad-name"
    assert raised.value.where["file"] == "\\xff"
