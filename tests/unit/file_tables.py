"""Folders of files for tests of reading them, and a store that tells what was opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from copy_core.connectors.files.source import FileSource
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.options import LocalOptions
from copy_core.model import Slice

FORMATS: list[dict[str, Any]] = [
    {"format": "parquet"},
    {"format": "csv"},
    {"format": "csv", "csv": {"header": False}},
    {"format": "jsonl"},
]


class Opened(LocalStore):
    """Notes which files are opened, and has the clock of an object store if that is asked for."""

    def __init__(self, root: Path, tick_ns: int = LocalStore.tick_ns) -> None:
        super().__init__(str(root), exists=True)
        self.opened: list[str] = []
        self.tick_ns = tick_ns

    def open(self, entry: Entry) -> pa.NativeFile:
        self.opened.append(entry.key)
        return super().open(entry)

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        coarse = self.tick_ns != LocalStore.tick_ns
        for entry in super().list(prefix, after):
            whole = entry.modified // self.tick_ns * self.tick_ns
            yield entry._replace(modified=whole) if coarse else entry


def lay(root: Path, name: str, *ids: int, **options: Any) -> Path:
    """Makes a file of one column, in the format of a connection with these options."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if options.get("format") == "csv":
        header = "" if options.get("csv") else "id\n"
        path.write_text(header + "".join(f"{i}\n" for i in ids))
    elif options.get("format") == "jsonl":
        path.write_text("".join(f'{{"id": {i}}}\n' for i in ids))
    else:
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), path)
    return path


def source(store: LocalStore, **options: Any) -> FileSource:
    return FileSource(store, LocalOptions(type="local", root=store.label, **options))


def rows(of: FileSource, *parts: Slice) -> list[dict[str, Any]]:
    """The rows of parts, after a trip through JSON as states make it."""
    sent = [Slice.model_validate_json(part.model_dump_json()) for part in parts]
    return [row for part in sent for batch in of.read(part, 100) for row in batch.to_pylist()]
