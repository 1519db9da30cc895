"""Rows that are sorted into folders: names that readers understand, no row lost, memory bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.files import hive
from copy_core.connectors.files.connector import open_destination, open_source
from copy_core.connectors.files.partitions import sorted_out
from copy_core.connectors.options import LocalOptions
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import WriteMode
from copy_core.model import Commit, Published, Slice, Target
from copy_core.schema import schema_to_json
from tests.conformance.samples import rows_of

ODD = [
    "a",
    "a/b",
    "100%",
    "%41",
    "x=y",
    "a:b",
    "Zoë 表",
    " lead",
    "trail ",
    "dot.",
    ".",
    "..",
    None,
]


def options(root: Path, **more: Any) -> LocalOptions:
    return LocalOptions(type="local", root=str(root), **more)


def aim(rows: pa.Table, *by: str, sequence: int = 1, write: WriteMode = "append") -> Target:
    columns = tuple((n, kind, null) for n, kind, null in schema_to_json(rows.schema))
    return Target(
        job="job", table="source", object="t", sequence=sequence, write=write, columns=columns,
        partition_by=by,
    )  # fmt: skip


def load(of: LocalOptions, target: Target, *parts: pa.Table, size: int = 1000) -> Published:
    with open_destination(of) as to:
        schema = to.prepare(target)
        staged = tuple(
            to.stage(target, n, rows.select(schema.names).cast(schema).to_batches(size))
            for n, rows in enumerate(parts)
        )
        published = to.publish(Commit(target=target, watermark=None, staged=staged))
        to.clean(target)
        return published


def read(of: LocalOptions) -> pa.Table:
    with open_source(of) as source:
        info = source.describe("t")
        part = Slice(object="t", columns=tuple(info.schema.names))
        return pa.Table.from_batches(source.read(part, 1000), schema=info.schema)


def folders(root: Path) -> set[str]:
    """The folders below the table's that hold files of it."""
    top = root / "t"
    files = [p for p in top.rglob("*.parquet") if "_copyjob" not in p.parts]
    return {p.parent.relative_to(top).as_posix() for p in files}


def refused(code: str, of: LocalOptions, target: Target, *parts: pa.Table) -> None:
    with pytest.raises((ConfigError, TerminalError)) as raised:
        load(of, target, *parts)
    assert raised.value.code == code


def sales(regions: Sequence[str | None], start: int = 0) -> pa.Table:
    return pa.table(
        {"id": pa.array(range(start, start + len(regions)), pa.int64()), "region": regions},
        schema=pa.schema([("id", pa.int64()), ("region", pa.string())]),
    )


def test_rows_go_into_the_folders_of_their_values(tmp_path: Path) -> None:
    of, days = options(tmp_path), [date(2026, 1, 31), date(2026, 2, 1), date(2026, 1, 31)]
    rows = pa.table({"day": days, "id": [1, 2, 3], "year": [2026, 2026, 2025]})
    published = load(of, aim(rows, "year", "day"), rows)
    assert (published.rows, published.files) == (3, 3)
    assert folders(tmp_path) == {
        "year=2025/day=2026-01-31", "year=2026/day=2026-01-31", "year=2026/day=2026-02-01",
    }  # fmt: skip
    assert rows_of(read(of)) == rows_of(rows)
    with duckdb.connect() as other:
        names = f"{tmp_path}/t/**/*.parquet"
        found = other.read_parquet(names, hive_partitioning=True).to_arrow_table()
    assert rows_of(found) == rows_of(rows)


def test_odd_values_make_names_that_readers_take_back(tmp_path: Path) -> None:
    of, rows = options(tmp_path), sales(ODD)
    load(of, aim(rows, "region"), rows)
    assert "region=a%2Fb" in folders(tmp_path)
    assert "region=__HIVE_DEFAULT_PARTITION__" in folders(tmp_path)
    assert rows_of(read(of)) == rows_of(rows)


def test_a_column_with_an_odd_name(tmp_path: Path) -> None:
    of = options(tmp_path)
    rows = sales(["a", "b"]).rename_columns(["id", "a/b=c %"])
    load(of, aim(rows, "a/b=c %"), rows)
    assert folders(tmp_path) == {"a%2Fb%3Dc %25=a", "a%2Fb%3Dc %25=b"}
    assert rows_of(read(of)) == rows_of(rows)


@given(st.lists(st.tuples(st.none() | st.text(min_size=1, max_size=40), st.integers()), min_size=1))
def test_every_row_is_in_one_folder_whose_name_tells_its_values(rows: list[Any]) -> None:
    texts = [text for text, _ in rows]
    numbers = [number % 2**63 for _, number in rows]
    batch = pa.record_batch(
        {"a": pa.array(texts, pa.string()), "b": numbers, "n": range(len(rows))}
    )
    found: Counter[tuple[Any, ...]] = Counter()
    for folder, part in sorted_out(batch, ["a", "b"]):
        assert len(folder.split("/")) == 2
        assert not set(folder) & set('\\:*?"\n')
        assert part.schema.names == ["n"]
        values = hive.values(f"{folder}/x", 0)
        places = part["n"].to_pylist()
        assert places == sorted(places)
        for n in places:
            found[values["a"], values["b"], n] += 1
    expected = zip(texts, map(str, numbers), range(len(rows)), strict=True)
    assert found == Counter(expected)


