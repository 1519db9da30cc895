"""What the rigs of files share, whatever the format: folders, and files in them."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
)
from copy_core.connectors.files.connector import Options
from copy_core.connectors.options import LocalOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.errors import TransientError
from copy_core.model import Slice, Staged
from tests.conformance.rigs import DestinationRig, Rig, SourceRig


class FilesRig(Rig):
    """A folder of tables.

    Attributes:
        connection: what the connection says besides its root.
        extension: how the names of its files end.
    """

    connection: ClassVar[dict[str, Any]]
    extension: ClassVar[str]

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.root = folder / "files"
        self.root.mkdir()

    @property
    def options(self) -> Options:
        return LocalOptions(type="local", root=str(self.root), **self.connection)

    @abstractmethod
    def write(self, path: Path, rows: pa.Table) -> None:
        """Makes a file as another program would make it."""

    def sent(self, path: Path) -> None:
        """Brings a file that was made or changed to where the tables are, if that is elsewhere."""

    def keys(self) -> list[str]:
        """The paths below the root of all files that are there, sorted."""
        # Passes over folders that are removed meanwhile, other than `rglob`.
        return sorted(
            Path(folder, name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(self.root)
            for name in names
        )

    def fetched(self, key: str) -> Path:
        """A file to look at."""
        return self.root / key

    def drop(self, key: str) -> None:
        """Removes a file."""
        (self.root / key).unlink()


class FilesSourceRig(FilesRig, SourceRig):
    capabilities = SourceCapabilities(incremental=True, splits=True)
    knows_keys = False
    corrupts = True

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.numbers = count()
        self.written: dict[Path, pa.Table] = {}

    def open(self) -> Source:
        return open_source(self.options)

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        del keys
        self.insert(name, rows)
        return name

    def insert(self, name: str, rows: pa.Table) -> None:
        """Many small files, as a folder that grew bit by bit would have."""
        (self.root / name).mkdir(exist_ok=True)
        for start in range(0, max(rows.num_rows, 1), 250):
            path = self.root / name / f"{next(self.numbers):06}{self.extension}"
            self._put(path, rows.slice(start, 250))

    def delete(self, name: str, ids: Sequence[int]) -> None:
        for path in (self.root / name).iterdir():
            rows = self.written[path]
            kept = [number not in set(ids) for number in rows["id"].to_pylist()]
            if not all(kept):
                self._put(path, rows.filter(pa.array(kept)))

    def _put(self, path: Path, rows: pa.Table) -> None:
        self.write(path, rows)
        self.sent(path)
        self.written[path] = rows


class FilesDestinationRig(FilesRig, DestinationRig):
    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "overwrite"}),
        parallel_stage=True,
        counts_files=True,
        partitions=True,
    )
    keeps_required = False  # each file says for itself whether a column may be null, if at all

    def open(self) -> Destination:
        return open_destination(self.options)

    def create(self, name: str, rows: pa.Table) -> None:
        (self.root / name).mkdir()
        path = self.root / name / f"made by others{self.extension}"
        self.write(path, rows)
        self.sent(path)

    def read(self, name: str) -> pa.Table | None:
        files = self.of(name)
        return self.load([self.fetched(key) for key in files]) if files else None

    def of(self, name: str) -> list[str]:
        """The files of a table, as one finds them who merely lists its folder."""
        ours = [key for key in self.keys() if key.endswith(self.extension)]
        return [key for key in ours if key.rpartition("/")[0] == name]

    @abstractmethod
    def load(self, files: Sequence[Path]) -> pa.Table:
        """The rows of some files, as another program reads them."""

    def watch(self, name: str) -> pa.Table | None:
        """By the ledger; who just lists the folder may see old files beside new ones."""
        assert self.of(name)
        with open_source(self.options) as source:
            while True:
                try:
                    info = source.describe(name)
                    part = Slice(object=name, columns=tuple(info.schema.names))
                    return pa.Table.from_batches(source.read(part, 1000), schema=info.schema)
                except TransientError:  # its files were replaced after it had looked
                    continue

    def staged(self) -> list[str]:
        return [key for key in self.keys() if "/_copyjob/staging/" in key]

    def lose(self, staged: Staged) -> None:
        for key in self.staged():
            if staged.ref["stem"] in key.split("/"):
                self.drop(key)
