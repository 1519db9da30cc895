"""Job definitions: files in one place, a folder or a container, with the connections beside them.

Each is a document with an etag, changed by compare-and-set.

A job `shop` is in `shop.yaml`, `shop.yml` or `shop.json`, the connections that jobs name in
`connections.yaml` (or `.yml`, `.json`); whatever else lies there is passed over.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from pathlib import Path, PurePath
from typing import NamedTuple

from copy_core.errors import ConfigError, ConflictError
from copy_core.job import JOB_NAME
from copy_core.jobfile import CONNECTIONS, ENDINGS, text_of


class JobDocument(NamedTuple):
    """A job definition as it is written down.

    Attributes:
        name: the job's name.
        file: the name of the file or blob, whose ending tells YAML from JSON; for messages too.
        text: what is written there.
        etag: changes with every change.
    """

    name: str
    file: str
    text: str
    etag: str


class JobStore(ABC):
    """Job definitions by name. Safe to use from several threads.

    Every call raises `TransientError` when the place does not answer, and `ConfigError` when it is
    not there or refuses access.

    Attributes:
        folder: what relative paths in the files are meant from; None when that is nowhere.
    """

    folder: Path | None = None

    def list(self) -> dict[str, str]:
        """The names of all jobs, in order, each with its etag. Other files are passed over.

        A job that is in two files is listed with an etag that nobody can use.
        """
        etags: dict[str, list[str]] = defaultdict(list)
        for file, etag in sorted(self._files("").items()):
            if is_job_name(stem(file)):
                etags[stem(file)].append(etag)
        return {name: " ".join(found) for name, found in sorted(etags.items())}

    def get(self, name: str, known: JobDocument | None = None) -> JobDocument | None:
        """A job's document; None when there is none.

        Args:
            name: the job.
            known: what the caller has already; returned itself while it is still current. That a
                second file of the job appeared beside it is only seen by whoever lists.

        Raises:
            JobFileError: the document is not UTF-8.
            ConfigError: the job is in two files.
        """
        return self._document(name, known) if is_job_name(name) else None

    def connections(self, known: JobDocument | None = None) -> JobDocument | None:
        """The document with the connections beside the jobs; None when there is none.

        Args:
            known: as for `get`.

        Raises:
            JobFileError: the document is not UTF-8.
            ConfigError: there are two of them.
        """
        return self._document(CONNECTIONS, known)

    def file(self, name: str) -> str:
        """The name of the file that holds a job, or that would.

        Raises:
            ConfigError: this is no name for a job, or the job is in two files.
        """
        return self._place(name)[0]

    def put(self, name: str, text: str, etag: str | None) -> JobDocument:
        """Writes a document, whole or not at all.

        Args:
            name: the job.
            text: what it becomes: YAML, or JSON.
            etag: what the document must have now; None when there must be no such document yet.

        Raises:
            ConflictError: the document is not as expected (code `changed`), nothing was written.
        """
        file, current = self._place(name)
        if current != etag:
            raise changed(name)
        return JobDocument(name, file, text, self._write(file, text.encode(), etag))

    def delete(self, name: str, etag: str) -> None:
        """Removes a document.

        Raises:
            ConflictError: the document is not as expected, or gone (code `changed`).
        """
        found = self._found(name) if is_job_name(name) else None
        if found is None or found[1] != etag:
            raise changed(name)
        self._remove(found[0], etag)

    def close(self) -> None:  # noqa: B027 - a folder holds nothing open
        """Lets go of what the store holds open."""

    def _place(self, name: str) -> tuple[str, str | None]:
        """The file that holds a job, or that would, and its etag."""
        if not is_job_name(name):
            raise ConfigError(
                f"'{name}' is no name for a job",
                fix="Take up to 100 letters, digits, `_`, `.` and `-`, the first a letter or a"
                f" digit, and not `{CONNECTIONS}`",
                code="job-name",
            )
        return self._found(name) or (name + ENDINGS[0], None)

    def _found(self, name: str) -> tuple[str, str] | None:
        """The file that holds a document, and its etag."""
        found = {f: e for f, e in self._files(f"{name}.").items() if stem(f) == name}
        if len(found) > 1:
            what = "the connections are" if name == CONNECTIONS else f"the job '{name}' is"
            raise ConfigError(
                f"{what} in two files: {' and '.join(sorted(found))}",
                fix="Remove all but one of them",
                code="job-twice",
            )
        return next(iter(found.items()), None)

    def _document(self, name: str, known: JobDocument | None) -> JobDocument | None:
        if known is not None and (document := self._read(known.file, known)):
            return document
        found = self._found(name)
        return self._read(found[0], None) if found else None

    @abstractmethod
    def _files(self, start: str) -> dict[str, str]:
        """The files of the place whose names begin with `start`, each with its etag."""

    @abstractmethod
    def _read(self, file: str, known: JobDocument | None) -> JobDocument | None:
        """A file's document, `known` itself when that is still current, None when it is gone."""

    @abstractmethod
    def _write(self, file: str, content: bytes, etag: str | None) -> str:
        """Writes a file that still has the etag, or is not there yet; gives its new etag.

        Raises:
            ConflictError: it is not as expected.
        """

    @abstractmethod
    def _remove(self, file: str, etag: str) -> None:
        """Removes a file that still has the etag.

        Raises:
            ConflictError: it is not as expected.
        """


def stem(file: str) -> str:
    """The name of the document that a file of this name holds; "" when it holds none."""
    path = PurePath(file)
    return path.stem if path.suffix.lower() in ENDINGS else ""


def is_job_name(name: str) -> bool:
    """Whether a job can be kept under a name; such a name is safe in a path."""
    return bool(re.fullmatch(JOB_NAME, name)) and name.lower() != CONNECTIONS


def document(file: str, content: bytes, etag: str) -> JobDocument:
    """A file as a document.

    Raises:
        JobFileError: it is not UTF-8.
    """
    return JobDocument(stem(file), file, text_of(content, file), etag)


def changed(name: str) -> ConflictError:
    """The error for a document that is not as its writer expected."""
    return ConflictError(
        f"the document '{name}' is not as expected: somebody wrote or removed it meanwhile",
        fix="Read it again, and repeat your change on what it is now",
        code="changed",
    )
