"""One object on its way from a store to another: what is done for it, whoever does it when."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from copy_core.connectors.files.checksums import Checksum, Digest
from copy_core.errors import TerminalError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Entry, Store, Upload

PIECE = 8 << 20
"""An object up to this size goes in one piece."""

_TRIES = 5
_LONGEST_PAUSE_S = 60.0
_OTHER = ("file-changed", "file-moved", "short-read")
T = TypeVar("T")


class Carried(NamedTuple):
    """What became of an object.

    Attributes:
        entry: the object at the source, as it was read.
        placed: the object that it became; None where it was left out.
    """

    entry: Entry
    placed: Entry | None


class Errand(NamedTuple):
    """How objects are to be carried.

    Attributes:
        source: where they are read.
        destination: where they go.
        keeps: whether an object that changed after it was listed is still wanted as it is now.
        check: raises when the work must stop; called every half second at least, and before an
            object is placed, from any thread.
        tell: is told of objects and bytes that were carried, from any thread.
    """

    source: Store
    destination: Store
    keeps: Callable[[Entry], bool] = lambda _: True
    check: Callable[[], None] = lambda: None
    tell: Callable[[int, int], None] = lambda _objects, _bytes: None


class Parcel:
    """An object on its way. `begin` carries a small one over; a larger one has an `upload` after
    it, whose every piece must be read and written, and then `finish`.

    Args:
        errand: from where to where.
        entry: the object.
        key: the key that it will have.
        stopped: set when nobody wants it any more.

    Attributes:
        upload: what its pieces go to.
        error: why the present try is given up.
        ended: whether it needs no more work.
        result: what became of it then.
    """

    def __init__(self, errand: Errand, entry: Entry, key: str, stopped: Event) -> None:
        self.entry = entry
        self.upload: Upload | None = None
        self.error: BaseException | None = None
        self.ended = False
        self.result: Carried | None = None
        self._errand, self._key, self._stopped = errand, key, stopped
        self._digest: Digest | None = None
        self._tries = 0

    @property
    def small(self) -> bool:
        """Whether it goes in one piece."""
        return self.entry.size <= PIECE

    @property
    def pieces(self) -> int:
        """How many pieces its upload takes."""
        return -(-self.entry.size // self.upload.part_bytes) if self.upload else 0

    def begin(self) -> None:
        """Has the service copy the object, or carries a small one, or opens a large one."""
        source, destination, entry = self._errand.source, self._errand.destination, self.entry
        # Who slept since may have lost the job, and others have placed what is newer.
        check = self._errand.check
        placed = destination.copied(source, entry, self._key, check=check)
        if placed is None and not self.small:
            properties = source.properties(entry)
            if (checksum := Checksum.of(properties)) is not None:
                self._digest = Digest(checksum, entry, self._stopped)
            self.upload = destination.upload(self._key, entry.size, properties)
            return
        if placed is None:
            data, properties = source.fetch(entry)
            check()
            placed = destination.put(self._key, data, properties=properties)
        self._errand.tell(1, entry.size)
        self._arrived(placed)

    def read(self, upload: Upload, number: int) -> bytes | None:
        """The bytes of one piece; None when it could not be read, or is not wanted any more. The
        error is kept, and the other pieces need not be carried then.
        """
        start = number * upload.part_bytes
        length = min(upload.part_bytes, self.entry.size - start)
        if self.error is not None or self._stopped.is_set():
            return None
        try:
            return self._patiently(lambda: self._errand.source.read(self.entry, start, length))
        except BaseException as e:  # noqa: BLE001 - `finish` raises it
            self._give_up(e)
            return None

    def write(self, upload: Upload, number: int, data: bytes) -> None:
        """Writes one piece; an error is kept as that of a read."""
        try:
            self._patiently(lambda: upload.put(number, data))
            if self._digest:
                self._digest.add(number, data)
            self._errand.tell(0, len(data))
        except BaseException as e:  # noqa: BLE001 - `finish` raises it
            self._give_up(e)

    def finish(self, upload: Upload) -> None:
        """Makes the object visible when all its pieces were carried; else raises why not."""
        if self.error is not None:
            raise self.error
        if self._digest:
            self._digest.check()
        self._errand.check()  # As in `begin`.
        placed = upload.complete()
        self._errand.tell(1, 0)
        self._arrived(placed)

    def look_again(self, error: TransientError) -> None:
        """After a try that failed: finds out whether there is another, or the object is left out.

        Raises:
            TransientError: it was tried often enough.
        """
        self.abandon()
        self._tries += 1
        if self._tries >= _TRIES:
            raise error
        if error.code in _OTHER:
            now = self._errand.source.stat(self.entry.key)
            if now is None or not self._errand.keeps(now):
                self.result, self.ended = Carried(self.entry, None), True
                return
            self.entry = now
        else:
            self._pause(self._tries, error)
        self.upload = self._digest = self.error = None

    def abandon(self) -> None:
        """Forgets what was uploaded of it."""
        if self.upload is not None and not self.ended:
            self.upload.abandon()

    def _arrived(self, placed: Entry) -> None:
        if placed.size != self.entry.size:
            raise TerminalError(
                f"the object has {self.entry.size:,} bytes and arrived with {placed.size:,}",
                fix="Look at what changes objects at the destination while they are copied",
                code="size-mismatch",
                file=self.entry.key,
            )
        self.result, self.ended = Carried(self.entry, placed), True

    def _give_up(self, error: BaseException) -> None:
        self.error = self.error or error
        if self._digest:
            self._digest.give_up()

    def _patiently(self, work: Callable[[], T]) -> T:
        """Does some work, and again when a service fails for the moment: one piece is less to
        repeat than a large object.
        """
        for tries in range(1, _TRIES):
            try:
                return work()
            except TransientError as e:
                if e.code in _OTHER or self._stopped.is_set():
                    raise
                self._pause(tries, e)
        return work()

    def _pause(self, tries: int, error: TransientError) -> None:
        asked = min(error.retry_after or 0.0, _LONGEST_PAUSE_S)
        self._stopped.wait(max(0.25 * 2**tries, asked))
