"""Columns in the names of folders, beside those of the files in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copy_core.connectors.files.source import FileSource
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.schema import schema_to_json
from copy_core.watermark import Watermark, Window
from tests.unit import file_tables
from tests.unit.file_tables import FORMATS, Opened, lay, rows


def put(root: Path, name: str, **columns: Any) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), root / name)


def source(root: Path, **options: Any) -> FileSource:
    return file_tables.source(Opened(root), **options)


def described(of: FileSource, name: str = "t") -> list[list[str]]:
    return [column[:2] for column in schema_to_json(of.describe(name).schema)]


def whole(of: FileSource, columns: Sequence[str] = (), name: str = "t", **more: Any) -> Slice:
    chosen = tuple(columns or of.describe(name).schema.names)
    return Slice(object=name, columns=chosen, **more)


def read(of: FileSource, part: Slice) -> list[dict[str, Any]]:
    """The rows, which are the same whether or not they are planned."""
    parts = of.split(of.describe(part.object), part, 3)
    found = rows(of, *parts)
    assert rows(of, part) == found
    return found


@pytest.mark.parametrize("options", FORMATS, ids=str)
def test_the_names_of_folders_are_columns_after_those_of_the_files(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    for name, n in [("year=2025/day=2025-12-31", 1), ("year=2026/day=2026-01-01", 2)]:
        lay(tmp_path, f"t/{name}/1.{options['format']}", n, **options)
    of = source(tmp_path, **options)
    (own, *folders) = described(of)
    assert folders == [["year", "int64"], ["day", "date"]]
    assert read(of, whole(of)) == [
        {own[0]: 1, "year": 2025, "day": date(2025, 12, 31)},
        {own[0]: 2, "year": 2026, "day": date(2026, 1, 1)},
    ]
    assert read(of, whole(of, ["day"])) == [{"day": date(2025, 12, 31)}, {"day": date(2026, 1, 1)}]
    assert described(of, "t/year=2026") == [own, ["day", "date"]]
    assert described(of, f"t/year=2026/day=*/*.{options['format']}") == [own, ["day", "date"]]
    assert described(of, f"t/year=2026/day=2026-01-01/1.{options['format']}") == [own]


def test_what_another_engine_writes_is_read_as_it_was(tmp_path: Path) -> None:
    values = ["plain", "a b", "a/b", "100%", "x=y", "é", "", None]
    table = pa.table({"id": range(len(values)), "p": pa.array(values, pa.string())})
    with duckdb.connect() as engine:
        engine.register("rows", table)
        engine.execute(f"COPY rows TO '{tmp_path}/t' (FORMAT parquet, PARTITION_BY (p))")
    of = source(tmp_path)
    found = {row["id"]: row["p"] for row in read(of, whole(of))}
    assert {n: found[n] for n in range(6)} == dict(enumerate(values[:6]))
    assert found.keys() == set(range(len(values)))


def test_no_value_has_a_folder_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, "t/n=__HIVE_DEFAULT_PARTITION__/1.parquet", id=[1, 2])
    put(tmp_path, "t/n=7/1.parquet", id=[3])
    of = source(tmp_path)
    assert described(of) == [["id", "int64"], ["n", "int64"]]
    assert [row["n"] for row in read(of, whole(of))] == [7, None, None]
    assert of.count_nulls(of.describe("t"), "n") == 2
    null = whole(of, ["id"], filter=(Condition(column="n", op="is null"),))
    assert [row["id"] for row in read(of, null)] == [1, 2]


def test_the_types_of_the_connection_hold_for_folders_too(tmp_path: Path) -> None:
    put(tmp_path, "t/n=07/day=2026-01-01 10%3A00%3A00/1.parquet", id=[1])
    of = source(tmp_path, types={"n": "decimal(4,1)", "day": "timestamp"})
    assert described(of)[1:] == [["n", "decimal(4,1)"], ["day", "timestamp"]]
    assert str(read(of, whole(of))[0]["n"]) == "7.0"
    of = source(tmp_path, types={"day": "int64"})
    with pytest.raises(TerminalError) as raised:
        read(of, whole(of))
    assert raised.value.code == "bad-value"
    assert raised.value.where["column"] == "day"
    assert raised.value.where["file"].startswith("t/n=07/")


def test_conditions_on_folders_leave_files_unopened(tmp_path: Path) -> None:
    for year in (2024, 2025, 2026):
        put(tmp_path, f"t/year={year}/1.parquet", id=[year, 1])
    store = Opened(tmp_path)
    of = file_tables.source(store)
    part = whole(of, ["id"], filter=(Condition(column="year", op=">=", value=2025),))
    info = of.describe("t")
    store.opened.clear()
    parts = of.split(info, part, 9)
    assert [row["id"] for row in rows(of, *parts)] == [2025, 1, 2026, 1]
    assert set(store.opened) == {"t/year=2025/1.parquet", "t/year=2026/1.parquet"}
    none = part.model_copy(update={"filter": (Condition(column="year", value=1999),)})
    assert read(of, none) == []


def test_a_folder_may_be_the_incremental_column(tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        put(tmp_path, f"t/day={day}/1.parquet", id=[1])
    put(tmp_path, "t/day=2026-02-01/1.parquet", id=pa.array([], pa.int64()))
    of = source(tmp_path)
    info = of.describe("t")
    assert info.watermarks["day"] == "date"
    newest = of.newest(info, "day", None)
    assert newest == Watermark(kind="date", value="2026-01-02")
    assert of.newest(info, "day", newest) is None
    low = Watermark(kind="date", value="2026-01-01")
    window = Window(column="day", low=low, high=newest)
    assert read(of, whole(of, ["day"], window=window)) == [{"day": date(2026, 1, 2)}]


def test_a_column_that_files_have_too_has_their_type_and_one_value(tmp_path: Path) -> None:
    put(tmp_path, "t/year=2025/1.parquet", id=[1, 2], year=pa.array([2025, None], pa.int16()))
    put(tmp_path, "t/year=2026/1.parquet", id=[3])
    of = source(tmp_path)
    assert described(of) == [["id", "int64"], ["year", "int16"]]
    assert [row["year"] for row in read(of, whole(of))] == [2025, 2025, 2026]
    put(tmp_path, "t/year=2026/2.parquet", id=[4], year=pa.array([2025], pa.int16()))
    assert len(read(of, whole(of, ["id"]))) == 4
    with pytest.raises(TerminalError) as raised:
        read(of, whole(of))
    assert raised.value.code == "partition-differs"
    assert raised.value.where == {
        "table": "t", "file": "t/year=2026/2.parquet", "column": "year",
    }  # fmt: skip


@pytest.mark.parametrize(
    "other", ["t/2.parquet", "t/month=1/1.parquet", "t/year=1/month=2/1.parquet"]
)
def test_folders_of_different_columns_are_refused(tmp_path: Path, other: str) -> None:
    put(tmp_path, "t/year=2025/1.parquet", id=[1])
    put(tmp_path, other, id=[2])
    of = source(tmp_path)
    with pytest.raises(ConfigError) as raised:
        of.describe("t")
    assert raised.value.code == "partition-mixed"
    assert raised.value.where["table"] == "t"
    assert described(of, "t/year=2025") == [["id", "int64"]]


def test_a_folder_whose_column_begins_with_an_underscore_is_not_hidden(tmp_path: Path) -> None:
    put(tmp_path, "t/_day=1/1.parquet", id=[1])
    put(tmp_path, "t/_temporary/2.parquet", id=[2])
    of = source(tmp_path)
    assert read(of, whole(of)) == [{"id": 1, "_day": 1}]


def test_a_value_that_comes_after_planning_does_not_change_the_types(tmp_path: Path) -> None:
    put(tmp_path, "t/n=1/1.parquet", id=[1])
    of = source(tmp_path)
    parts = of.split(of.describe("t"), whole(of), 1)
    put(tmp_path, "t/n=x/1.parquet", id=[2])
    assert rows(of, *parts) == [{"id": 1, "n": 1}]
    assert described(of)[1] == ["n", "string"]
