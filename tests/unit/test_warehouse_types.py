"""What the types of other systems become in a Fabric Warehouse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.sql.fabric_warehouse.types import created, narrowed
from copy_core.connectors.sql.mssql.encode import encode
from copy_core.connectors.sql.mssql.layout import arrange
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.table import Table, TableColumn
from copy_core.connectors.sql.mssql.types import SqlType
from copy_core.errors import TerminalError
from copy_core.model import Target
from copy_core.schema import schema_to_json

COLLATION = "Latin1_General_100_BIN2_UTF8"


def target(kind: pa.DataType, length: int | None = None, *, key: bool = False) -> Target:
    columns = tuple((n, k, null) for n, k, null in schema_to_json(pa.schema([("c", kind)])))
    return narrowed(
        Target(
            job="job",
            table="t",
            object="t",
            sequence=1,
            write="upsert" if key else "append",
            columns=columns,
            keys=("c",) if key else (),
            lengths={} if length is None else {"c": length},
        )
    )


def column(kind: pa.DataType, length: int | None = None, *, key: bool = False) -> TableColumn:
    [found] = arrange(target(kind, length, key=key), None, COLLATION, created).staged
    return found


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        (pa.bool_(), "bit"),
        (pa.int8(), "smallint"),
        (pa.uint8(), "smallint"),
        (pa.int16(), "smallint"),
        (pa.uint16(), "int"),
        (pa.int32(), "int"),
        (pa.uint32(), "bigint"),
        (pa.int64(), "bigint"),
        (pa.uint64(), "decimal(20,0)"),
        (pa.decimal128(19, 4), "decimal(19,4)"),
        (pa.float32(), "real"),
        (pa.float64(), "float"),
        (pa.date32(), "date"),
        (pa.time64("us"), "time(6)"),
        (pa.timestamp("us"), "datetime2(6)"),
        (pa.timestamp("us", "UTC"), "datetime2(6)"),
        (pa.string(), "varchar(max)"),
        (pa.binary(), "varbinary(max)"),
    ],
    ids=str,
)
def test_the_type_of_a_created_column(kind: pa.DataType, declared: str) -> None:
    assert column(kind).type.text == declared


@pytest.mark.parametrize(
    ("length", "key", "declared"),
    [
        (0, False, "varchar(4)"),
        (36, False, "varchar(144)"),
        (2000, False, "varchar(8000)"),
        (2001, False, "varchar(max)"),
        (36, True, "varchar(144)"),
        (2001, True, "varchar(8000)"),
        (None, True, "varchar(8000)"),
    ],
)
def test_text_has_room_for_its_characters(length: int | None, key: bool, declared: str) -> None:
    found = column(pa.string(), length, key=key)
    assert found.type.text == declared
    assert found.collation == (COLLATION if key else "")


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.just(n), st.text(max_size=n))))
def test_text_of_its_length_always_fits(given_: tuple[int, str]) -> None:
    length, text = given_
    batch = pa.RecordBatch.from_pydict({"c": pa.array([text], pa.string())})
    assert encode(batch, [column(pa.string(), length)]).column(0).to_pylist() == [text]


@pytest.mark.parametrize("text", ["x" * 11, "é" * 6, "😀" * 3])
def test_text_of_an_existing_column_is_measured_in_bytes(text: str) -> None:
    short = TableColumn("c", SqlType("varchar", 10, codepage=65001), collation=COLLATION)
    with pytest.raises(TerminalError) as refused:
        encode(pa.RecordBatch.from_pydict({"c": [text]}), [short])
    assert refused.value.code == "too-long"


def test_a_moment_becomes_that_of_utc_also_in_a_table_that_is_there() -> None:
    there = Table(
        ObjectName("dbo", "t"), "table", (TableColumn("c", SqlType("datetime2", scale=6)),)
    )
    layout = arrange(target(pa.timestamp("us", "UTC")), there, COLLATION, created)
    assert layout.schema.field("c").type == pa.timestamp("us")
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    array = pa.array([moment.astimezone(UTC)], pa.timestamp("us", "UTC"))
    assert array.cast(layout.schema.field("c").type).to_pylist() == [datetime(2025, 12, 31, 23)]  # noqa: DTZ001 - the column has no zone
