"""Files on their way: written aside in the folder that they go to, under names that nobody else
has; locked as long as their writer lives, so that what a dead one left can be told and removed.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path
from threading import Lock

from copy_core import disk
from copy_core.connectors.files.store import Entry, Upload
from copy_core.connectors.files.stores.local_listing import changed, entry_of
from copy_core.connectors.files.stores.parts import all_there
from copy_core.errors import TransientError
from copy_core.failures import from_os

_UNDER_LOCK = ".copyjob-put.tmp"
_ASIDE = re.compile(r"\.copyjob-[0-9a-f]{16}\.tmp")
_TRIES = 5


class LocalUpload(Upload):
    """A file that is written aside until it is complete.

    Args:
        key: its key.
        path: where it will lie.
        part_bytes: how many bytes each part has.
    """

    def __init__(self, key: str, path: Path, part_bytes: int) -> None:
        self.part_bytes = part_bytes
        self._key = key
        self._path = path
        self._file = self._opened()
        self._aside = Path(self._file.name)
        self._lock = Lock()
        self._over = False
        self._numbers: set[int] = set()

    def put(self, number: int, data: bytes | memoryview) -> None:
        try:
            with self._lock:  # Which costs nothing: the kernel writes a file for one at a time.
                self._file.seek(number * self.part_bytes)
                self._file.write(data)
                self._numbers.add(number)
        except OSError as e:
            raise from_os(e, file=str(self._path)) from e

    def complete(self) -> Entry:
        all_there(self._numbers, self._key)
        try:
            with self._lock:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._outlast()
                if sys.platform == "win32":  # There a file that is open gets no other name.
                    self._file.close()
                self._aside.replace(self._path)
                self._over = True
                closed = self._file.closed
                facts = self._path.stat() if closed else os.fstat(self._file.fileno())
                self._file.close()
            disk.flush_folder(self._path.parent)
        except OSError as e:
            raise from_os(e, file=str(self._path)) from e
        entry = entry_of(self._key, facts)
        assert entry is not None  # noqa: S101 - we have made it a file
        return entry

    def abandon(self) -> None:
        if not self._over:
            self._over = True
            with suppress(OSError):  # What could not be written is not wanted any more.
                self._file.close()
            with suppress(OSError):  # Who writes here next removes it.
                self._aside.unlink(missing_ok=True)

    @staticmethod
    def sweep(folder: Path) -> None:
        """Removes what dead writers left in a folder."""
        with suppress(OSError), os.scandir(folder) as entries:
            for left in [entry.path for entry in entries if _ASIDE.fullmatch(entry.name)]:
                with suppress(OSError), Path(left).open("rb") as file:
                    if disk.held(file):
                        Path(left).unlink()

    def _opened(self) -> BufferedRandom:
        for left in reversed(range(_TRIES)):
            aside = self._path.with_name(f".copyjob-{secrets.token_hex(8)}.tmp")
            try:
                disk.make_folder(self._path.parent)
                file = aside.open("x+b")
            except FileNotFoundError:  # The folder was removed as empty.
                if not left:
                    raise
                continue
            # Somebody who sweeps may take it for left over before it is locked.
            if disk.held(file) and aside.exists():
                return file
            file.close()
        raise TransientError("others remove the file", code="folder-busy", file=self._key)

    def _outlast(self) -> None:
        """Sees to it that no two versions of a file are of one instant: file systems use the number
        of a file that was replaced again at once, so nothing else might tell them apart.
        """
        with suppress(FileNotFoundError):
            before = changed(self._path.stat())
            while changed(os.fstat(self._file.fileno())) == before:
                time.sleep(0.001)
                os.utime(self._aside)


class PutUnderLock(LocalUpload):
    """A file that is written while its folder is locked, over what a dead writer left."""

    def _opened(self) -> BufferedRandom:
        return self._path.with_name(_UNDER_LOCK).open("w+b")
