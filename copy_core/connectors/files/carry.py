"""Carries objects from one store to another: many side by side, large ones in pieces.

One thread, the caller's, hands out jobs in the order of the objects: a small object is one job, a
larger one is opened and then a job a piece. Each job reads and then writes. What is handed out is
bounded by its bytes, whatever the sizes. Pieces that begin together would be read together and then
written together, each store idle in turn: so no more are read while there are enough to write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition, Event
from typing import TYPE_CHECKING

from copy_core.connectors.files.parcel import Carried, Errand, Parcel
from copy_core.errors import TransientError

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Entry, Upload

THREADS = 16
"""Jobs at the same time: a service far away answers one after 50 ms or so, however small it is."""
IN_FLIGHT = 64 << 20
"""Bytes in memory at most, unless a store wants larger pieces: then one piece."""

_LEAST = 256 << 10  # what a job counts for at least
# Of the eight pieces that there is room for, six are under way at least, wherever the time goes: if
# reading takes it, few are written, and as many are read as there is room for.
_READING = 2
_WRITING = 4
_LOOK_S = 0.5


def carry(errand: Errand, items: Iterable[tuple[Entry, str]]) -> Iterator[Carried]:
    """Carries objects over, properties included, in place of what has their keys.

    A service that can copy an object by itself does; else its bytes pass through here, and are
    held against a checksum that the source knows. One that changes meanwhile is looked at again: it
    is read anew, or left out where it is gone or `errand.keeps` does not want it any more.

    Args:
        errand: from where to where.
        items: the objects, and the keys that they will have; pulled as there is room for them.

    Yields:
        What became of each, in the order of `items`.

    Raises:
        TransientError: an object changed, or a service failed, each time it was tried.
        TerminalError: an object arrived in another size.
    """
    stopped = Event()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="carry")
    carrier = _Carrier(errand, pool, stopped)
    try:
        yield from carrier.carried(iter(items))
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        carrier.abandon()


class _Opened:
    """A large object: pieces that were handed out, and those of them that are under way."""

    def __init__(self, parcel: Parcel, upload: Upload) -> None:
        self.parcel, self.upload, self.pieces = parcel, upload, parcel.pieces
        self.fed = self.running = 0

    @property
    def wanted(self) -> bool:
        """Whether more pieces are to be handed out."""
        return self.fed < self.pieces and self.parcel.error is None


class _Carrier:
    """Hands out jobs, and knows what is under way."""

    def __init__(self, errand: Errand, pool: ThreadPoolExecutor, stopped: Event) -> None:
        self._errand, self._pool, self._stopped = errand, pool, stopped
        self._changed = Condition()
        self._bytes = self._active = self._reading = self._writing = 0
        self._failure: BaseException | None = None
        self._order: deque[Parcel] = deque()
        self._opened: deque[_Opened] = deque()
        self._again: deque[Parcel] = deque()

    def carried(self, items: Iterator[tuple[Entry, str]]) -> Iterator[Carried]:
        more = True
        while more or self._order:
            while self._order and self._order[0].ended:
                if (result := self._order.popleft().result) is not None:
                    yield result
            self._errand.check()
            if (opened := self._first_opened()) is not None:
                self._feed(opened)
            elif self._again:
                self._start(self._again.popleft())
            elif more and self._active < 2 * THREADS:
                if (item := next(items, None)) is None:
                    more = False
                else:
                    self._order.append(Parcel(self._errand, *item, self._stopped))
                    self._count(1)
                    self._start(self._order[-1])
            elif self._order:
                self._wait(lambda: bool(self._order[0].ended or self._opened or self._again))

    def abandon(self) -> None:
        """Forgets what is not complete; no thread is at work any more."""
        for parcel in self._order:
            parcel.abandon()

    def _first_opened(self) -> _Opened | None:
        """The first large object that has pieces to hand out."""
        with self._changed:
            while self._opened and not self._opened[0].wanted:
                self._opened.popleft()
            return self._opened[0] if self._opened else None

    def _start(self, parcel: Parcel) -> None:
        size = parcel.entry.size if parcel.small else 0
        self._hold(size)
        self._pool.submit(self._begin, parcel, size)

    def _feed(self, opened: _Opened) -> None:
        self._wait(lambda: self._reading < _READING or self._writing < _WRITING)
        self._hold(opened.upload.part_bytes)
        with self._changed:
            number, wanted = opened.fed, opened.wanted
            if wanted:
                opened.fed += 1
                opened.running += 1
                self._reading += 1
        if wanted:
            self._pool.submit(self._piece, opened, number)
        else:  # It was given up while there was no room.
            self._free(opened.upload.part_bytes)

    def _begin(self, parcel: Parcel, held: int) -> None:
        """The job of a small object, and the first one of a large object."""
        with self._freeing(held), self._minding(parcel):
            parcel.begin()
            if parcel.upload is not None and not parcel.ended:
                with self._changed:
                    self._opened.append(_Opened(parcel, parcel.upload))

    def _piece(self, opened: _Opened, number: int) -> None:
        """The job of a piece; the last one under way ends its object, or the try at it."""
        with self._freeing(opened.upload.part_bytes):
            data = opened.parcel.read(opened.upload, number)
            with self._changed:
                self._reading -= 1
                self._writing += 1
                self._changed.notify_all()
            if data is not None:
                opened.parcel.write(opened.upload, number, data)
            with self._changed:
                self._writing -= 1
                opened.running -= 1
                last = not opened.running and not opened.wanted
                if last:
                    opened.fed = opened.pieces
            if last and not self._stopped.is_set():
                with self._minding(opened.parcel):
                    opened.parcel.finish(opened.upload)

    @contextmanager
    def _minding(self, parcel: Parcel) -> Iterator[None]:
        """Finds out, at the end of a try at an object, what becomes of it."""
        try:
            try:
                yield
            except TransientError as e:
                parcel.look_again(e)
                if not parcel.ended:
                    self._again.append(parcel)
            if parcel.ended:
                self._count(-1)
        except BaseException as e:  # noqa: BLE001 - raised where the caller waits
            self._failure = self._failure or e

    def _wait(self, until: Callable[[], bool]) -> None:
        with self._changed:
            while not (self._failure or self._changed.wait_for(until, _LOOK_S)):
                self._errand.check()
        if self._failure is not None:
            raise self._failure

    def _hold(self, size: int) -> None:
        """Waits until there is room for some bytes, and takes it."""
        size = max(size, _LEAST)
        self._wait(lambda: not self._bytes or self._bytes + size <= IN_FLIGHT)
        with self._changed:
            self._bytes += size

    @contextmanager
    def _freeing(self, size: int) -> Iterator[None]:
        """A job: gives back its room at its end, and tells the caller that something changed."""
        try:
            yield
        finally:
            self._free(size)

    def _free(self, size: int) -> None:
        with self._changed:
            self._bytes -= max(size, _LEAST)
            self._changed.notify_all()

    def _count(self, more: int) -> None:
        with self._changed:
            self._active += more
