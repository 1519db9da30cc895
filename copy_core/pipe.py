"""Reads ahead in a thread, so that source and destination work at the same time.

What waits between them is bounded by its size: memory stays bounded, and a slow destination holds
the source back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import Generic, Protocol, TypeVar

AHEAD_BYTES = 8 << 20
"""How much waits at most, one item apart: enough to go on reading while a row group is written."""


class Sized(Protocol):
    """Anything that knows its size in bytes, as Arrow's record batches do."""

    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


def read_ahead(items: Iterator[T], ahead: int = AHEAD_BYTES) -> Generator[T, None, None]:
    """Yields what `items` yields, pulled by a thread of its own.

    An error of `items` is raised where the consumer stands, after what came before it. When the
    consumer stops early it must close this generator, before it closes what `items` reads from:
    the thread then stops after the item it is at, and `items` is closed if it is a generator.

    Args:
        items: what to read.
        ahead: bytes that may wait; one item waits in any case.
    """
    feed = _Feed(items, ahead)
    feed.start()
    try:
        while (item := feed.take()) is not None:
            yield item
        if feed.error is not None:
            raise feed.error
    finally:
        feed.stop()


class _Feed(threading.Thread, Generic[T]):
    """Pulls items as long as there is room for them."""

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        super().__init__(name="read-ahead", daemon=True)
        self._items, self._ahead = items, ahead
        self._waiting: deque[T] = deque()
        self._bytes = 0
        self._stopped = self._ended = False
        self._changed = threading.Condition()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as e:  # noqa: BLE001 - raised again in the consumer's thread
            self.error = e
        finally:
            if isinstance(self._items, Generator):
                self._items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def take(self) -> T | None:
        """The next item; None when there are no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._bytes -= item.nbytes
            self._changed.notify_all()
            return item

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self.join()

    def _put(self, item: T) -> bool:
        """Hands an item over when there is room for it; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or not self._waiting or self._bytes < self._ahead
            )
            self._waiting.append(item)
            self._bytes += item.nbytes
            self._changed.notify_all()
            return not self._stopped
