"""Where a service keeps its job definitions: documents with an etag, changed by compare-and-set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple


class JobDocument(NamedTuple):
    """A job definition as it is written down.

    Attributes:
        name: the job's name.
        file: the name of the file or blob, whose ending tells YAML from JSON; for messages too.
        text: what is written there.
        etag: changes with every write.
    """

    name: str
    file: str
    text: str
    etag: str


class JobStore(ABC):
    """Job definitions by name. Safe to use from several threads.

    Every call raises `TransientError` when the store does not answer, and `ConfigError` when it is
    not there or refuses access.
    """

    @abstractmethod
    def list(self) -> dict[str, str]:
        """The names of all jobs, in order, each with its etag. Other files are passed over."""

    @abstractmethod
    def get(self, name: str, known: JobDocument | None = None) -> JobDocument | None:
        """A job's document; None when there is none.

        Args:
            name: the job.
            known: what the caller has already; it is returned itself while it is still current,
                so that nothing is transferred.
        """

    @abstractmethod
    def put(self, name: str, text: str, etag: str | None) -> JobDocument:
        """Writes a document, whole or not at all.

        Args:
            name: the job.
            text: what it becomes: YAML, or JSON.
            etag: what the document must have now; None when there must be no such document yet.

        Raises:
            ConflictError: the document is not as expected (code `changed`), nothing was written.
        """

    @abstractmethod
    def delete(self, name: str, etag: str) -> None:
        """Removes a document.

        Raises:
            ConflictError: the document is not as expected, or gone (code `changed`).
        """
