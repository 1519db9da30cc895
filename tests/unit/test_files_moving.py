"""A file's commit moves it at any moment: whoever listed it before still finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from copy_core.connectors.files import folder
from copy_core.connectors.files.folder import File
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import TransientError

WAITING = File("t/1.csv", 2, 0, "etag", "t/_copyjob/staging/1.csv")


def lay(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"ab")
    return path


@pytest.mark.parametrize("name", [WAITING.key, WAITING.waiting])
def test_a_file_is_found_where_it_was_staged_or_moved_to(tmp_path: Path, name: str) -> None:
    lay(tmp_path, name)
    store = LocalStore(str(tmp_path))
    with folder.opened(store, WAITING) as file:
        assert file.read() == b"ab"
    folder.unchanged(store, WAITING)


def test_a_file_that_moves_between_two_looks_is_found(tmp_path: Path) -> None:
    lay(tmp_path, WAITING.waiting)

    class Moving(LocalStore):
        looked = 0

        def stat(self, key: str) -> Entry | None:
            self.looked += 1
            if self.looked == 2:
                self.move(WAITING.waiting, WAITING.key)
            return super().stat(key)

    store = Moving(str(tmp_path))
    assert folder.current(store, WAITING).key == WAITING.key
    assert store.looked == 3


@pytest.mark.parametrize("size", [1, None])
def test_a_file_that_is_nowhere_is_missed(tmp_path: Path, size: int | None) -> None:
    if size is not None:  # Another one of that name is not the one that was staged.
        lay(tmp_path, WAITING.key).write_bytes(b"a")
    with pytest.raises(TransientError) as raised:
        folder.opened(LocalStore(str(tmp_path)), WAITING)
    assert raised.value.code == "file-moved"
