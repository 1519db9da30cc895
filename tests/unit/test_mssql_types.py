"""Types of SQL Server, canonical types, and the way between them."""

from __future__ import annotations

import re
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.sql.mssql.types import (
    SeventhDigit,
    SqlType,
    canonical,
    declare,
    max_length,
    sql_type,
    watermark_kind,
)
from copy_core.errors import ConfigError
from copy_core.schema import parse_type, type_name, widens
from tests.conformance.samples import VALUES

# As the catalog has them: name, bytes, precision, scale; then how statements write the type, what
# it is read as, how long its values are, and what watermarks it gives.
TYPES: list[tuple[tuple[str, int, int, int], str, str, int | None, str | None]] = [
    (("bit", 1, 1, 0), "bit", "bool", None, None),
    (("tinyint", 1, 3, 0), "tinyint", "uint8", None, "int"),
    (("smallint", 2, 5, 0), "smallint", "int16", None, "int"),
    (("int", 4, 10, 0), "int", "int32", None, "int"),
    (("bigint", 8, 19, 0), "bigint", "int64", None, "int"),
    (("decimal", 9, 18, 2), "decimal(18,2)", "decimal(18,2)", None, None),
    (("numeric", 17, 38, 0), "numeric(38,0)", "decimal(38,0)", None, "decimal"),
    (("money", 8, 19, 4), "money", "decimal(19,4)", None, None),
    (("smallmoney", 4, 10, 4), "smallmoney", "decimal(10,4)", None, None),
    (("real", 4, 24, 0), "real", "float32", None, None),
    (("float", 8, 53, 0), "float", "float64", None, None),
    (("char", 5, 0, 0), "char(5)", "string", 5, None),
    (("varchar", 8000, 0, 0), "varchar(8000)", "string", 8000, None),
    (("varchar", -1, 0, 0), "varchar(max)", "string", None, None),
    (("nchar", 10, 0, 0), "nchar(5)", "string", 5, None),
    (("nvarchar", 8000, 0, 0), "nvarchar(4000)", "string", 4000, None),
    (("nvarchar", -1, 0, 0), "nvarchar(max)", "string", None, None),
    (("sysname", 256, 0, 0), "nvarchar(128)", "string", 128, None),
    (("text", 16, 0, 0), "text", "string", None, None),
    (("ntext", 16, 0, 0), "ntext", "string", None, None),
    (("uniqueidentifier", 16, 0, 0), "uniqueidentifier", "string", 36, None),
    (("xml", -1, 0, 0), "xml", "string", None, None),
    (("json", -1, 0, 0), "json", "string", None, None),
    (("vector", 20, 0, 0), "vector", "string", None, None),
    (("sql_variant", 8016, 0, 0), "sql_variant", "string", None, None),
    (("hierarchyid", 892, 0, 0), "hierarchyid", "string", None, None),
    (("binary", 8, 0, 0), "binary(8)", "binary", 8, None),
    (("varbinary", 8000, 0, 0), "varbinary(8000)", "binary", 8000, None),
    (("varbinary", -1, 0, 0), "varbinary(max)", "binary", None, None),
    (("image", 16, 0, 0), "image", "binary", None, None),
    (("timestamp", 8, 0, 0), "rowversion", "binary", 8, "rowversion"),
    (("geometry", -1, 0, 0), "geometry", "binary", None, None),
    (("geography", -1, 0, 0), "geography", "binary", None, None),
    (("date", 3, 10, 0), "date", "date", None, "date"),
    (("time", 5, 16, 7), "time(7)", "time", None, None),
    (("datetime", 8, 23, 3), "datetime", "timestamp", None, "timestamp"),
    (("smalldatetime", 4, 16, 0), "smalldatetime", "timestamp", None, "timestamp"),
    (("datetime2", 8, 27, 7), "datetime2(7)", "timestamp", None, "timestamp"),
    (("datetime2", 6, 19, 0), "datetime2(0)", "timestamp", None, "timestamp"),
    (("datetimeoffset", 10, 34, 7), "datetimeoffset(7)", "timestamp_utc", None, "timestamp"),
]


