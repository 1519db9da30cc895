"""A folder of this machine as an object store.

Files are written aside, flushed to the disk and renamed, so that readers see whole ones only, and
after a power cut too. A conditional put happens under a lock that the operating system lets go
when its holder dies. Links to files below the root are files; properties are not kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from itertools import groupby, islice
from pathlib import Path

import pyarrow as pa

from copy_core import disk
from copy_core.connectors.files.store import (
    ANYTHING,
    AREA,
    NOTHING,
    Entry,
    Properties,
    Store,
    Upload,
    confined,
)
from copy_core.connectors.files.stores import local_discard
from copy_core.connectors.files.stores.local_aside import LOCK
from copy_core.connectors.files.stores.local_listing import confine, entry_of, listed
from copy_core.connectors.files.stores.local_upload import LocalUpload, PutUnderLock
from copy_core.errors import ConfigError, ConflictError, TransientError
from copy_core.failures import from_os

_PART_BYTES = 8 << 20
_PARTS = 10_000
_TRIES = 5
_MOST_FOLDERS = 10_000
_AT_ONCE = 1_000


class LocalStore(Store):
    """The files below a folder.

    Args:
        root: the folder.
        exists: it has to be there, as that of a source; else a missing one is an empty store, as
            that of a destination is before its first copy.
    """

    # The clock that the kernel stamps files by ticks every 10 ms, or more often.
    tick_ns = 10_000_000
    page_size = 1 << 16

    def __init__(self, root: str, *, exists: bool = False) -> None:
        self.label = root
        self._root = Path(root)
        self._real = self._root.resolve()
        self._exists = exists
        self._swept: set[Path] = set()

    def now(self) -> int:
        return time.time_ns()

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        with self._faults(prefix):
            if self._exists and not self._root.is_dir():
                raise ConfigError(
                    f"{self._root} is a file, not a folder"
                    if self._root.exists()
                    else f"there is no folder {self._root}",
                    fix="Correct the connection's `root`",
                    code="root-missing",
                )
            yield from listed(self._root, prefix, after, self.page_size)

    def stat(self, key: str) -> Entry | None:
        with self._faults(key):
            try:
                return entry_of(key, self._path(key).stat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def properties(self, entry: Entry) -> Properties:
        with self._reading(entry):
            return Properties()

    def read(self, entry: Entry, start: int, length: int) -> bytes:
        with self._reading(entry) as file:
            file.seek(start)
            data = file.read(length)
        if len(data) < length:
            raise TransientError(
                f"only {len(data)} of {length} bytes came", code="short-read", file=entry.key
            )
        return data

    def open(self, entry: Entry) -> pa.NativeFile:
        """As Arrow opens files itself, which is faster: a change after that is not noticed."""
        with self._faults(entry.key), _there(entry.key):
            file = pa.OSFile(str(self._path(entry.key)))
        try:
            _check_same(entry, file.fileno())
        except BaseException:
            file.close()
            raise
        return file

    def put(
        self,
        key: str,
        data: bytes,
        replacing: str | None = ANYTHING,
        properties: Properties | None = None,
    ) -> Entry:
        del properties
        with self._faults(key):
            path = self._path(key)
            self._sweep(path.parent)
            if replacing is ANYTHING:
                return _written(LocalUpload(key, path, max(len(data), 1)), data)
            disk.make_folder(path.parent)
            with disk.locked(path.with_name(LOCK)):
                there = self.stat(key)
                if (there.etag if there else NOTHING) != replacing:
                    raise ConflictError(
                        "the file is no longer what it was", code="etag-changed", file=key
                    )
                return _written(PutUnderLock(key, path, max(len(data), 1)), data)

    def upload(
        self, key: str, size: int | None = None, properties: Properties | None = None
    ) -> Upload:
        del properties
        with self._faults(key):
            path = self._path(key)
            self._sweep(path.parent)
            return LocalUpload(key, path, max(_PART_BYTES, -(-(size or 0) // _PARTS)))

    def move(self, source: str, key: str) -> None:
        with self._faults(source):
            here, there = self._path(source), self._path(key)
            for _ in range(_TRIES):
                if not here.exists():
                    return
                with suppress(FileNotFoundError):  # Or its new folder was removed as empty.
                    disk.make_folder(there.parent)
                    here.replace(there)
                    disk.flush_folder(there.parent)
                    self._tidy(here.parent)
                    return
        raise TransientError("others remove its new folder", code="folder-busy", file=key)

    def remove(self, keys: Iterable[str]) -> None:
        folder: Path | None = None
        for key in keys:
            with self._faults(key):
                path = self._path(key)
                if folder is not None and folder != path.parent:
                    self._left(folder)
                with suppress(NotADirectoryError):
                    path.unlink(missing_ok=True)
                folder = path.parent
        if folder is not None:
            with self._faults(""):
                self._left(folder)

    def discard(self, objects: Iterable[tuple[str, str]]) -> None:
        waiting = iter(objects)
        while some := sorted(islice(waiting, _AT_ONCE)):
            files = [(self._path(key), etag) for key, etag in some]
            for folder, those in groupby(files, lambda file: file[0].parent):
                with self._faults(str(folder)):
                    local_discard.discard(folder, [(path.name, etag) for path, etag in those])
                    self._left(folder)

    def _left(self, folder: Path) -> None:
        """Makes removals from a folder last, and removes it as well if it is of no more use."""
        with suppress(FileNotFoundError, NotADirectoryError):
            disk.flush_folder(folder)
        self._tidy(folder)

    def _tidy(self, folder: Path) -> None:
        """Removes a folder, and those above it, that is empty and that a copy has made: in our
        area, or of a partition. Programs may be about to write into others.
        """
        steps = folder.relative_to(self._root).parts
        if steps and ("=" in steps[-1] or AREA in steps):
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return  # It is not empty.
            self._tidy(folder.parent)

    def _sweep(self, folder: Path) -> None:
        """Removes what dead writers left in a folder, the first time that it is written to."""
        if folder not in self._swept:
            if len(self._swept) >= _MOST_FOLDERS:
                self._swept.clear()
            self._swept.add(folder)
            LocalUpload.sweep(folder)

    @contextmanager
    def _faults(self, key: str) -> Iterator[None]:
        """What this machine refuses is told with the whole path, which people look for there."""
        try:
            yield
        except OSError as e:
            raise from_os(e, file=str(self._root / key)) from e

    def _path(self, key: str) -> Path:
        return confine(self._root, self._real, confined(key))

    @contextmanager
    def _reading(self, entry: Entry) -> Iterator[BufferedReader]:
        """The file, which is the same still before and after."""
        with self._faults(entry.key):
            with _there(entry.key):
                file = self._path(entry.key).open("rb")
            with file:
                yield file
                _check_same(entry, file.fileno())


def _check_same(entry: Entry, file: int) -> None:
    now = entry_of(entry.key, os.fstat(file))
    if now is None or now.etag != entry.etag:
        raise TransientError("the file changed just now", code="file-changed", file=entry.key)


@contextmanager
def _there(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as e:
        raise TransientError("the file went away just now", code="file-moved", file=key) from e


def _written(upload: LocalUpload, data: bytes) -> Entry:
    try:
        upload.put(0, data)
        return upload.complete()
    except BaseException:
        upload.abandon()
        raise
