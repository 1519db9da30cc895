"""Files on their way out: taken aside, looked at once more, and then removed or put back.

No file system removes a file on a condition. A rename takes whatever has the name at that instant,
to where nobody writes; if that is another file than was meant, it gets its name back. What a
process had taken when it died gets its name back from whoever lists or clears the folder next.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from copy_core import disk
from copy_core.connectors.files.store import AREA
from copy_core.errors import TransientError

LOCK = ".copyjob-lock"
"""The file that is locked while another of its folder is put conditionally, or taken aside."""
_DISCARDS = "discard"
_TRIES = 20


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """A place in a folder for the files that are taken from it. What still lies there at the end is
    put back.

    Raises:
        OSError: it cannot be made; FileNotFoundError if there is no such folder.
        TransientError: others remove it as empty again and again.
    """
    for left in reversed(range(_TRIES)):
        place = folder / AREA / _DISCARDS / secrets.token_hex(8)
        try:
            for each in (place.parent.parent, place.parent, place):
                each.mkdir(exist_ok=True)
            lock = (place / LOCK).open("xb")
        except (FileNotFoundError, FileExistsError):  # Others remove what is empty just now.
            if not left:
                raise
            continue
        with lock:
            if _ours(lock, place):  # Nobody took it for left over before it was locked.
                try:
                    yield place
                finally:
                    _cleared(place, folder)
                return
    raise TransientError(
        "others remove the folder for what goes", code="folder-busy", file=str(folder)
    )


def restored(folder: Path) -> set[str]:
    """Puts back what processes that died had taken from a folder.

    Returns:
        The names of what came back.
    """
    try:
        with os.scandir(folder / AREA / _DISCARDS) as entries:
            places = [Path(entry.path) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return set()
    back: set[str] = set()
    for place in places:
        try:
            lock = (place / LOCK).open("rb")
        except FileNotFoundError:  # It is about to be used, has been, or its maker died too early.
            _tidied(place)
            continue
        with lock:
            if _ours(lock, place):  # Nor is it gone since we saw it.
                back |= _cleared(place, folder)
    return back


def put_back(taken: Path, path: Path) -> None:
    """Gives a file its name back. If another has it by now that one is newer, and whoever wrote it
    would have replaced this one.
    """
    try:
        os.link(taken, path, follow_symlinks=False)
    except FileExistsError:
        pass
    except FileNotFoundError:  # Somebody else has put it back.
        return
    except OSError:  # The file system has no second names, or not for the files of others.
        if not os.path.lexists(path):
            taken.rename(path)
            return
    taken.unlink(missing_ok=True)


def _ours(lock: IO[bytes], place: Path) -> bool:
    """Whether nobody else uses a place, or has cleared it."""
    return disk.held(lock) and (place / LOCK).exists()


def _cleared(place: Path, folder: Path) -> set[str]:
    """Puts back what lies in a place, and removes it."""
    with os.scandir(place) as entries:
        names = {entry.name for entry in entries} - {LOCK}
    for name in names:
        put_back(place / name, folder / name)
    if names:
        disk.flush_folder(folder)
    (place / LOCK).unlink(missing_ok=True)
    _tidied(place)
    return names


def _tidied(place: Path) -> None:
    """Removes a place, and what it lies in, as far as they are empty."""
    with suppress(OSError):  # They are not, or somebody else has removed them.
        for each in (place, place.parent, place.parent.parent):
            each.rmdir()
