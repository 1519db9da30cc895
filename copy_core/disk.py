"""Files that several processes change: under a lock, whole or not at all, safe from power cuts."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_TRIES = 5


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Keeps others out, processes and threads, until the block ends.

    The operating system lets the lock go when its process ends, however it ends. The file stays:
    if it were removed, somebody might wait for the removed one.

    Args:
        lock: the file to lock, made when it is not there.

    Raises:
        OSError: the file cannot be made or locked.
    """
    with lock.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


def held(file: IO[bytes]) -> bool:
    """Locks an open file until it is closed; False if somebody else has locked it.

    Windows needs no lock to tell: there a file that is open cannot be removed.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def replace(path: Path, content: bytes) -> None:
    """Writes a file in one step that survives a power cut; readers see the old one or the new.

    Only while locked: what a writer that died left aside is overwritten by the next.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(path: Path) -> None:
    """Makes names that were added to a folder, or taken from it, survive a power cut."""
    if sys.platform != "win32":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, so that they survive a power cut.

    Raises:
        OSError: it cannot be made; FileNotFoundError if others remove the one above all the time.
    """
    if path.is_dir():
        return
    if path.is_file():
        raise NotADirectoryError(errno.ENOTDIR, "a file lies where a folder should be", str(path))
    for left in reversed(range(_TRIES)):
        make_folder(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except (FileNotFoundError, FileExistsError):  # Others remove what is empty just now.
            if not left:
                raise
            continue
        # It may have been removed again by now, and its own folder with it.
        with suppress(FileNotFoundError):
            flush_folder(path.parent)
        return
