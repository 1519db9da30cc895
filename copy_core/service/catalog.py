"""The jobs of a service, read and checked, with the connections that they may name."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from copy_core.errors import ConfigError, CopyJobError
from copy_core.failures import from_os
from copy_core.jobfile import Loaded, checked, checked_connections
from copy_core.service import jobs_folder
from copy_core.service.jobs_registry import open_jobs
from copy_core.yaml_lines import Document, parse

if TYPE_CHECKING:
    from copy_core.connectors.options import Connection
    from copy_core.service.jobs import JobDocument, JobStore
    from copy_core.service.settings import Settings

# Documents that are read at the same time when many changed, as after a start.
_READERS = 8


class _Known(NamedTuple):
    """A job as it was read last, and the connections that it was read with."""

    document: JobDocument
    connections: Document | None
    loaded: Loaded


class _Connections(NamedTuple):
    """The operator's connections as they were read last."""

    document: JobDocument
    parsed: Document


class Catalog:
    """Jobs by name. Safe to use from several threads.

    A job is read again only when it, or the file with the connections, changed. Every call raises
    what `JobStore` says besides what stands at the call.

    Args:
        jobs: where the jobs are.
        connections: the file with the connections that jobs may name; empty for the one beside
            the jobs, if there is one.
    """

    def __init__(self, jobs: JobStore, connections: str = "") -> None:
        self._jobs = jobs
        self._file = Path(connections).expanduser() if connections else None
        self._lock = Lock()
        self._known: dict[str, _Known] = {}
        self._known_connections: _Connections | None = None

    def names(self) -> list[str]:
        """The names of all jobs, in order."""
        return list(self._jobs.list())

    def etags(self) -> dict[str, str]:
        """The names of all jobs, in order, each with the etag of its document."""
        return self._jobs.list()

    def document(self, name: str) -> JobDocument:
        """A job's document as it is written down.

        Raises:
            ConfigError: there is no such job (code `job-unknown`), or it is in two files.
            JobFileError: it is not UTF-8.
        """
        known = self._known.get(name)
        if document := self._jobs.get(name, known.document if known else None):
            return document
        near = get_close_matches(name, self.names(), n=1)
        raise ConfigError(
            f"there is no job '{name}'",
            fix=f"Did you mean '{near[0]}'?" if near else "Look for a mistyped name",
            code="job-unknown",
        )

    def load(self, name: str) -> Loaded:
        """A job and its connections.

        Raises:
            ConfigError: there is no such job (code `job-unknown`), or it is in two files.
            JobFileError: something is wrong in it or in the file with the connections; code
                `job-name` when it only calls itself by another name.
        """
        return self.read(self.document(name))

    def read(self, document: JobDocument) -> Loaded:
        """A job and its connections, by a document of it.

        Raises:
            JobFileError: as for `load`.
        """
        return self._loaded(document, self._connections())

    def loaded(self) -> Iterator[tuple[str, Loaded | CopyJobError]]:
        """All jobs in order, each with what was loaded or why it could not be."""
        etags = self._jobs.list()
        with self._lock:
            for gone in self._known.keys() - etags.keys():
                del self._known[gone]
        try:
            connections = self._connections()
        except CopyJobError as e:
            yield from ((name, e) for name in etags)
            return

        def load(name: str) -> Loaded | CopyJobError | None:
            known = self._known.get(name)
            try:
                if known is None or known.document.etag != etags[name]:
                    document = self._jobs.get(name)
                    return self._loaded(document, connections) if document else None
                return self._loaded(known.document, connections)
            except CopyJobError as e:
                # What is known of it may be what nobody else can see any more.
                self._forget(name)
                return e

        with ThreadPoolExecutor(_READERS, "catalog") as pool:
            for name, found in zip(etags, pool.map(load, etags), strict=True):
                if found is not None:  # or it was removed meanwhile
                    yield name, found

    def check(self, name: str, text: str) -> Loaded:
        """What a text would be as a job's document, as somebody sent it.

        Such a job may name connections, but define none.

        Raises:
            ConfigError: this is no name for a job, or the job is in two files.
            JobFileError: something is wrong in it or in the file with the connections.
        """
        file = Path(self._jobs.file(name))
        others = _listed(self._connections())
        return checked(parse(text, file, self._jobs.folder), others, name=name, sent=True)

    def put(self, name: str, text: str, etag: str | None) -> JobDocument:
        """Writes a job's document after `check`.

        Args:
            name: the job.
            text: what its document becomes.
            etag: what the document must have now; None when there must be no such document yet.

        Raises:
            ConfigError: as for `check`.
            JobFileError: as for `check`.
            ConflictError: the document is not as expected (code `changed`), nothing was written.
        """
        self.check(name, text)
        return self._jobs.put(name, text, etag)

    def delete(self, name: str, etag: str) -> None:
        """Removes a job's document.

        Raises:
            ConflictError: it is not as expected, or gone (code `changed`).
        """
        self._jobs.delete(name, etag)
        self._forget(name)

    def connections(self) -> dict[str, Connection]:
        """The connections that jobs may name.

        Raises:
            JobFileError: something is wrong in the file that defines them.
        """
        return checked_connections(_listed(self._connections()))

    def close(self) -> None:
        """Lets go of what the store of the jobs holds open."""
        self._jobs.close()

    def _loaded(self, document: JobDocument, connections: Document | None) -> Loaded:
        known = self._known.get(document.name)
        if known and known.document == document and known.connections is connections:
            return known.loaded
        file = parse(document.text, Path(document.file), self._jobs.folder)
        loaded = checked(file, _listed(connections), name=document.name)
        with self._lock:
            self._known[document.name] = _Known(document, connections, loaded)
        return loaded

    def _forget(self, name: str) -> None:
        with self._lock:
            self._known.pop(name, None)

    def _connections(self) -> Document | None:
        """The file with the connections, the same object for as long as it did not change."""
        last = self._known_connections
        document = self._connections_document(last.document if last else None)
        if document is None:
            return None
        if last is None or last.document != document:
            file, folder = Path(document.file), self._jobs.folder
            if self._file:
                file, folder = self._file, self._file.parent
            last = _Connections(document, parse(document.text, file, folder))
            with self._lock:
                self._known_connections = last
        return last.parsed

    def _connections_document(self, known: JobDocument | None) -> JobDocument | None:
        if self._file is None:
            return self._jobs.connections(known)
        try:
            document = jobs_folder.read(self._file, known)
        except OSError as e:
            raise from_os(e, file=str(self._file)) from e
        if document is None:
            raise ConfigError(
                "there is no such file with connections",
                fix="Make it, or correct the setting COPYJOB_CONNECTIONS",
                code="connections-missing",
                file=str(self._file),
            )
        return document


def open_catalog(settings: Settings) -> Catalog:
    """The catalog that the settings of a service name.

    Raises:
        ConfigError: the address of the jobs is not understood.
    """
    return Catalog(open_jobs(settings.jobs), settings.connections)


def _listed(connections: Document | None) -> list[Document]:
    return [connections] if connections else []
