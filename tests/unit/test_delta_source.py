"""Reading Delta: one pinned version, files left out only when they hold nothing that is asked."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.errors import TerminalError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark, Window
from tests.unit.delta_lake import Lake, aim, numbers


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def mark(value: object, kind: Any = "int") -> Watermark:
    return Watermark(kind=kind, value=str(value))


def test_a_described_version_is_read_whatever_comes_after(lake: Lake) -> None:
    lake.load(aim(numbers(1), 1), numbers(5))
    info = lake.source.describe("t")
    whole = Slice(object="t", columns=("id",), snapshot=info.snapshot)
    lake.load(aim(numbers(1), 2, "overwrite"), numbers(9, start=90))
    assert info.rows == 5
    assert lake.source.newest(info, "id", None) == mark(4)
    parts = Lake(lake.root).source.split(info, whole, 3)
    ids = [n for p in parts for b in lake.source.read(p, 2) for n in b["id"].to_pylist()]
    assert sorted(ids) == list(range(5))
    assert lake.source.describe("t").snapshot != info.snapshot


def test_a_vacuumed_file_is_named(lake: Lake) -> None:
    lake.load(aim(numbers(1)), numbers(5))
    (gone,) = lake.files()
    Path(lake.path(), gone).unlink()
    with pytest.raises(TerminalError) as missing:
        lake.read()
    assert missing.value.code == "file-missing"
    assert missing.value.where["file"] == gone
    assert "RESTORE" in missing.value.fix
    assert "FSCK REPAIR TABLE" in missing.value.fix


@pytest.mark.parametrize("damage", ["not Parquet", "cut", "page"])
def test_a_corrupt_file_is_named(lake: Lake, damage: str) -> None:
    lake.load(aim(numbers(1)), numbers(5000))
    (name,) = lake.files()
    file = Path(lake.path(), name)
    data = bytearray(file.read_bytes())
    if damage == "not Parquet":
        data = bytearray(b"PAR0" * 100)
    elif damage == "cut":
        data = data[: len(data) // 2]
    else:
        data[30:200] = b"\xa5" * 170
    file.write_bytes(data)
    with pytest.raises(TerminalError) as corrupt:
        lake.read()
    assert corrupt.value.code == "corrupt-file"
    assert corrupt.value.where["file"] == name


def test_a_struct_hides_no_column_that_is_called_like_a_field_of_it(lake: Lake) -> None:
    rows = pa.table({"s.x": [1, 5], "s": [{"x": 100}, {"x": 200}], "s.y": ["a", "b"]})
    write_deltalake(lake.path(), rows)
    info = lake.source.describe("t")
    assert (info.schema.names, list(info.uncopyable)) == (["s.x", "s.y"], ["s"])
    assert lake.source.newest(info, "s.x", None) == mark(5)
    only = Condition(column="s.x", op=">", value=1)
    assert lake.read(filter=(only,)).to_pylist() == [{"s.x": 5, "s.y": "b"}]


def test_files_of_older_schemas_are_filled_up(lake: Lake) -> None:
    lake.load(aim(numbers(1), 1), numbers(2))
    wider = numbers(2, start=2).append_column("new", pa.array([7, None]))
    lake.load(aim(wider, 2), wider)
    assert sorted(lake.read(["new", "id"]).to_pylist(), key=lambda r: r["id"]) == [
        {"new": None, "id": 0},
        {"new": None, "id": 1},
        {"new": 7, "id": 2},
        {"new": None, "id": 3},
    ]
    info = lake.source.describe("t")
    assert lake.source.newest(info, "new", None) == mark(7)
    assert lake.source.count_nulls(info, "new") == 3
    is_null = Condition(column="new", op="is null")
    assert sorted(lake.read(["id"], filter=(is_null,))["id"].to_pylist()) == [0, 1, 3]
    window = Window(column="new", high=mark(7), nulls=True)
    assert lake.read(["id"], window=window).num_rows == 4


def test_times_that_spark_writes_in_96_bits(lake: Lake) -> None:
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)]
    rows = pa.table({"at": pa.array(times, pa.timestamp("us", "UTC"))})
    write_deltalake(lake.path(), rows)
    (file,) = lake.files()
    spark = rows.slice(1).set_column(0, "at", pa.array([times[1].replace(year=2100)]))
    pq.write_table(spark, Path(lake.path(), file), use_deprecated_int96_timestamps=True)
    assert lake.read()["at"].to_pylist() == spark["at"].to_pylist()


def test_a_maximum_that_was_cut_to_milliseconds_hides_no_row(lake: Lake) -> None:
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    times = [start + timedelta(microseconds=n) for n in (0, 1001, 1002, 1999)]
    for number, time in enumerate(times, 1):
        rows = pa.table({"at": pa.array([time], pa.timestamp("us", "UTC"))})
        lake.load(aim(rows, number), rows)
    info = lake.source.describe("t")
    texts = ["2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:00.001001Z"]
    texts += ["2026-01-01T12:00:00.001002Z", "2026-01-01T12:00:00.001999Z"]
    for low, high in pairwise(texts):
        bounds = Window(column="at", low=mark(low, "timestamp"), high=mark(high, "timestamp"))
        assert lake.read(window=bounds).num_rows == 1
    newest = lake.source.newest(info, "at", mark(texts[1], "timestamp"))
    assert newest == mark(texts[3], "timestamp")
    assert lake.source.newest(info, "at", newest) is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([Decimal("-0.0000001"), Decimal("0.0000000")]), "0.0000000"),
        (pa.array([1, 2], pa.int8()), "2"),
        (pa.array([0, 1], pa.date32()), "1970-01-02"),
        (pa.array([0, 1_000_000], pa.timestamp("us", "UTC")), "1970-01-01T00:00:01.000000Z"),
        (pa.array(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]), "2026-01-02T00:00:00Z"),
    ],
    ids=str,
)
def test_the_text_of_a_watermark(lake: Lake, values: pa.Array, text: str) -> None:
    rows = pa.table({"at": values})
    lake.load(aim(rows), rows)
    found = lake.source.newest(lake.source.describe("t"), "at", None)
    assert found is not None
    assert found.value == text


@pytest.mark.parametrize(
    "texts",
    [
        ["2026-01-01", "9 May"],
        ["2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00+02:00"],
        ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"],
        ["2026-01-01 00:00:00", "2026-01-01T00:00:00"],
        ["", "2026-01-01"],
    ],
)
def test_text_whose_order_is_not_that_of_time_is_refused(lake: Lake, texts: list[str]) -> None:
    for number, text in enumerate(texts, 1):
        rows = pa.table({"at": [text]})
        lake.load(aim(rows, number), rows)
    with pytest.raises(TerminalError) as refused:
        lake.source.newest(lake.source.describe("t"), "at", None)
    assert refused.value.where["column"] == "at"


def test_a_row_range_reads_no_more_than_its_rows(lake: Lake) -> None:
    rows = numbers(1000)
    write_deltalake(lake.path(), rows)
    write_deltalake(lake.path(), numbers(50, start=1000), mode="append")
    info = lake.source.describe("t")
    whole = Slice(object="t", columns=("id",))
    for parts in (1, 2, 7, 100):
        slices = lake.source.split(info, whole, parts)
        assert len(slices) <= parts
        ids = [n for p in slices for b in lake.source.read(p, 64) for n in b["id"].to_pylist()]
        assert sorted(ids) == list(range(1050))


VALUES = {
    "bool": st.booleans(),
    "small float": st.floats(width=32),
    "binary": st.binary(max_size=40),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(),
    "text": st.text(st.characters(codec="utf-8"), max_size=40),
    "decimal": st.decimals(-(10**15), 10**15, places=4),
    "day": st.dates(),
    "time": st.datetimes(timezones=st.just(UTC)),
    "naive": st.datetimes(),
}
TYPES = {
    "bool": pa.bool_(),
    "small float": pa.float32(),
    "binary": pa.binary(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "decimal": pa.decimal128(20, 4),
    "day": pa.date32(),
    "time": pa.timestamp("us", "UTC"),
    "naive": pa.timestamp("us"),
}


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_reader_loses_a_row_by_our_statistics(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    values = st.none() | VALUES[kind]
    files = data.draw(st.lists(st.lists(values, min_size=1, max_size=4), min_size=1, max_size=3))
    stored: list[Any] = []
    for sequence, file in enumerate(files, 1):
        rows = pa.table({"value": pa.array(file, TYPES[kind])})
        lake.load(aim(rows, sequence), rows)
        stored += rows["value"].to_pylist()
    bound = data.draw(VALUES[kind].filter(lambda v: not (isinstance(v, float) and isnan(v))))
    table = lake.table()
    everything = table.to_pyarrow_table()
    scalar = pa.scalar(bound, TYPES[kind]).cast(everything.schema.field("value").type)
    counted = duckdb.execute("select count(*) from read_parquet(?)", [table.file_uris()])
    assert counted.fetchone() == (len(stored),)
    assert table.count() == len(stored)
    value = pc.field("value")
    conditions = [value <= scalar, value >= scalar, value == scalar, value != scalar]
    # Arrow's own scanner takes NaN for a value between the bounds of a Parquet file.
    strange = any(isinstance(v, float) and isnan(v) for v in stored)
    for condition in [] if strange else [*conditions, value.is_null(), value.is_valid()]:
        found = table.to_pyarrow_dataset().count_rows(filter=condition)
        assert found == everything.filter(condition).num_rows
    for op in ("<=", ">=", "=", "!="):
        if kind != "binary":
            timely = isinstance(bound, datetime | date | Decimal)
            text: Any = scalar.cast(pa.string()).as_py() if timely else bound
            part = (Condition(column="value", op=op, value=text),)
            ours = lake.read(filter=part).num_rows
            exact = dict(zip(("<=", ">=", "=", "!="), conditions, strict=True))[op]
            assert ours == everything.filter(exact).num_rows


def test_bounds_that_a_log_lacks_lose_no_row(lake: Lake) -> None:
    rows = pa.table({"id": [1, 2], "yes": [True, False], "at": [0.5, 1.5]})
    write_deltalake(lake.path(), rows)
    log = Path(lake.path(), "_delta_log", f"{0:020}.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    counts = {"id": 0, "yes": 0, "at": 0}
    for action in actions:
        if "add" in action:  # as Spark writes them: no bounds of booleans
            bounds = {"minValues": {"id": 1}, "maxValues": {"id": 2}}
            action["add"]["stats"] = json.dumps({"numRecords": 2, "nullCount": counts} | bounds)
    log.write_text("\n".join(json.dumps(action) for action in actions))
    assert lake.read(["id"], filter=(Condition(column="yes", value=True),)).num_rows == 1
    assert lake.read(["id"], filter=(Condition(column="at", op=">", value=1),)).num_rows == 1


def test_text_that_delta_rs_wrote_anew_is_compared(lake: Lake) -> None:
    """A file of its DELETE has text that Arrow reads as another type than that of other files."""
    texts = pa.table({"id": pa.array(["a", "b", "c"]), "v": pa.array([1, 2, 3])})
    write_deltalake(lake.path(), texts)
    lake.table().delete("id = 'a'")
    (file,) = (Path(uri) for uri in lake.table().file_uris())
    assert pq.read_schema(file).field("id").type == pa.string_view()

    chosen = lake.read(filter=(Condition(column="id", value="c"),))
    assert chosen.to_pydict() == {"id": ["c"], "v": [3]}
    later = pa.table({"id": pa.array(["c", "d"]), "v": pa.array([30, 40])})
    lake.load(aim(later, write="upsert"), later)
    assert [(row["id"], row["v"]) for row in lake.rows()] == [("b", 2), ("c", 30), ("d", 40)]
