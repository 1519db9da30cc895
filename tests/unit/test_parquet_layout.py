"""The Parquet files of every destination that writes them: row groups, types, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copy_core.connectors import parquet_layout, registry
from copy_core.connectors.base import Destination
from copy_core.connectors.options import Connection, DeltaOptions, LocalOptions
from copy_core.model import Target
from copy_core.schema import schema_to_json


@pytest.fixture(params=["files", "delta"])
def to(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    root = str(tmp_path)
    options: dict[str, Connection] = {
        "files": LocalOptions(type="local", root=root),
        "delta": DeltaOptions(type="delta", root=root),
    }
    with registry.open_destination(options[request.param]) as destination:
        yield destination


def stage(to: Destination, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    columns = tuple((name, kind, null) for name, kind, null in schema_to_json(schema))
    target = Target(
        job="j", table="s", object="t", sequence=1, write="append", columns=columns, keys=()
    )
    assert to.prepare(target).equals(schema)
    to.stage(target, 0, batches)


def footer(root: Path) -> pq.FileMetaData:
    (file,) = root.rglob("*.parquet")
    return pq.read_metadata(file)


def groups(root: Path) -> list[int]:
    found = footer(root)
    return [found.row_group(n).num_rows for n in range(found.num_row_groups)]


@pytest.mark.parametrize("limit", ["rows", "bytes"])
def test_a_row_group_ends_with_the_batch_that_fills_it(
    to: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    if limit == "rows":
        monkeypatch.setattr(parquet_layout, "GROUP_ROWS", 100)
    else:
        monkeypatch.setattr(parquet_layout, "GROUP_BYTES", 800)
    rows = pa.record_batch({"id": pa.array(range(30), pa.int64())})
    stage(to, rows.schema, iter([rows] * 9))
    assert groups(tmp_path) == [120, 120, 30]


def test_no_more_than_one_row_group_is_held(
    to: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, batch = 8 << 20, 1 << 20
    monkeypatch.setattr(parquet_layout, "GROUP_BYTES", group)
    rows = pa.record_batch({"id": pa.array(range(batch // 8), pa.int64())})
    before, held = pa.total_allocated_bytes(), []

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(4 * group // batch):
            yield rows.take(rows["id"])  # a copy
            held.append(pa.total_allocated_bytes() - before)

    stage(to, rows.schema, batches())
    assert max(held) < group + 4 * batch


def test_decimals_are_integers_as_far_as_these_go(to: Destination, tmp_path: Path) -> None:
    values = [Decimal("-1.25"), None, Decimal("1234567.89")]
    kinds = {9: "INT32", 18: "INT64", 38: "FIXED_LEN_BYTE_ARRAY"}
    rows = pa.table({f"d{digits}": pa.array(values, pa.decimal128(digits, 2)) for digits in kinds})
    stage(to, rows.schema, iter(rows.to_batches()))
    written = footer(tmp_path).row_group(0)
    assert [written.column(n).physical_type for n in range(len(kinds))] == [*kinds.values()]
    (file,) = tmp_path.rglob("*.parquet")
    assert pq.read_table(file).equals(rows)
    with duckdb.connect() as db:
        found = db.execute("FROM read_parquet(?)", [str(file)]).fetchall()
    assert found == [(v, v, v) for v in values]
