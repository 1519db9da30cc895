"""What is selected for a column, and what is made of the Arrow that comes back."""

from __future__ import annotations

from datetime import time

import pyarrow as pa
import pytest
import sqlglot

from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.reading import (
    decode,
    expression,
    fine_times,
    is_large,
    refuse_fine,
)
from copy_core.connectors.sql.mssql.table import TableColumn
from copy_core.connectors.sql.mssql.types import SeventhDigit, SqlType, canonical
from copy_core.errors import TerminalError

PLAIN = [
    *("bit", "tinyint", "smallint", "int", "bigint", "decimal", "numeric", "money", "smallmoney"),
    *("real", "float", "char", "varchar", "nchar", "nvarchar", "text", "ntext"),
    *("uniqueidentifier", "binary", "varbinary", "image", "rowversion"),
    *("date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset"),
]


def column(
    kind: str, seventh_digit: SeventhDigit = "fail", *, name: str = "a", length: int = 0
) -> TableColumn:
    of = SqlType(kind, length, precision=18, scale=7)
    return TableColumn(name, of, seventh_digit=seventh_digit)


@pytest.mark.parametrize("kind", PLAIN)
def test_most_types_are_read_as_they_are(kind: str) -> None:
    assert expression(column(kind)) == "[a]"


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("xml", "CAST([a] AS nvarchar(max))"),
        ("json", "CAST([a] AS nvarchar(max))"),
        ("vector", "CAST([a] AS nvarchar(max))"),
        ("hierarchyid", "[a].ToString()"),
        ("geometry", "[a].AsBinaryZM()"),
        ("geography", "[a].AsBinaryZM()"),
    ],
)
def test_what_the_reader_does_not_know_is_turned_into_text_or_bytes(kind: str, sql: str) -> None:
    assert expression(column(kind)) == sql


def test_names_are_quoted_wherever_they_stand() -> None:
    written = expression(column("sql_variant", name="a]{0}'--"))
    assert written.count(quote("a]{0}'--")) == written.count("{0}") > 1


@pytest.mark.parametrize(
    ("base", "how"),
    [
        ("float", "CONVERT(nvarchar(50), CAST([a] AS float), 3)"),
        ("real", "CONVERT(nvarchar(50), CAST([a] AS real), 3)"),
        ("money", "CAST(CAST([a] AS decimal(19,4)) AS nvarchar(50))"),
        ("varbinary", "CONVERT(nvarchar(max), CAST([a] AS varbinary(8000)), 1)"),
        ("datetime", "CONVERT(nvarchar(50), CAST([a] AS datetime), 126)"),
        ("time", "CONVERT(nvarchar(34), CAST([a] AS time(7)), 121)"),
    ],
)
def test_a_variant_is_written_by_its_base_type(base: str, how: str) -> None:
    written = expression(column("sql_variant"))
    assert f"WHEN N'{base}' THEN {how} " in written
    assert written.endswith("ELSE CAST([a] AS nvarchar(max)) END")


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("time", "CONVERT(nvarchar(34), [a], 121)"),
        ("datetime2", "STUFF(CONVERT(nvarchar(34), [a], 121), 11, 1, N'T')"),
        (
            "datetimeoffset",
            "REPLACE(STUFF(CONVERT(nvarchar(34), [a], 121), 11, 1, N'T'), N' ', N'')",
        ),
    ],
)
def test_fine_times_are_read_as_text_where_that_is_asked(kind: str, sql: str) -> None:
    assert expression(column(kind, "text")) == sql
    assert expression(column(kind, "drop")) == "[a]"


@pytest.mark.parametrize("kind", ["sql_variant", "xml", "datetime2", "datetimeoffset"])
def test_expressions_are_t_sql(kind: str) -> None:
    fine = column("datetime2", name="b")
    items = f"{expression(column(kind, 'text'))}, {fine_times([fine])}"
    [parsed] = sqlglot.parse(f"SELECT {items} FROM [t]", dialect="tsql")
    assert isinstance(parsed, sqlglot.exp.Select)
    assert len(parsed.selects) == 2


