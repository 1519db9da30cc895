"""Removes files of a folder that are the same still, as surely as a file system can."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from copy_core.connectors.files.stores.local_aside import aside, put_back, restored
from copy_core.connectors.files.stores.local_listing import entry_of, renamed


def discard(folder: Path, files: Sequence[tuple[str, str]]) -> None:
    """Removes the files that are the same still, also at the instant at which they go.

    Programs that have a file open all the while are not noticed: what they write to it afterwards
    is lost with it.

    Args:
        folder: the folder.
        files: the name of each, and the etag that it must have.

    Raises:
        OSError: the folder refuses it.
    """
    # What came back had been looked at before it was taken, and has changed by that alone.
    back = restored(folder)
    same = [(name, facts) for name, etag in files if (facts := _as_was(folder, name, etag, back))]
    if not same:
        return
    with suppress(FileNotFoundError), aside(folder) as place:
        for name, facts in same:
            _removed(folder / name, place / name, facts)


def _as_was(folder: Path, name: str, etag: str, back: set[str]) -> os.stat_result | None:
    """What is known of the name, a link or not, if the file is the same still."""
    path = folder / name
    try:
        facts = path.lstat()
        entry = entry_of(name, path.stat() if stat.S_ISLNK(facts.st_mode) else facts)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if entry is None:
        return None
    if entry.etag == etag or (name in back and renamed(entry.etag) == renamed(etag)):
        return facts
    return None


def _removed(path: Path, taken: Path, before: os.stat_result) -> None:
    """Removes a file, or leaves it if it is another by now."""
    with suppress(FileNotFoundError):  # It is gone, by itself or because somebody put it back.
        path.rename(taken)
        if _bytes_of(taken.lstat()) == _bytes_of(before):
            taken.unlink()
        else:
            put_back(taken, path)


def _bytes_of(facts: os.stat_result) -> tuple[int, ...]:
    """What tells a file from another, and stays when it is renamed."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
