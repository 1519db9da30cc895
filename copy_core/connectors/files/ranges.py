"""An object of a store as a file that may be read from anywhere in it: few requests, little memory.

A read after a jump fetches little, as that of a Parquet footer does. One that goes on where the
last one ended fetches ever more, and what follows is fetched by another thread meanwhile: so text
and row groups come at the speed of the store. Of what was fetched, 8 MiB are held, since columns
that are read side by side come back to where they were.
"""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Entry, Store

# A request to an object store takes about as long as a mebibyte that comes with it. Arrow reads the
# columns of large row groups a mebibyte at a time, after a few bytes of a page's header.
_SHORTEST = (1 << 20) + (64 << 10)
_LONGEST = 4 << 20
_HELD = 8 << 20


def opened(store: Store, entry: Entry) -> pa.NativeFile:
    """An object to read from anywhere in it, from one thread at a time, whichever that is.

    Nothing is asked of the store before the first read. What the store raises comes out of
    pyarrow's readers as it is.

    Args:
        store: where it is.
        entry: which object, as it has to be still.
    """
    return Ranges(store, entry).open()


class _Block(NamedTuple):
    start: int
    data: bytes

    @property
    def stop(self) -> int:
        return self.start + len(self.data)


class _Ahead(NamedTuple):
    start: int
    stop: int
    data: Future[bytes]


class Ranges:
    """What was fetched of an object, for all who open it one after the other; args as `opened`."""

    def __init__(self, store: Store, entry: Entry) -> None:
        self.size = entry.size
        self.lock = Lock()
        self._store = store
        self._entry = entry
        self._length = _SHORTEST
        self._blocks: list[_Block] = []
        self._ahead: _Ahead | None = None
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> pa.NativeFile:
        """A file that begins at the object's first byte."""
        return pa.PythonFile(_File(self), mode="r")

    def piece(self, start: int, stop: int) -> bytes:
        """The bytes from `start`, which is before `stop`: some, at most to there. Only while
        locked.
        """
        block = self._held(start) or self._fetched(start, stop)
        return block.data[start - block.start : stop - block.start]

    def rest(self) -> None:
        """Waits for what is on its way, as a store may be closed after its files. Only while
        locked.
        """
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._ahead = self._thread = None

    def _held(self, place: int) -> _Block | None:
        found = next((b for b in self._blocks if b.start <= place < b.stop), None)
        if found is not None:
            self._hold(found)
        return found

    def _hold(self, block: _Block) -> None:
        """Keeps the block, and of the others those that were used last."""
        self._blocks = [*(other for other in self._blocks if other is not block), block]
        while sum(len(held.data) for held in self._blocks) > _HELD:
            del self._blocks[0]

    def _fetched(self, start: int, stop: int) -> _Block:
        """A block that holds `start`, and of what is wanted up to `stop` as much as may be."""
        ahead = self._ahead
        expected = ahead is not None and ahead.start <= start < ahead.stop
        goes_on = expected or any(block.stop == start for block in self._blocks)
        if ahead is not None and expected:
            self._ahead = None
            block = _Block(ahead.start, ahead.data.result())
        else:
            self._length = min(self._length * 2, _LONGEST) if goes_on else _SHORTEST
            length = max(self._length, min(stop - start, _LONGEST))
            length = min(length, self.size - start)
            block = _Block(start, self._store.read(self._entry, start, length))
        self._hold(block)
        if goes_on:
            self._read_ahead(block.stop)
        return block

    def _read_ahead(self, start: int) -> None:
        if start >= self.size or self._held(start):
            return
        self._length = min(self._length * 2, _LONGEST)
        stop = min(start + self._length, self.size)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        data = self._thread.submit(self._store.read, self._entry, start, stop - start)
        self._ahead = _Ahead(start, stop, data)


class _File(io.RawIOBase):
    """The object as a file of Python."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ranges.size}[whence]
        self._place = base + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        stop = self._ranges.size if size < 0 else min(self._place + size, self._ranges.size)
        pieces = []
        while self._place < stop:
            with self._ranges.lock:
                # pyarrow's readers read ahead of us, and may do so while they are closed.
                if self.closed:
                    raise ValueError("the file is closed")
                pieces.append(self._ranges.piece(self._place, stop))
            self._place += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        with self._ranges.lock:
            if not self.closed:
                self._ranges.rest()
            super().close()

    def __del__(self) -> None:
        """Who forgets a file does not wait: the lock may be taken, by the very thread that is at
        this. The thread that reads ahead ends by itself.
        """
