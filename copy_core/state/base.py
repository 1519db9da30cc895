"""The state store: rows of JSON with an etag, changed only by compare-and-set.

Everything above it (leases, table states, run records) is written once, on these five calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from copy_core.model import JsonDict


class Row(NamedTuple):
    """A stored row.

    Attributes:
        key: its key within the partition.
        value: its JSON value.
        etag: changes with every write.
    """

    key: str
    value: JsonDict
    etag: str


ABSENT: Final = "absent"
"""Expectation of `put`: no row has the key."""
ANY: Final = "any"
"""Expectation of `put` and `delete`: none; the last writer wins."""


class StateStore(ABC):
    r"""Partitions of ordered rows. Safe to use from several threads and processes.

    Partitions and keys are any text of up to 250 characters, `/ \ # ? %` and unicode included. A
    value may be 500,000 characters of JSON (non-ASCII ones counted as \uXXXX); stores refuse more
    with a `TerminalError`. A store that cannot be reached raises `TransientError`; one that is
    damaged, `TerminalError`.

    Attributes:
        place: what messages call it: its file, or its account and table. Never a secret.
    """

    place: str

    @abstractmethod
    def get(self, partition: str, key: str) -> Row | None:
        """The row, or None."""

    @abstractmethod
    def put(self, partition: str, key: str, value: JsonDict, expect: str = ANY) -> str:
        """Writes a row.

        Args:
            partition: the partition.
            key: the row's key.
            value: what it becomes, replacing all of what it was.
            expect: the etag that the row must have, or `ABSENT`, or `ANY`.

        Returns:
            The new etag.

        Raises:
            ConflictError: the row is not as expected; nothing was changed.
        """

    @abstractmethod
    def put_many(self, partition: str, values: Mapping[str, JsonDict]) -> None:
        """Writes many rows whatever they were; faster than one at a time, not atomic."""

    @abstractmethod
    def delete(self, partition: str, key: str, expect: str = ANY) -> None:
        """Removes a row; one that is not there is no error under `ANY`.

        Raises:
            ConflictError: the row is not as expected; nothing was changed.
        """

    @abstractmethod
    def list(
        self, partition: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[Row]:
        """Rows whose key starts with `prefix` and sorts after `after`, in the order of their keys
        (ASCII keys by their characters; others in a fixed order), at most `limit`.
        """

    @abstractmethod
    def delete_prefix(self, partition: str, prefix: str) -> None:
        """Removes every row whose key starts with `prefix`."""

    def close(self) -> None:  # noqa: B027 - a store may hold nothing open
        """Gives back connections. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
