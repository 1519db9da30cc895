"""What an object store is to the connectors of files, a folder of this machine included.

A store is everything below one root: a container and a prefix in it, or a folder. Objects are
named by keys, paths below the root with slashes between. It holds bytes and knows nothing of rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

from copy_core.connectors.files.checksums import verify
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


class Entry(NamedTuple):
    """An object as it was when somebody looked.

    Attributes:
        key: its path below the root.
        size: bytes.
        modified: when it was last changed, by the store's own clock, nanoseconds of the epoch.
        etag: another text whenever its bytes are others; never empty.
    """

    key: str
    size: int
    modified: int
    etag: str


@dataclass(frozen=True)
class Properties:
    """What a store keeps beside an object's bytes; what another one cannot keep is left out there.

    Attributes:
        content_type: its media type; "" when none was given. Likewise the next four.
        content_encoding: how it is packed.
        content_language: the language of its text.
        content_disposition: what a browser is told to do with it.
        cache_control: how long others may keep copies.
        metadata: names and values.
        tags: names and values by which services choose objects.
        md5: the MD5 of the whole object, where the store knows it.
        crc32: likewise its CRC32, big-endian. It says something of the bytes and is not kept beside
            them: whoever writes them makes another. So no comparison looks at it.
    """

    content_type: str = ""
    content_encoding: str = ""
    content_language: str = ""
    content_disposition: str = ""
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    md5: bytes | None = None
    crc32: bytes | None = field(default=None, compare=False)


AREA = "_copyjob"
"""The folder in that of a table where all lies that is not its rows."""
ANYTHING: None = None
"""For `Store.put`: whatever is there is replaced."""
NOTHING = ""
"""For `Store.put`: only if nothing is there."""
FEW = 16
"""How many objects to list where one will do: stubs of folders may come before it."""


class Upload(ABC):
    """An object on its way in parts of `part_bytes`, the last one shorter; nobody sees it before
    `complete`. Its methods may be called from several threads.

    Attributes:
        part_bytes: how many bytes each part has.
    """

    part_bytes: int

    @abstractmethod
    def put(self, number: int, data: bytes | memoryview) -> None:
        """Sends a part, from 0, in any order; the store verifies a checksum of it where it can. A
        second time replaces the first.
        """

    @abstractmethod
    def complete(self) -> Entry:
        """Makes the object visible in one step, in place of the one that had its key. No part at
        all makes an empty object.

        Raises:
            TerminalError: a part between others was never put (`part-missing`).
        """

    @abstractmethod
    def abandon(self) -> None:
        """Forgets the parts. Never raises, does nothing after `complete`."""


class Store(ABC):
    """Objects below one root. One instance serves many threads.

    Every method raises `copy_core.errors` classes alone: ConfigError for a container that is not
    there (`root-missing`), a refused sign-in (`login-failed`) or a missing right (`no-right`),
    TransientError for a service that is busy or away, all naming the object in `file`.

    Attributes:
        label: the root as people write it, without secrets: `s3://bucket/prefix`.
        tick_ns: two changes this far apart or more never have the same `modified`.
    """

    label: str
    tick_ns: int

    @abstractmethod
    def now(self) -> int:
        """The store's clock, nanoseconds of the epoch, its `modified` being of the same clock."""

    @abstractmethod
    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Every object whose key begins with `prefix` and comes after `after`, in the order of the
        keys' UTF-8 bytes; a page at a time, so that a million objects take no memory. Stubs of
        folders (keys that end in a slash; folders of a hierarchical namespace) are left out.
        """

    def holds(self, prefix: str) -> bool:
        """Whether there is an object whose key begins with `prefix`; for less than a page of a
        listing, where the store can.
        """
        return next(iter(self.list(prefix)), None) is not None

    @abstractmethod
    def stat(self, key: str) -> Entry | None:
        """The object of that key as it is now; None when there is none."""

    @abstractmethod
    def properties(self, entry: Entry) -> Properties:
        """What is kept beside its bytes; raises as `read`."""

    @abstractmethod
    def read(self, entry: Entry, start: int, length: int) -> bytes:
        """Exactly these bytes of the object, which has to be the same still.

        Raises:
            TransientError: it changed (`file-changed`) or went away (`file-moved`), or fewer bytes
                came than were promised (`short-read`).
        """

    @abstractmethod
    def put(
        self,
        key: str,
        data: bytes,
        replacing: str | None = ANYTHING,
        properties: Properties | None = None,
    ) -> Entry:
        """Writes a small object in one step.

        Args:
            key: its key.
            data: its bytes.
            replacing: the etag that the object there must have; `NOTHING`, or `ANYTHING`.
            properties: what to keep beside it.

        Raises:
            ConflictError: something else is there (`etag-changed`).
        """

    @abstractmethod
    def upload(
        self, key: str, size: int | None = None, properties: Properties | None = None
    ) -> Upload:
        """Begins an object.

        Args:
            key: its key.
            size: how many bytes it will have, which decides how large its parts are; None when
                nobody knows yet: it may become large.
            properties: what to keep beside it.
        """

    @abstractmethod
    def move(self, source: str, key: str) -> None:
        """Gives an object another key, in place of what had that. When it is gone already, nothing
        happens: somebody has moved it before.
        """

    @abstractmethod
    def remove(self, keys: Iterable[str]) -> None:
        """Removes objects; those that are not there are fine."""

    @abstractmethod
    def discard(self, objects: Iterable[tuple[str, str]]) -> None:
        """Removes objects that are the same still. One that has changed stays, also if it does so
        at this very moment, where the service takes a condition for a removal; one that is not
        there is fine.

        Args:
            objects: the key of each, and the etag that it must have.
        """

    def fetch(self, entry: Entry) -> tuple[bytes, Properties]:
        """A small object whole, with what is kept beside its bytes, in fewer requests than `read`
        and `properties` take, where the store can. Raises as `read`, and when the bytes do not have
        the checksum that the store knows.
        """
        data, properties = self.read(entry, 0, entry.size), self.properties(entry)
        verify(data, properties, entry)
        return data, properties

    def copied(
        self,
        source: Store,
        entry: Entry,
        key: str,
        properties: Properties | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Entry | None:
        """Has the service copy an object of another store by itself.

        Args:
            source: where it is.
            entry: the object.
            key: the key that it will have.
            properties: what to keep beside it; None keeps what it has.
            check: raises when the object must not appear any more; called before it does, where the
                service takes more than a request for it.

        Returns:
            The new object; None where the service cannot (nothing was done then): stream it.
        """
        del source, entry, key, properties, check
        return None

    def signed_url(self, entry: Entry, seconds: int) -> str | None:
        """An address from which whoever has it may read an object for a while.

        Args:
            entry: the object.
            seconds: how long; no longer than the credentials live.

        Returns:
            The address; None where there is none that other services could reach.
        """
        del entry, seconds
        return None

    def unfinished(self, prefix: str = "") -> int | None:
        """When the oldest upload was begun that is still under way below a prefix and will appear
        with that time as its `modified`; None when there is none, or the store has no such.
        """
        del prefix
        return None

    def open(self, entry: Entry) -> pa.NativeFile:
        """An object to read from anywhere in it; raises as `read`."""
        from copy_core.connectors.files.ranges import opened

        return opened(self, entry)

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Gives back connections. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def confined(key: str) -> str:
    """The key, if it stays below the root wherever it is written.

    Raises:
        ConfigError: it has a `..`, `.` or empty step, or begins with a slash: some store would take
            it for a path that leads elsewhere.
    """
    if any(step in ("", ".", "..") for step in key.split("/")) or "\0" in key:
        raise ConfigError(
            "the name leads out of the connection's root, or would on some stores",
            fix="Rename the object, or leave it out with `exclude`",
            code="path-outside",
            file=key,
        )
    return key