@pytest.mark.parametrize("value", ["", hive.NULL, "x" * 256, "表" * 83])
def test_a_value_that_no_name_stands_for_is_refused(tmp_path: Path, value: str) -> None:
    rows = sales(["a", value])
    refused("partition-value", options(tmp_path), aim(rows, "region"), rows)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [(pa.float64(), 1.5), (pa.binary(), b"x")],
    ids=str,
)
def test_a_type_that_makes_no_name_is_refused(
    tmp_path: Path, kind: pa.DataType, value: Any
) -> None:
    rows = pa.table({"id": [1], "v": pa.array([value], kind)})
    refused("partition-type", options(tmp_path), aim(rows, "v"), rows)


def test_columns_that_are_missing_or_all_there_is_are_refused(tmp_path: Path) -> None:
    rows = sales(["a"])
    refused("column-missing", options(tmp_path), aim(rows, "nope"), rows)
    refused("partition-all", options(tmp_path), aim(rows, "id", "region"), rows)
    refused("column-case", options(tmp_path), aim(rows.rename_columns(["A", "a"]), "a"), rows)


@pytest.mark.parametrize(
    ("value", "name"),
    [(True, "v=true"), (-7, "v=-7"), (Decimal("1.50"), "v=1.50"), (date(1, 1, 1), "v=0001-01-01")],
    ids=str,
)
def test_values_are_written_as_text_that_is_exact(tmp_path: Path, value: Any, name: str) -> None:
    rows = pa.table({"id": [1], "v": [value]})
    load(options(tmp_path), aim(rows, "v"), rows)
    assert folders(tmp_path) == {name}


def test_more_rows_are_appended_to_the_folders(tmp_path: Path) -> None:
    of, first, second = options(tmp_path), sales(["a", "b"]), sales(["b", "c"], 2)
    load(of, aim(first, "region"), first)
    load(of, aim(second, "region", sequence=2), second)
    assert rows_of(read(of)) == rows_of(first, second)
    assert folders(tmp_path) == {"region=a", "region=b", "region=c"}


def test_an_overwrite_replaces_all_folders_and_leaves_none_empty(tmp_path: Path) -> None:
    of, first, second = options(tmp_path), sales(["a", "b"]), sales(["b", "c"], 2)
    load(of, aim(first, "region"), first)
    load(of, aim(second, "region", sequence=2, write="overwrite"), second)
    assert rows_of(read(of)) == rows_of(second)
    left = {p.name for p in (tmp_path / "t").iterdir()}
    assert left == {"_copyjob", "region=b", "region=c"}


def test_an_overwrite_may_change_what_the_folders_are_by(tmp_path: Path) -> None:
    of, rows = options(tmp_path), sales(["a", "b"])
    load(of, aim(rows, "region"), rows)
    load(of, aim(rows, sequence=2, write="overwrite"), rows)
    assert folders(tmp_path) == {"."}
    load(of, aim(rows, "id", sequence=3, write="overwrite"), rows)
    assert folders(tmp_path) == {"id=0", "id=1"}


@pytest.mark.parametrize(
    ("before", "after"), [((), ("region",)), (("region",), ()), (("region",), ("id",))]
)
def test_an_append_by_other_columns_is_refused(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    of, rows = options(tmp_path), sales(["a", "b"])
    load(of, aim(rows, *before), rows)
    refused("partition-mixed", of, aim(rows, *after, sequence=2), rows)
    assert rows_of(read(of)) == rows_of(rows)


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    of, rows = options(tmp_path), sales(["a"])
    load(of, aim(rows, "region"), rows)
    foreign = tmp_path / "t" / "archive" / "old.parquet"
    foreign.parent.mkdir()
    foreign.write_bytes(next((tmp_path / "t").rglob("job-*.parquet")).read_bytes())
    refused("folder-nested", of, aim(rows, "region", sequence=2, write="overwrite"), rows)
    assert foreign.exists()


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    of, rows = options(tmp_path), sales(["a"])
    load(of, aim(rows, "region"), rows.slice(0, 0))
    assert read(of).num_rows == 0
    assert read(of).column_names == ["id", "region"]
    load(of, aim(rows, "region", sequence=2), rows)
    assert rows_of(read(of)) == rows_of(rows)


def test_columns_that_come_later_are_null_before(tmp_path: Path) -> None:
    of, first = options(tmp_path), sales(["a"])
    second = sales(["a"], 1).append_column("more", pa.array([7], pa.int64()))
    load(of, aim(first, "region"), first)
    load(of, aim(second, "region", sequence=2), second)
    blank = first.append_column("more", pa.nulls(1, pa.int64()))
    assert rows_of(read(of)) == rows_of(blank, second)


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_text_formats_are_sorted_too(tmp_path: Path, format_: str) -> None:
    of, rows = options(tmp_path, format=format_), sales(["x", "y", None])
    load(of, aim(rows, "region"), rows)
    assert rows_of(read(of)) == rows_of(rows)


def test_rows_in_any_order_of_many_folders_are_held_until_they_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copy_core.connectors.files.staging._HELD_BYTES", 100_000)
    of = options(tmp_path)
    rows = sales([f"r{n * 7919 % 50}" for n in range(20_000)])
    published = load(of, aim(rows, "region"), rows, size=500)
    assert rows_of(read(of)) == rows_of(rows)
    assert len(folders(tmp_path)) == 50
    assert 50 < published.files < 400  # not one for each batch and folder, which would be 2,000


def test_rows_that_come_folder_by_folder_make_one_file_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copy_core.connectors.files.staging._HELD_BYTES", 10_000)
    of = options(tmp_path)
    rows = sales([f"r{n // 4000}" for n in range(20_000)])
    assert load(of, aim(rows, "region"), rows, size=500).files == 5
    assert rows_of(read(of)) == rows_of(rows)