def test_only_columns_that_may_lose_a_digit_are_asked_for_it() -> None:
    coarse = TableColumn("c", SqlType("datetime2", scale=6))
    assert fine_times([coarse, column("int"), column("time", "drop"), column("time", "text")]) == ""
    assert fine_times([coarse, column("time"), column("datetime2", name="b")]) == (
        "CAST(CASE WHEN DATEPART(nanosecond, [a]) % 1000 <> 0 THEN 2"
        " WHEN DATEPART(nanosecond, [b]) % 1000 <> 0 THEN 3 ELSE 0 END AS smallint)"
    )


def test_a_lost_digit_is_an_error_that_names_the_column_and_the_option() -> None:
    columns = [column("int"), column("datetime2", name="at")]
    refuse_fine(pa.array([0, 0], pa.int16()), columns)
    refuse_fine(pa.array([], pa.int16()), columns)
    with pytest.raises(TerminalError, match="seventh_digit") as fine:
        refuse_fine(pa.array([0, 2, 0], pa.int16()), columns)
    assert (fine.value.code, fine.value.where) == ("fine-time", {"column": "at"})


@pytest.mark.parametrize("kind", ["text", "ntext", "image", "xml", "json", "geometry", "geography"])
def test_types_without_bounds_are_large(kind: str) -> None:
    assert is_large(column(kind))


@pytest.mark.parametrize("kind", ["varchar", "nvarchar", "varbinary"])
def test_max_is_large_and_a_length_is_not(kind: str) -> None:
    assert is_large(column(kind, length=-1))
    assert not is_large(column(kind, length=4000))


READ: list[tuple[str, pa.Array]] = [
    ("nvarchar", pa.array(["", "a\0b", "😀", None], pa.large_string())),
    ("uniqueidentifier", pa.array(["6F9619FF-8B86-D011-B42D-00C04FC964FF"], pa.large_string())),
    ("varbinary", pa.array([b"", b"\0\xff", None], pa.large_binary())),
    ("tinyint", pa.array([0, 255, None], pa.uint8())),
    ("datetime2", pa.array([-62135596800000000, 253402300799999999, None], pa.timestamp("us"))),
    ("datetimeoffset", pa.array([-62135596800000000, None], pa.timestamp("us", "+00:00"))),
    ("time", pa.array([0, 86_399_999_999_000, None], pa.time64("ns"))),
]


@pytest.mark.parametrize(("kind", "read"), READ)
def test_values_come_out_in_the_canonical_type(kind: str, read: pa.Array) -> None:
    decoded = decode(read, column(kind))
    assert decoded.type == canonical(SqlType(kind, scale=7))
    assert decoded.to_pylist() == read.to_pylist()


@pytest.mark.parametrize(("kind", "read"), [r for r in READ if r[0] != "time"])
def test_values_are_not_copied(kind: str, read: pa.Array) -> None:
    assert decode(read, column(kind)).buffers()[-1].address == read.buffers()[-1].address


def test_a_slice_of_a_batch_is_decoded_as_itself() -> None:
    read = pa.array(["a", "b", "c", None], pa.large_string()).slice(1, 2)
    assert decode(read, column("nvarchar")).to_pylist() == ["b", "c"]


def test_the_seventh_digit_of_a_time_fails_or_is_dropped() -> None:
    read = pa.array([1_900, None], pa.time64("ns"))
    with pytest.raises(TerminalError) as fine:
        decode(read, column("time"))
    assert fine.value.code == "fine-time"
    assert decode(read, column("time", "drop")).to_pylist() == [time(0, 0, 0, 1), None]


def test_a_value_of_another_type_is_an_error_that_names_the_column() -> None:
    with pytest.raises(TerminalError) as wrong:
        decode(pa.array([300], pa.int64()), column("tinyint"))
    assert (wrong.value.code, wrong.value.where) == ("value-type", {"column": "a"})
