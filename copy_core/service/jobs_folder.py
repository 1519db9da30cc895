"""Job files in a folder of this machine, edited by people and by the API.

A change is made under a lock and by replacing the file in one step, so that of two writers one
wins, whichever process they are in, and a reader sees the old text or the new. The etag is a hash
of the file: also of one that was edited by hand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copy_core import disk
from copy_core.errors import ConfigError
from copy_core.failures import from_os
from copy_core.service.jobs import JobDocument, JobStore, changed, document, stem

_LOCK = ".copyjob.lock"


class FolderJobs(JobStore):
    """The job files of a folder. The folder must be there.

    Args:
        folder: the folder.
    """

    folder: Path

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).expanduser()

    def _files(self, start: str) -> dict[str, str]:
        with self._errors_told():
            # Listed, not asked for by name: some systems take Shop.yaml for shop.yaml.
            found = [p for p in self.folder.iterdir() if p.name.startswith(start) and stem(p.name)]
        return {path.name: etag for path in found if (etag := _listed_etag(path))}

    def _read(self, file: str, known: JobDocument | None) -> JobDocument | None:
        with self._errors_told():
            return read(self.folder / file, known)

    def _write(self, file: str, content: bytes, etag: str | None) -> str:
        with self._errors_told(), disk.locked(self.folder / _LOCK):
            self._expect(file, etag)
            disk.replace(self.folder / file, content)
        return _etag(file, content)

    def _remove(self, file: str, etag: str) -> None:
        with self._errors_told(), disk.locked(self.folder / _LOCK):
            self._expect(file, etag)
            (self.folder / file).unlink()
            disk.flush_folder(self.folder)

    def _expect(self, file: str, etag: str | None) -> None:
        content = _content(self.folder / file)
        if (None if content is None else _etag(file, content)) != etag:
            raise changed(stem(file))

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            if not self.folder.is_dir():
                raise ConfigError(
                    "there is no such folder for job files",
                    fix="Make it, or correct the address of the jobs",
                    code="jobs-missing",
                    file=str(self.folder),
                ) from e
            raise from_os(e, file=str(e.filename or self.folder)) from e


def read(path: Path, known: JobDocument | None = None) -> JobDocument | None:
    """A file's document, `known` itself when that is still current; None when it is not there.

    Raises:
        JobFileError: it is not UTF-8.
        OSError: it cannot be read.
    """
    content = _content(path)
    if content is None:
        return None
    etag = _etag(path.name, content)
    if known is not None and (known.file, known.etag) == (path.name, etag):
        return known
    return document(path.name, content, etag)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        if path.is_dir():
            return None  # a folder that is called like a file
        raise


def _listed_etag(path: Path) -> str | None:
    try:
        content = _content(path)
    except OSError:
        # One file that cannot be read does not hide the others; whoever reads it is told why.
        return "unreadable"
    return None if content is None else _etag(path.name, content)


def _etag(file: str, content: bytes) -> str:
    return hashlib.sha256(file.encode() + b"\0" + content).hexdigest()[:32]
