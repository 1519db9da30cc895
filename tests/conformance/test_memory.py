"""The memory connector: the reference that the kit itself is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
)
from copy_core.connectors.memory import MemoryDestination, MemorySource, store
from copy_core.connectors.options import MemoryOptions
from copy_core.model import Staged
from tests.conformance import kit
from tests.conformance.rigs import DestinationRig, SourceRig


class MemorySourceRig(SourceRig):
    capabilities = SourceCapabilities(incremental=True, splits=True)

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.options = MemoryOptions(type="memory", name=str(folder))
        self.store = store(self.options.name)

    def close(self) -> None:
        self.store.clear()

    def open(self) -> Source:
        return MemorySource(self.options)

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        self.store.put(name, rows, keys)
        return name

    def insert(self, name: str, rows: pa.Table) -> None:
        self.store.append(name, rows)

    def delete(self, name: str, ids: Sequence[int]) -> None:
        rows = self.store.read(name)
        kept = pa.array([number not in set(ids) for number in rows["id"].to_pylist()], pa.bool_())
        self.store.put(name, rows.filter(kept), self.store.tables[name].keys)


class MemoryDestinationRig(DestinationRig):
    capabilities = DestinationCapabilities(modes=frozenset({"append", "upsert", "overwrite"}))

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.options = MemoryOptions(type="memory", name=str(folder))
        self.store = store(self.options.name)

    def close(self) -> None:
        self.store.clear()

    def open(self) -> Destination:
        return MemoryDestination(self.options)

    def create(self, name: str, rows: pa.Table) -> None:
        self.store.put(name, rows)

    def read(self, name: str) -> pa.Table | None:
        return self.store.read(name) if name in self.store.tables else None

    def staged(self) -> list[str]:
        return [str(key) for key in self.store.staged]

    def lose(self, staged: Staged) -> None:
        for key in [k for k in self.store.staged if k.token == staged.ref["token"]]:
            del self.store.staged[key]


TestSource = kit.source(MemorySourceRig)
TestDestination = kit.destination(MemoryDestinationRig)