@pytest.mark.parametrize(("row", "text", "kind", "length", "watermark"), TYPES)
def test_every_type_has_a_canonical_one(
    row: tuple[str, int, int, int], text: str, kind: str, length: int | None, watermark: str | None
) -> None:
    of = sql_type(*row)
    assert of.text == text
    assert canonical(of) == parse_type(kind)
    assert max_length(of) == length
    assert watermark_kind(of) == watermark


def test_an_unknown_type_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"dbo\.Point") as unknown:
        canonical(SqlType("dbo.Point"))
    assert unknown.value.code == "unknown-type"


def test_the_code_page_is_kept_for_those_who_write() -> None:
    assert sql_type("varchar", 10, 0, 0, 1252).codepage == 1252
    assert sql_type("int", 4, 10, 0).codepage == 0


@pytest.mark.parametrize("name", ["time", "datetime2", "datetimeoffset"])
def test_only_seven_digits_are_fine(name: str) -> None:
    assert [SqlType(name, scale=scale).fine for scale in range(8)] == [False] * 7 + [True]


@pytest.mark.parametrize("seventh_digit", get_args(SeventhDigit))
@pytest.mark.parametrize(("name", "length"), [("time", 16), ("datetime2", 27)])
def test_fine_times_become_text_where_that_is_asked(
    seventh_digit: SeventhDigit, name: str, length: int
) -> None:
    as_text = seventh_digit == "text"
    fine, coarse = SqlType(name, scale=7), SqlType(name, scale=6)
    assert (canonical(fine, seventh_digit) == pa.string()) == as_text
    assert max_length(fine, seventh_digit) == (length if as_text else None)
    assert canonical(coarse, seventh_digit) == canonical(coarse)


def test_the_longest_time_as_text() -> None:
    longest = max_length(SqlType("datetimeoffset", scale=7), "text")
    assert longest == len("2024-12-31T23:59:59.9999999+14:00")


DECLARED = {
    "bool": "bit",
    "int8": "smallint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "tinyint",
    "uint16": "int",
    "uint32": "bigint",
    "uint64": "decimal(20,0)",
    "float32": "real",
    "float64": "float",
    "decimal(38,10)": "decimal(38,10)",
    "string": "nvarchar(max)",
    "binary": "varbinary(max)",
    "date": "date",
    "time": "time(6)",
    "timestamp": "datetime2(6)",
    "timestamp_utc": "datetimeoffset(6)",
}


@pytest.mark.parametrize(("kind", "text"), DECLARED.items())
def test_a_created_column(kind: str, text: str) -> None:
    assert declare(parse_type(kind), None, key=False).text == text


@pytest.mark.parametrize("kind", [k for k in VALUES if k not in ("string", "binary")])
def test_a_created_column_holds_what_it_was_made_for(kind: str) -> None:
    name, *sizes = re.findall(r"\w+", declare(parse_type(kind), None, key=True).text)
    precision, scale = [0, *map(int, sizes)][-2:] if sizes else [0, 0]
    made = sql_type(name, 8, precision, scale)
    assert widens(canonical(made), parse_type(kind))


@pytest.mark.parametrize(
    ("length", "key", "text", "data"),
    [
        (50, False, "nvarchar(50)", "varbinary(50)"),
        (4000, False, "nvarchar(4000)", "varbinary(4000)"),
        (4001, False, "nvarchar(max)", "varbinary(4001)"),
        (8001, False, "nvarchar(max)", "varbinary(max)"),
        (0, False, "nvarchar(1)", "varbinary(1)"),
        (None, True, "nvarchar(450)", "varbinary(900)"),
        (50, True, "nvarchar(50)", "varbinary(50)"),
        (2000, True, "nvarchar(450)", "varbinary(900)"),
        (0, True, "nvarchar(1)", "varbinary(1)"),
    ],
)
def test_text_and_bytes_take_the_room_they_need(
    length: int | None, key: bool, text: str, data: str
) -> None:
    assert declare(pa.string(), length, key=key).text == text
    assert declare(pa.binary(), length, key=key).text == data


def test_a_type_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(ConfigError):
        declare(pa.list_(pa.int64()), None, key=False)


@given(st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p))))
def test_decimals_come_back_as_they_went(digits: tuple[int, int]) -> None:
    precision, scale = digits
    kind = pa.decimal128(precision, scale)
    assert declare(kind, None, key=False).text == type_name(kind)
    assert canonical(sql_type("decimal", 17, precision, scale)) == kind
