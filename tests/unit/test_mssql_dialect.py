"""Values, conditions and queries in T-SQL, without a server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from copy_core.connectors.sql.mssql.dialect import MssqlTerms, select
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.queries import relation
from copy_core.connectors.sql.mssql.table import Table, TableColumn
from copy_core.connectors.sql.mssql.types import SqlType
from copy_core.connectors.sql.mssql.values import literal, number, shown, typed
from copy_core.connectors.sql.text import Sql
from copy_core.errors import ConfigError, TerminalError
from copy_core.watermark import Watermark

INT, BIGINT, TINYINT = SqlType("int"), SqlType("bigint"), SqlType("tinyint")
DATETIME, SMALL, DAY = SqlType("datetime"), SqlType("smalldatetime"), SqlType("date")
FINE, COARSE = SqlType("datetime2", scale=7), SqlType("datetime2", scale=3)
OFFSET, CLOCK = SqlType("datetimeoffset", scale=7), SqlType("time", scale=7)
VERSION, GUID = SqlType("rowversion"), SqlType("uniqueidentifier")
WIDE, NARROW = SqlType("nvarchar", length=50), SqlType("varchar", length=50, codepage=1250)
MONEY = SqlType("money")


def column(of: SqlType, name: str = "c", **more: Any) -> TableColumn:
    return TableColumn(name, of, **more)


def terms(of: SqlType, **more: Any) -> MssqlTerms:
    return MssqlTerms({"c": column(of, **more)})


def bound(of: SqlType, value: str, kind: Any = "timestamp", **more: Any) -> Sql:
    return terms(of, **more).bound("c", Watermark(kind=kind, value=value))


def read(sql: Sql) -> str:
    return sql.readable(literal)


@pytest.mark.parametrize(
    ("of", "kind", "value", "written"),
    [
        (INT, "int", "7", "CAST(7 AS int)"),
        (TINYINT, "int", "-5", "CAST('-5' AS decimal(1,0))"),
        (BIGINT, "int", str(-(2**63)), "CAST(-9223372036854775808 AS bigint)"),
        (BIGINT, "int", str(-(2**63) - 1), "CAST('-9223372036854775809' AS decimal(19,0))"),
        (
            SqlType("decimal", precision=38),
            "decimal",
            "9" * 38,
            f"CAST('{'9' * 38}' AS decimal(38,0))",
        ),
        (SqlType("decimal", precision=5), "decimal", "123456", "CAST('123456' AS decimal(6,0))"),
        (SqlType("decimal", precision=38), "decimal", "-1" + "0" * 38, "CAST(-1e+38 AS float)"),
        (DAY, "date", "2024-02-29", "CAST('2024-02-29' AS date)"),
        (VERSION, "rowversion", "00000000000007D0", "CAST(0x00000000000007D0 AS binary(8))"),
        (VERSION, "rowversion", "0x7d0", "CAST(0x00000000000007D0 AS binary(8))"),
    ],
)
def test_a_watermark_is_bound_as_the_columns_own_type_or_one_that_holds_it(
    of: SqlType, kind: Any, value: str, written: str
) -> None:
    assert read(bound(of, value, kind)) == written


def test_the_seventh_digit_of_a_datetime2_is_bound_as_it_came() -> None:
    sql = bound(FINE, "2024-01-02T03:04:05.1234567")
    assert sql.text == "CAST(? AS datetime2(7))"
    assert sql.values == ("2024-01-02T03:04:05.1234567",)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2024-01-02T03:04:05.003", "CAST('2024-01-02T03:04:05.003' AS datetime)"),
        ("2024-01-02T03:04:05.007", "CAST('2024-01-02T03:04:05.007' AS datetime)"),
        ("2024-01-02 03:04:05.120", "CAST('2024-01-02T03:04:05.12' AS datetime)"),
        ("2024-01-02T03:04", "CAST('2024-01-02T03:04:00' AS datetime)"),
        # These would be rounded to a tick on the way, past rows or back over them.
        ("2024-01-02T03:04:05.001", "CAST('2024-01-02T03:04:05.001' AS datetime2(7))"),
        ("2024-01-02T03:04:05.0033333", "CAST('2024-01-02T03:04:05.0033333' AS datetime2(7))"),
        # A lookback from the first years of a datetime.
        ("1752-12-31T23:59:59", "CAST('1752-12-31T23:59:59' AS datetime2(7))"),
    ],
)
def test_a_datetime_is_compared_with_a_tick_or_exactly(value: str, written: str) -> None:
    assert read(bound(DATETIME, value)) == written


@pytest.mark.parametrize(
    ("of", "value", "own"),
    [
        (SMALL, "2024-01-02T03:04:00", "smalldatetime"),
        (SMALL, "2024-01-02T03:04:30", "datetime2(7)"),
        (SMALL, "1899-12-31T23:59:00", "datetime2(7)"),
        (COARSE, "2024-01-02T03:04:05.120", "datetime2(3)"),
        (COARSE, "2024-01-02T03:04:05.1234", "datetime2(7)"),
        (DAY, "2024-01-02T00:00:00", "date"),
        (DAY, "2024-01-02T10:00:00", "datetime2(7)"),
        (OFFSET, "2024-01-02T03:04:05.1234567Z", "datetimeoffset(7)"),
        (SqlType("datetimeoffset", scale=0), "2024-01-02T03:04:05.5Z", "datetimeoffset(7)"),
    ],
)
def test_no_time_is_rounded_on_its_way(of: SqlType, value: str, own: str) -> None:
    assert bound(of, value).text == f"CAST(? AS {own})"


def test_an_instant_is_shown_in_utc_and_bound_with_its_zone() -> None:
    assert shown(OFFSET, "[c]").endswith("datetime2(7)), 126) + 'Z'")
    assert bound(OFFSET, "2024-01-02 03:04:05.1Z").values == ("2024-01-02T03:04:05.1Z",)


@pytest.mark.parametrize(
    ("of", "kind", "value"),
    [
        (INT, "int", "x"),
        (FINE, "timestamp", "9 May"),
        (VERSION, "rowversion", "no hex"),
        (FINE, "timestamp", ""),
    ],
)
def test_a_watermark_that_is_no_value_of_the_column_is_told(
    of: SqlType, kind: Any, value: str
) -> None:
    with pytest.raises(TerminalError) as wrong:
        bound(of, value, kind)
    assert wrong.value.code == "watermark-value"
    assert wrong.value.where["column"] == "c"


def test_a_narrow_column_is_compared_in_its_own_order_and_code_page() -> None:
    sql = bound(NARROW, "2024-01-02", collation="Polish_CI_AS")
    assert sql.text == "CAST(? COLLATE Polish_CI_AS AS varchar(8000))"
    assert bound(WIDE, "2024-01-02", collation="Polish_CI_AS").text == "?"


def test_a_collation_is_a_name_or_nothing() -> None:
    assert bound(NARROW, "2024-01-02", collation="x); DROP TABLE t --").text == "?"


@pytest.mark.parametrize(
    ("of", "value", "written"),
    [
        (SqlType("bit"), True, "CAST(1 AS bit)"),
        (INT, 20, "CAST(20 AS int)"),
        (INT, 1.5, "CAST('1.5' AS decimal(2,1))"),
        (INT, 2**40, "CAST('1099511627776' AS decimal(13,0))"),
        (SqlType("decimal", precision=18, scale=4), "1.5", "CAST('1.5' AS decimal(18,4))"),
        (SqlType("decimal", precision=18, scale=4), 0.00001, "CAST('0.00001' AS decimal(5,5))"),
        (MONEY, "-0.0001", "CAST('-0.0001' AS decimal(4,4))"),
        (SqlType("float"), 0.1, "CAST(0.1 AS float)"),
        (SqlType("real"), 1, "CAST(1.0 AS real)"),
        (DAY, "2024-02-29", "CAST('2024-02-29' AS date)"),
        (CLOCK, "12:00", "CAST('12:00:00' AS time(7))"),
        (
            FINE,
            "2024-01-02T03:04:05.1234567",
            "CAST('2024-01-02T03:04:05.1234567' AS datetime2(7))",
        ),
        (
            OFFSET,
            "2024-01-02T03:04+02:00",
            "CAST('2024-01-02T03:04:00+02:00' AS datetimeoffset(7))",
        ),
        (WIDE, "it's", "'it''s'"),
        (WIDE, "表", "N'表'"),
        (NARROW, "表", "N'表'"),
        (
            GUID,
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
        ),
    ],
)
def test_a_filters_value_is_compared_as_its_column_is_typed(
    of: SqlType, value: Any, written: str
) -> None:
    assert read(terms(of, collation="Latin1_General_CI_AS").value("c", "=", value)) == written


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (SqlType("bit"), 2),
        (INT, "20"),
        (INT, True),
        (SqlType("float"), float("nan")),
        (SqlType("decimal", precision=5), "Infinity"),
        (SqlType("decimal", precision=5), "1e999999999"),
        (SqlType("decimal", precision=5), "0." + "1" * 39),
        (DAY, "2024-02-30"),
        (DAY, "2024-02-28T10:00"),
        (CLOCK, "25:00"),
        (FINE, "2024-01-02T03:04:05Z"),
        (OFFSET, "2024-01-02T03:04:05"),
        (WIDE, 5),
        (GUID, "no uuid"),
        (VERSION, "00"),
        (SqlType("geometry"), "POINT (1 1)"),
    ],
)
def test_a_filters_value_that_does_not_fit_names_the_column(of: SqlType, value: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        terms(of).value("c", "=", value)
    assert refused.value.code == "filter-value"
    assert refused.value.where["column"] == "c"
    assert refused.value.fix


@pytest.mark.parametrize("kind", ["text", "xml", "sql_variant", "hierarchyid"])
def test_what_cannot_be_compared_is_compared_as_text(kind: str) -> None:
    assert terms(SqlType(kind)).operand("c") != "[c]"


@given(st.decimals(allow_nan=False, allow_infinity=False), st.sampled_from([INT, BIGINT, MONEY]))
def test_a_number_keeps_every_digit(value: Decimal, of: SqlType) -> None:
    try:
        sql = number(of, value)
    except ValueError:
        assume(False)
    assume("float" not in sql.text)
    (sent,) = sql.values
    assert Decimal(str(sent)) == value


@given(st.text(min_size=1), st.sampled_from([WIDE, NARROW]))
def test_text_is_never_code(text: str, of: SqlType) -> None:
    sql = terms(of, collation="Latin1_General_CI_AS").value("c", "=", text)
    assert sql.values == (text,)
    assert sql.text == typed(column(of, collation="Latin1_General_CI_AS"), "x").text or (
        sql.text == "?" and not text.isascii()
    )


def test_literals_can_be_read() -> None:
    values = [None, "it's", "Zoë", 5, 0.1, b"\x00\xff"]
    assert [literal(v) for v in values] == ["NULL", "'it''s'", "N'Zoë'", "5", "0.1", "0x00FF"]


def test_a_table_in_memory_is_read_with_its_own_hint() -> None:
    table = Table(ObjectName("s", "t x"), "table", (), memory_optimized=True)
    assert select(table, "*").text == "SELECT * FROM [s].[t x] WITH (SNAPSHOT)"


def of_query(query: str) -> str:
    return select(Table(ObjectName("", "q"), "query", (), query=query), "a", Sql("a > 1")).text


WITH = "with x AS (SELECT 1 AS a), y (a) AS (SELECT a FROM x)"


@pytest.mark.parametrize(
    ("query", "before", "inside"),
    [
        ("SELECT a FROM t", "WITH", "SELECT a FROM t"),
        (f"{WITH}\nSELECT a FROM y -- all", f"{WITH},", "SELECT a FROM y -- all"),
    ],
)
def test_a_query_stands_before_the_statement_that_reads_it(
    query: str, before: str, inside: str
) -> None:
    named = f"{before}\n[_copyjob_query] AS (\n{inside}\n)\n"
    assert of_query(query) == f"{named}SELECT a FROM [_copyjob_query] WHERE a > 1"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a FROM t;",
        "SELECT TOP (5) a FROM t ORDER BY a",
        "SELECT a FROM t ORDER BY a OFFSET 0 ROWS",
        "SELECT a, ROW_NUMBER() OVER (ORDER BY a) AS n FROM t",
        "SELECT ';' AS a, [;] AS b, \"into\" AS c /* ; /* nested ' */ ; */ FROM t -- ; order by",
        "(SELECT a FROM t) UNION ALL (SELECT a FROM u)",
        "SELECT 'it''s (' AS a, [b]](] FROM t",
    ],
)
def test_a_query_that_can_stand_for_a_table_is_taken(query: str) -> None:
    assert "[_copyjob_query]" in relation(query).head


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "SELECT or WITH"),
        ("EXEC p", "SELECT or WITH"),
        ("DELETE FROM t", "SELECT or WITH"),
        ("SELECT 1 AS a; DROP TABLE t", "semicolon"),
        ("SELECT a FROM t ORDER BY a", "ORDER BY"),
        ("SELECT a INTO u FROM t", "INTO"),
        ("SELECT a FROM t OPTION (MAXDOP 1)", "OPTION"),
        ("SELECT 1) AS q DROP TABLE t --", "parenthesis"),
        ("SELECT (1", "parenthesis"),
        ("SELECT a /* FROM t", "comment"),
        ("SELECT 'a FROM t", "closes"),
        ("WITH x AS (SELECT 1 AS a) DELETE FROM x", "no SELECT"),
    ],
)
def test_a_query_that_cannot_is_refused_with_the_reason(query: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        relation(query)
    assert refused.value.code == "query-form"
