"""A lake in a folder, and a few words to copy into it, for the tests of the Delta connector."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from copy_core.connectors.delta import DeltaDestination, DeltaSource
from copy_core.connectors.options import DeltaOptions
from copy_core.job import WriteMode
from copy_core.model import Commit, Published, Slice, Staged, Target
from copy_core.schema import canonical_schema, schema_to_json
from copy_core.watermark import Watermark

MARK = Watermark(kind="int", value="7")


class Lake:
    """Tables below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.options = DeltaOptions(type="delta", root=str(root))
        self.to = DeltaDestination(self.options)
        self.source = DeltaSource(self.options)

    def path(self, name: str = "t") -> str:
        return str(self.root / name)

    def table(self, name: str = "t", version: int | None = None) -> DeltaTable:
        return DeltaTable(self.path(name), version=version)

    def rows(self, name: str = "t", version: int | None = None) -> list[dict[str, Any]]:
        return sorted(self.table(name, version).to_pyarrow_table().to_pylist(), key=str)

    def files(self, name: str = "t") -> list[str]:
        """The Parquet files below the table's folder, whoever knows of them."""
        root = Path(self.path(name))
        return sorted(str(p.relative_to(root)) for p in root.rglob("*.parquet"))

    def stage(self, target: Target, *parts: pa.Table) -> tuple[Staged, ...]:
        schema = self.to.prepare(target)
        return tuple(
            self.to.stage(target, number, batches(rows, schema))
            for number, rows in enumerate(parts)
        )

    def load(self, target: Target, *parts: pa.Table) -> Published:
        return self.to.publish(commit(target, self.stage(target, *parts)))

    def read(self, columns: Iterable[str] = (), name: str = "t", **more: Any) -> pa.Table:
        info = self.source.describe(name)
        part = Slice(object=name, columns=tuple(columns or info.schema.names), **more)
        schema = pa.schema([info.schema.field(c) for c in part.columns])
        return pa.Table.from_batches(self.source.read(part, 1000), schema)


def aim(rows: pa.Table, sequence: int = 1, write: WriteMode = "append", **more: Any) -> Target:
    columns = tuple(
        (name, kind, null) for name, kind, null in schema_to_json(canonical_schema(rows.schema))
    )
    whereto = {"job": "job", "table": "source", "object": "t", "keys": ("id",)} | more
    return Target(sequence=sequence, write=write, columns=columns, **whereto)


def commit(target: Target, staged: Iterable[Staged]) -> Commit:
    return Commit(target=target, watermark=MARK, staged=tuple(staged))


def batches(rows: pa.Table, schema: pa.Schema) -> list[pa.RecordBatch]:
    found = pa.table([rows[f.name].cast(f.type) for f in schema], schema=schema)
    return list(found.to_batches(100))


def numbers(count: int, start: int = 0, value: str = "v") -> pa.Table:
    ids = range(start, start + count)
    return pa.table({"id": pa.array(ids, pa.int64()), "v": [f"{value}{n}" for n in ids]})


def interrupting(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Does `work` once, at the last moment before the next commit is written."""
    original = DeltaTable.create_write_transaction
    done: list[bool] = []

    def first(self: DeltaTable, *args: object, **kwargs: object) -> None:
        if not done:
            done.append(True)
            monkeypatch.setattr(DeltaTable, "create_write_transaction", original)
            work()
        original(self, *args, **kwargs)  # type: ignore[arg-type]  # handed through as they came

    monkeypatch.setattr(DeltaTable, "create_write_transaction", first)
