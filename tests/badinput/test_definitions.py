"""Jobs that do not fit their tables: wrong names, keys, incremental columns and types."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
import pytest

from tests.badinput.desk import Desk, between, from_each, to_each
from tests.badinput.places import TABLE, Sqlite, sales


@from_each()
def test_a_table_that_went_away(desk: Desk) -> None:
    desk.load()
    desk.source.rename(TABLE, "orders_old")
    desk.refuses("table-missing", "orders_old", table=TABLE)
    desk.source.rename("orders_old", TABLE)
    desk.recovers()


@from_each()
@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": ["id", "v", "nam"]},
        {"columns": ["id", "v", {"name": "nam", "rename": "label"}]},
        {"filter": [{"column": "nam", "op": "is not null"}]},
        {"write": "upsert", "keys": ["nam"]},
        {"incremental_column": "nam"},
    ],
    ids=["chosen", "renamed", "filter", "key", "incremental"],
)
def test_a_column_that_is_not_there(desk: Desk, wrong: dict[str, Any]) -> None:
    desk.source.add(sales(1, 2, 3))
    right = desk.entry
    desk.entry = right | wrong
    desk.refuses("column-missing", "Did you mean name?", table=TABLE, column="nam")
    desk.entry = right
    desk.recovers()


@from_each()
def test_a_chosen_column_that_went_away(desk: Desk) -> None:
    desk.entry["columns"] = ["id", "v", "name"]
    desk.load()
    whole = sales(1, 2, 3, 4)
    desk.source.replace(whole.rename_columns(["id", "v", "names"]))
    desk.refuses("column-missing", "Did you mean names?", column="name")
    desk.source.replace(whole)
    desk.recovers()


@from_each()
def test_a_filter_of_another_type(desk: Desk) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.entry["filter"] = [{"column": "id", "op": ">", "value": "some"}]
    desk.refuses("filter-value", "some", table=TABLE, column="id")
    desk.entry["filter"] = [{"column": "id", "op": ">", "value": 0}]
    desk.recovers()


@to_each("parquet", "csv", "jsonl")
def test_a_write_mode_that_is_not_offered(desk: Desk) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.entry |= {"write": "upsert", "keys": ["id"]}
    desk.refuses("mode-not-offered", "append", table=TABLE)
    desk.entry["write"] = "append"
    desk.recovers()


UPSERTS = between(("sqlite", "sqlite"), ("sqlite", "delta"), ("delta", "sqlite"), ("csv", "delta"))


@UPSERTS
def test_an_upsert_without_keys(desk: Desk) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.entry["write"] = "upsert"
    desk.refuses("keys-missing", "keys: [id]", table=TABLE)
    desk.entry["keys"] = ["id"]
    desk.recovers()


@UPSERTS
@pytest.mark.parametrize(
    ("ids", "code"), [([1, 2, 2], "duplicate-key"), ([1, None, 3], "null-key")]
)
def test_keys_that_tell_no_row(desk: Desk, ids: list[int | None], code: str) -> None:
    desk.settings = {"write": "upsert", "keys": ["id"]}
    desk.source.add(sales(1, 2, 3))
    assert desk.run().exit == 0
    desk.source.replace(sales(1, 2, 3, id=ids, name=["a", "b", "c"]))
    ran = desk.refuses(code, table=TABLE)
    assert "id" in ran.error["message"] + ran.error["where"].get("column", "")
    desk.source.replace(sales(1, 2, 3, name=["a", "b", "c"]))
    desk.recovers()


def test_a_destination_that_has_a_key_twice(desk: Desk) -> None:
    desk.source.add(sales(1, 2))
    desk.destination.add(sales(1, 1))
    desk.entry |= {"write": "upsert", "keys": ["id"]}
    desk.refuses("duplicate-key", "id", table=TABLE)
    desk.destination.replace(sales(1))
    desk.recovers()


ODD: dict[str, list[Any]] = {
    "float": [1.5, 2.5, 3.5],
    "bool": [True, False, True],
    "text": ["one", "two", "three"],
    "mixed": ["2024-05-17 10:00:00", "2024-05-17T10:00:01Z", "2024-05-18"],
}


@from_each()
@pytest.mark.parametrize("kind", ODD)
def test_an_incremental_column_that_has_no_order(desk: Desk, kind: str) -> None:
    desk.source.add(sales(1, 2, 3, at=ODD[kind]))
    desk.entry["incremental_column"] = "at"
    no_time = kind == "text" and not isinstance(desk.source, Sqlite)  # which looks at values
    code = "watermark-value" if no_time or kind == "mixed" else "watermark-type"
    desk.refuses(code, "column", table=TABLE, column="at")
    desk.entry["incremental_column"] = "v"
    desk.recovers()


@from_each()
@pytest.mark.parametrize("late", ["2024-05-17T10:00:03Z", "17.05.2024 10:00:03", "soon"])
def test_a_time_format_that_changes(desk: Desk, late: str) -> None:
    desk.entry["incremental_column"] = "at"
    count = 300  # more than a sample
    times = [f"2024-05-17 10:{n // 60:02}:{n % 60:02}.5" for n in range(count)]
    before = sales(*range(count), at=times)
    desk.source.add(before)
    assert desk.run().exit == 0
    desk.source.add(sales(count, at=[late]))
    desk.refuses("watermark-value", "column", table=TABLE, column="at")
    desk.source.replace(before)
    desk.source.add(sales(count, at=["2024-05-17 11:00:00.5"]))
    desk.recovers()


@from_each("sqlite", "delta", "parquet", "jsonl")  # of CSV they are read as times
def test_a_time_format_that_changes_throughout(desk: Desk) -> None:
    """Then all times agree with each other, and not with the watermark."""
    desk.entry["incremental_column"] = "at"
    before = sales(1, 2, at=["2024-05-17T10:00:01.5", "2024-05-17T10:00:02.5"])
    desk.source.add(before)
    assert desk.run().exit == 0
    times = [f"2024-05-17 10:00:0{n}.5" for n in (1, 2, 3)]
    desk.source.replace(sales(1, 2, 3, at=times))
    desk.refuses("watermark-value", "column", table=TABLE, column="at")
    desk.source.replace(before)
    desk.source.add(sales(3, at=["2024-05-17T10:00:03.5"]))
    desk.recovers()


@pytest.mark.parametrize("late", ["17.05.2024 10:00:03", 1715940003])
def test_a_declared_time_that_is_none(desk: Desk, late: Any) -> None:
    """SQLite keeps any value in any column, and sorts these below each time."""
    desk.entry["incremental_column"] = "at"
    source = cast("Sqlite", desk.source)
    source.run(f"CREATE TABLE {TABLE} (id INTEGER, v INTEGER, name TEXT, at TIMESTAMP)")
    source.run(f"INSERT INTO {TABLE} VALUES (1, 10, 'row 1', '2024-05-17 10:00:01')")
    assert desk.run().exit == 0
    source.run(f"INSERT INTO {TABLE} VALUES (2, 20, 'row 2', ?)", [(late,)])
    desk.refuses("watermark-value", "column", table=TABLE, column="at")
    source.run(f"UPDATE {TABLE} SET at = '2024-05-17 10:00:02' WHERE id = 2")
    desk.recovers()


@to_each("sqlite", "delta", "parquet")
def test_a_destination_of_another_type(desk: Desk) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.destination.add(sales(0, name=[5]).slice(0, 0))
    desk.refuses("incompatible-type", "int64", table=TABLE, column="name")
    desk.destination.remove()
    desk.recovers()


@to_each("sqlite", "delta", "parquet")
def test_a_required_column_that_is_not_delivered(desk: Desk) -> None:
    desk.source.add(sales(1, 2, 3))
    if isinstance(desk.destination, Sqlite):
        columns = "id INT, v INT, name TEXT, region TEXT NOT NULL"
        desk.destination.run(f"CREATE TABLE {TABLE} ({columns})")
    else:
        region = pa.field("region", pa.string(), nullable=False)
        empty = sales(0).slice(0, 0)
        desk.destination.add(empty.append_column(region, pa.array([], pa.string())))
    desk.refuses("column-missing", "default", table=TABLE, column="region")
    desk.destination.remove()
    desk.recovers()


@to_each()
def test_a_new_column_under_drift_fail(desk: Desk) -> None:
    desk.settings["drift"] = "fail"
    desk.load()
    desk.source.replace(sales(1, 2, 3, 4, region=["n", "s", "e", "w"]))
    desk.refuses("schema-drift", "drift: evolve", table=TABLE, column="region")
    desk.settings["drift"] = "evolve"
    desk.recovers()


@from_each()
def test_a_cast_that_does_not_fit(desk: Desk) -> None:
    desk.entry["columns"] = ["id", "v", "name", {"name": "n", "cast": "int64"}]
    desk.source.add(sales(1, 2, 3, n=["1", "2", "many"]))
    desk.refuses("value-does-not-fit", "many", table=TABLE, column="n")
    desk.source.replace(sales(1, 2, 3, n=["1", "2", "3"]))
    desk.recovers()


@to_each()
def test_a_cast_that_does_not_fit_anywhere(desk: Desk) -> None:
    desk.source.add(sales(1, 2, 3))
    desk.entry["columns"] = ["id", "v", {"name": "name", "cast": "timestamp"}]
    desk.refuses("value-does-not-fit", "row", table=TABLE, column="name")
    desk.entry["columns"] = ["id", "v", "name"]
    desk.recovers()
