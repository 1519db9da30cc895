"""A file's commit moves it at any moment: whoever listed it before still finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from copy_core.connectors.files import folder
from copy_core.connectors.files.folder import File

WAITING = File("t/1.csv", 2, 0, "t/_copyjob/staging/1.csv")


def lay(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"ab")
    return path


def test_a_file_is_found_where_it_was_staged(tmp_path: Path) -> None:
    lay(tmp_path, WAITING.waiting)
    with folder.opened(tmp_path, WAITING) as file:
        assert file.read() == b"ab"


def test_a_file_that_was_moved_since_is_found_at_its_place(tmp_path: Path) -> None:
    lay(tmp_path, WAITING.name)
    with folder.opened(tmp_path, WAITING) as file:
        assert file.read() == b"ab"


def test_a_file_that_moves_between_two_looks_is_found(tmp_path: Path) -> None:
    staged, looked = lay(tmp_path, WAITING.waiting), list[Path]()

    def moving(path: Path) -> bytes:
        looked.append(path)
        if len(looked) == 2:
            staged.rename(tmp_path / WAITING.name)
        return path.read_bytes()

    assert folder.found(tmp_path, WAITING, moving) == b"ab"
    assert len(looked) == 3


def test_a_file_that_is_nowhere_is_missed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folder.found(tmp_path, WAITING, Path.stat)
