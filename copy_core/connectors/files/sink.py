"""An upload as a file that Arrow's writers write from its beginning to its end."""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from copy_core.connectors.files.store import Entry, Upload


class Sink:
    """What is written goes out in parts, one of them while the next is gathered: no more than two
    are held.

    Attributes:
        file: what a writer writes to.
        size: how many bytes were written.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._part = bytearray()
        self._sent = 0
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None
        self.size = 0
        self.file = pa.PythonFile(_Written(self), mode="w")

    def add(self, data: memoryview) -> None:
        """Takes what comes next."""
        self.size += len(data)
        while data:
            some = data[: self._upload.part_bytes - len(self._part)]
            self._part += some
            data = data[len(some) :]
            if len(self._part) == self._upload.part_bytes:
                self._send()

    def complete(self) -> Entry:
        """Sends what is left, and makes the object visible."""
        if self._under_way is not None:
            self._under_way.result()
        if self._part:
            self._upload.put(self._sent, memoryview(self._part))
        self._end()
        return self._upload.complete()

    def abandon(self) -> None:
        """Forgets it all."""
        self._end()
        self._upload.abandon()

    def _send(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        if self._under_way is not None:
            self._under_way.result()
        self._under_way = self._thread.submit(self._upload.put, self._sent, memoryview(self._part))
        self._sent += 1
        self._part = bytearray()

    def _end(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)


class _Written(io.RawIOBase):
    """The sink as a file of Python."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._sink.size

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")
        self._sink.add(view)
        return len(view)
