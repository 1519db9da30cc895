"""What bulk copy is given for columns of SQL Server, and what is refused before it is sent."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.sql.mssql.encode import encode, wire_schema
from copy_core.connectors.sql.mssql.encode_text import carrier
from copy_core.connectors.sql.mssql.table import TableColumn
from copy_core.connectors.sql.mssql.types import SqlType, canonical
from copy_core.errors import TerminalError

LATIN = SqlType("varchar", 10, codepage=1252)
KYRILLIC = SqlType("varchar", 10, codepage=1251)
UTF8 = SqlType("varchar", 10, codepage=65001)
JAPANESE = SqlType("varchar", 10, codepage=932)
NO_PAGE = SqlType("varchar", 10)
NVARCHAR = SqlType("nvarchar", 10)
DATETIME = SqlType("datetime")
NAIVE = pa.timestamp("us")
INSTANT = pa.timestamp("us", "UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def sent(of: SqlType, values: Any, arrow: pa.DataType | None = None) -> list[Any]:
    """What bulk copy is given for values of a column."""
    array = pa.array(values, arrow or canonical(of))
    batch = pa.RecordBatch.from_arrays([array], ["c"])
    column = TableColumn("c", of)
    encoded = encode(batch, [column])
    assert encoded.schema == wire_schema([column])
    listed: list[Any] = encoded.column(0).to_pylist()
    return listed


def refused(of: SqlType, value: Any, arrow: pa.DataType | None = None) -> TerminalError:
    with pytest.raises(TerminalError) as e:
        sent(of, [None, value], arrow)
    assert e.value.where["column"] == "c"
    assert not isinstance(value, str) or len(value) < 3 or value not in str(e.value)
    return e.value


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (SqlType("bit"), True),
        (SqlType("tinyint"), 255),
        (SqlType("smallint"), -32768),
        (SqlType("int"), 2**31 - 1),
        (SqlType("bigint"), -(2**63)),
        (SqlType("decimal", precision=38, scale=38), Decimal("0." + 37 * "0" + "1")),
        (SqlType("money"), Decimal("922337203685477.5807")),
        (SqlType("money"), Decimal("-922337203685477.5808")),
        (SqlType("smallmoney"), Decimal("-214748.3648")),
        (SqlType("real"), 1.5),
        (SqlType("float"), -0.1),
        (NVARCHAR, ""),
        (NVARCHAR, "10 \0 \U0001f600 é"),
        (NVARCHAR, 5 * "\U0001f600"),
        (SqlType("nchar", 10), "Ж"),
        (SqlType("nvarchar", -1), 9000 * "é"),
        (SqlType("ntext"), "é"),
        (SqlType("xml"), "<a>Ж</a>"),
        (LATIN, "10 chars €"),
        (KYRILLIC, 10 * "Ж"),
        (JAPANESE, 5 * "日"),
        (UTF8, 5 * "Ж"),
        (SqlType("text", codepage=1252), 9000 * "é"),
        (NO_PAGE, "plain"),
        (SqlType("uniqueidentifier"), "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        (SqlType("varbinary", 3), b"\0\1\2"),
        (SqlType("binary", 3), b""),
        (SqlType("image"), b"x"),
        (SqlType("date"), date(1, 1, 1)),
        (SqlType("date"), date(9999, 12, 31)),
        (SqlType("time", scale=6), time(23, 59, 59, 999999)),
        (SqlType("time", scale=0), time(23, 59, 59)),
        (SqlType("time", scale=7), time(0, 0, 0, 1)),
        (SqlType("datetime2", scale=6), at("0001-01-01")),
        (SqlType("datetime2", scale=7), at("9999-12-31T23:59:59.999999")),
        (SqlType("datetime2", scale=3), at("1969-12-31T23:59:59.999000")),
        (SqlType("datetimeoffset", scale=6), datetime(1, 1, 1, tzinfo=UTC)),
        (DATETIME, at("1753-01-01")),
        (DATETIME, at("9999-12-31T23:59:59.997000")),
        (DATETIME, at("9999-12-31T23:59:59.996667")),
        (SqlType("smalldatetime"), at("1900-01-01")),
        (SqlType("smalldatetime"), at("2079-06-06T23:59:00")),
    ],
    ids=repr,
)
def test_what_a_column_holds_goes_through_as_it_is(of: SqlType, value: Any) -> None:
    assert sent(of, [value, None]) == [value, None]


@pytest.mark.parametrize("of", [NVARCHAR, LATIN, DATETIME, SqlType("money"), SqlType("float")])
def test_nulls_alone_go_through(of: SqlType) -> None:
    assert sent(of, [None, None]) == [None, None]
    assert sent(of, []) == []


def test_types_that_created_columns_widen_are_widened() -> None:
    assert sent(SqlType("smallint"), [-128], pa.int8()) == [-128]
    assert sent(SqlType("int"), [65535], pa.uint16()) == [65535]
    assert sent(SqlType("bigint"), [2**32 - 1], pa.uint32()) == [2**32 - 1]
    of = SqlType("decimal", precision=20)
    assert sent(of, [2**64 - 1], pa.uint64()) == [Decimal(2**64 - 1)]


def test_every_form_of_text_is_taken() -> None:
    for arrow in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        assert sent(NVARCHAR, ["a", None], arrow) == ["a", None]


def test_columns_that_are_not_asked_for_stay_behind() -> None:
    batch = pa.RecordBatch.from_pydict({"b": ["x"], "a": pa.array([1], pa.int32())})
    encoded = encode(batch, [TableColumn("a", SqlType("int"))])
    assert encoded.to_pydict() == {"a": [1]}


@pytest.mark.parametrize(
    ("of", "value", "message"),
    [
        (NVARCHAR, 11 * "x", "11 characters, and nvarchar(10) holds 10"),
        (NVARCHAR, 5 * "\U0001f600" + "x", "11 characters"),
        (SqlType("nchar", 1), "\U0001f600", "2 characters"),
        (LATIN, 11 * "é", "11 bytes, and varchar(10) holds 10"),
        (LATIN, 11 * "x", "11 bytes"),
        (UTF8, 5 * "Ж" + "x", "11 bytes"),
        (JAPANESE, 5 * "日" + "x", "11 bytes"),
        (SqlType("varbinary", 2), b"123", "3 bytes"),
        (SqlType("binary", 2), b"123", "3 bytes"),
    ],
    ids=repr,
)
def test_what_is_too_long_is_refused_with_both_lengths(
    of: SqlType, value: Any, message: str
) -> None:
    error = refused(of, value)
    assert error.code == "too-long"
    assert message in str(error)


@pytest.mark.parametrize(
    ("of", "value"),
    [(LATIN, "Ж"), (LATIN, "ā"), (KYRILLIC, "日"), (NO_PAGE, "é"), (JAPANESE, "é")],
    ids=repr,
)
def test_a_character_that_the_code_page_lacks_is_refused(of: SqlType, value: str) -> None:
    error = refused(of, value)
    assert error.code == "code-page"
    assert f"code page {of.codepage}" in str(error)


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (SqlType("float"), math.nan),
        (SqlType("float"), -math.inf),
        (SqlType("real"), math.inf),
        (SqlType("smallmoney"), Decimal("214748.3648")),
        (SqlType("money"), Decimal("922337203685477.5808")),
        (SqlType("uniqueidentifier"), "6F9619FF-8B86-D011-B42D-00C04FC964F"),
        (DATETIME, at("1752-12-31T23:59:59")),
        (SqlType("smalldatetime"), at("2079-06-07")),
        (SqlType("smalldatetime"), at("1899-12-31")),
    ],
    ids=repr,
)
def test_what_is_out_of_range_is_refused(of: SqlType, value: Any) -> None:
    assert refused(of, value).code == "value-out-of-range"


@pytest.mark.parametrize(
    ("of", "count", "arrow"),
    [
        (SqlType("date"), -719_163, pa.date32()),
        (SqlType("date"), 2_932_897, pa.date32()),
        (SqlType("datetime2", scale=6), -62_135_596_800_000_001, NAIVE),
        (SqlType("datetimeoffset", scale=6), 253_402_300_800_000_000, INSTANT),
        (SqlType("time", scale=6), 86_400_000_000, pa.time64("us")),
    ],
    ids=repr,
)
def test_years_and_hours_that_sql_server_has_not_are_refused(
    of: SqlType, count: int, arrow: pa.DataType
) -> None:
    plain = pa.array([count], pa.int32() if arrow == pa.date32() else pa.int64())
    batch = pa.RecordBatch.from_arrays([plain.view(arrow)], ["c"])
    with pytest.raises(TerminalError) as e:
        encode(batch, [TableColumn("c", of)])
    assert (e.value.code, e.value.where["column"]) == ("value-out-of-range", "c")


def test_a_decimal_with_more_digits_than_the_column_is_refused() -> None:
    of = SqlType("decimal", precision=3)
    assert refused(of, Decimal(1000), pa.decimal128(20, 0)).code == "value-out-of-range"


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (SqlType("datetime2", scale=3), at("2020-01-01T00:00:00.000001")),
        (SqlType("datetime2", scale=0), at("1960-01-01T00:00:00.500000")),
        (SqlType("datetimeoffset", scale=5), datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        (SqlType("time", scale=0), time(0, 0, 0, 1)),
        (SqlType("smalldatetime"), at("2020-01-01T00:00:30")),
        (DATETIME, at("2020-01-01T00:00:00.001000")),
        (DATETIME, at("2020-01-01T00:00:00.003334")),
        (DATETIME, at("9999-12-31T23:59:59.999999")),
    ],
    ids=repr,
)
def test_times_with_more_digits_than_the_column_keeps_are_refused(of: SqlType, value: Any) -> None:
    error = refused(of, value)
    assert error.code == "fine-time"
    assert of.text in str(error)


@given(
    day=st.integers(-79_257, 2_932_896),
    tick=st.integers(0, 86_400 * 300 - 1),
    form=st.sampled_from(["cut", "rounded", "shown"]),
)
def test_whatever_a_datetime_gives_out_goes_back_into_it(day: int, tick: int, form: str) -> None:
    micros = {
        "cut": tick * 10_000 // 3,
        "rounded": round(tick * 10_000 / 3),
        "shown": round(tick * 10 / 3) * 1_000,
    }[form]
    value = at("1970-01-01") + timedelta(days=day, microseconds=micros)
    assert sent(DATETIME, [value]) == [value]
    # And what bulk copy makes of it is the tick that it was.
    assert (micros * 300 + 500_000) // 1_000_000 == tick


@given(st.integers(0, 999_999))
def test_a_datetime_takes_what_means_a_tick_and_nothing_else(micros: int) -> None:
    ticks = [micros * 3 // 10_000 + i for i in (0, 1)]
    meant = {f for t in ticks for f in (t * 10_000 // 3, round(t * 10_000 / 3))}
    meant |= {round(t * 10 / 3) * 1_000 for t in ticks}
    value = at("2024-02-29T23:59:59") + timedelta(microseconds=micros)
    if micros in meant:
        assert sent(DATETIME, [value]) == [value]
    else:
        assert refused(DATETIME, value).code == "fine-time"


@given(st.text(max_size=12))
def test_text_is_measured_as_the_column_measures_it(text: str) -> None:
    for of, codec, unit in ((NVARCHAR, "utf-16-le", 2), (UTF8, "utf-8", 1), (LATIN, "cp1252", 1)):
        held = text.encode(codec, "ignore")
        if held.decode(codec) == text and len(held) // unit <= of.length:
            assert sent(of, [text]) == [text]
        else:
            assert refused(of, text).code in ("too-long", "code-page")


@pytest.mark.parametrize(
    ("of", "collation", "carried"),
    [
        (LATIN, "SQL_Latin1_General_CP1_CI_AS", "varchar(10)"),
        (LATIN, "Latin1_General_100_BIN2", "varchar(10)"),
        (LATIN, "German_PhoneBook_100_CI_AS", "nvarchar(10)"),
        (KYRILLIC, "Cyrillic_General_CI_AS", "nvarchar(10)"),
        (UTF8, "Latin1_General_100_CI_AS_SC_UTF8", "nvarchar(10)"),
        (SqlType("varchar", 8000, codepage=65001), "x", "nvarchar(max)"),
        (SqlType("varchar", -1, codepage=65001), "x", "nvarchar(max)"),
        (SqlType("char", 4000, codepage=65001), "x", "nvarchar(4000)"),
        (SqlType("text", codepage=437), "SQL_Latin1_General_CP437_CI_AS", "nvarchar(max)"),
        (NVARCHAR, "Latin1_General_100_CI_AS_SC_UTF8", "nvarchar(10)"),
        (SqlType("int"), "", "int"),
    ],
    ids=repr,
)
def test_text_that_bulk_copy_would_write_wrongly_travels_as_nvarchar(
    of: SqlType, collation: str, carried: str
) -> None:
    assert carrier(TableColumn("c", of, collation=collation)).text == carried
