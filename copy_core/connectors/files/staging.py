"""Writes the rows of one part as files that wait: one after the other, or by folder.

Rows that are sorted into folders are held until they are many, since each file that is open holds a
row group and a part of its upload; then those of the folder that has most of them are written. So
a part whose rows come folder by folder makes large files, and one whose rows come in any order
more and smaller ones, in the same memory.
"""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa

from copy_core.connectors.files.format import Writer, shaped
from copy_core.connectors.files.layout import Layout
from copy_core.connectors.files.partitions import sorted_out
from copy_core.connectors.files.sink import Sink
from copy_core.connectors.files.store import Store
from copy_core.errors import CopyJobError

_HELD_BYTES = 32 << 20
_OPEN = 4


class PartWriter:
    """The files of one part.

    Args:
        store: where they go.
        folder: the path that they lie below; ends in a slash.
        layout: how they are laid out.

    Attributes:
        rows: how many rows were written.
        bytes: how many bytes the files have; right once it is closed.
        files: how many files there are; likewise.
    """

    def __init__(self, store: Store, folder: str, layout: Layout) -> None:
        self._store = store
        self._folder = folder
        self._layout = layout
        self._held: dict[str, list[pa.RecordBatch]] = {}
        self._sizes: dict[str, int] = {}
        self._open: dict[str, _File] = {}
        self._keys: list[str] = []
        self.rows = self.bytes = 0

    @property
    def files(self) -> int:
        return len(self._keys)

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        self.rows += batch.num_rows
        if not self._layout.by:
            self._write_to("", batch)
            return
        for folder, rows in sorted_out(batch, self._layout.by):
            self._held.setdefault(folder, []).append(rows)
            self._sizes[folder] = self._sizes.get(folder, 0) + rows.nbytes
        while sum(self._sizes.values()) > _HELD_BYTES:
            self._flush(max(self._sizes, key=self._sizes.__getitem__))

    def _write_to(self, folder: str, batch: pa.RecordBatch) -> None:
        """Adds rows to the file that is open in a folder."""
        file = self._open.get(folder)
        if file is None:
            if len(self._open) == _OPEN:
                self._close(max(self._open, key=lambda name: self._open[name].size))
            file = self._open[folder] = self._begun(folder)
        file.write(batch)
        if file.size >= self._layout.file_bytes:
            self._close(folder)

    def empty(self, folder: str) -> None:
        """Makes a file without rows, and closes."""
        self._open[folder] = self._begun(folder)
        self.close()

    def close(self) -> None:
        """Makes all files whole."""
        for folder in list(self._held):
            self._flush(folder)
        for folder in list(self._open):
            self._close(folder)

    def abandon(self) -> None:
        """Removes all files, as far as it can."""
        for file in self._open.values():
            file.abandon()
        with suppress(CopyJobError):  # Another error is on its way; to clean up removes the rest.
            self._store.remove(self._keys)

    def _flush(self, folder: str) -> None:
        for batch in self._held.pop(folder):
            self._write_to(folder, batch)
        del self._sizes[folder]

    def _begun(self, folder: str) -> _File:
        name = f"{len(self._keys):03}{self._layout.format.extension}"
        self._keys.append(f"{self._folder}{folder}/{name}" if folder else self._folder + name)
        return _File(self._store, self._keys[-1], self._layout)

    def _close(self, folder: str) -> None:
        self.bytes += self._open[folder].close()
        del self._open[folder]


class _File:
    """A file while it is written."""

    def __init__(self, store: Store, key: str, layout: Layout) -> None:
        self._schema = layout.schema
        self._sink = Sink(store.upload(key))
        try:
            self._writer: Writer = layout.format.writer(self._sink.file, layout.schema)
        except BaseException:
            self._sink.abandon()
            raise

    @property
    def size(self) -> int:
        return self._sink.size

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write(shaped(batch, self._schema, self._schema.names))

    def close(self) -> int:
        """Makes the file whole; says how many bytes it has."""
        self._writer.close()
        return self._sink.complete().size

    def abandon(self) -> None:
        self._writer.abandon()
        self._sink.abandon()
