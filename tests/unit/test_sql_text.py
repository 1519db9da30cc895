"""SQL text with bound values, and slices as conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.sql.sqlite_catalog import TableColumn
from copy_core.connectors.sql.sqlite_dialect import SqliteTerms
from copy_core.connectors.sql.text import Sql, bind, join, literal, names, quote
from copy_core.connectors.sql.where import shape, where
from copy_core.errors import ConfigError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark, Window


def terms(**declared: str) -> SqliteTerms:
    return SqliteTerms(
        {
            name: TableColumn(
                name=name, declared=kind, required=False, key=0, generated=False, nullable=True
            )
            for name, kind in declared.items()
        }
    )


def test_a_value_stands_where_it_was_bound() -> None:
    whole = f"{quote('a?')} > " + bind(5) + " AND b = " + bind("it's")
    assert whole.text == '"a?" > ? AND b = ?'
    assert whole.values == (5, "it's")
    assert whole.readable(literal) == "\"a?\" > 5 AND b = 'it''s'"


def test_pieces_join_with_their_values_in_order() -> None:
    whole = join(", ", [bind(1), Sql("x"), bind(None)])
    assert (whole.text, whole.values) == ("?, x, ?", (1, None))
    assert whole.readable(literal) == "1, x, NULL"


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_a_quoted_name_keeps_every_quote_inside(name: str) -> None:
    quoted = quote(name)
    assert quoted[0] == quoted[-1] == '"'
    assert quoted[1:-1].replace('""', '"') == name
    assert names([name, name]) == f"{quoted}, {quoted}"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        quote(name)


LOW = Watermark(kind="int", value="3")
HIGH = Watermark(kind="int", value="9")


@pytest.mark.parametrize(
    ("window", "wanted"),
    [
        (Window(column="n", low=LOW, high=HIGH), '"n" > 3 AND "n" <= 9'),
        (Window(column="n", high=HIGH), '"n" <= 9'),
        (Window(column="n", high=HIGH, nulls=True), '("n" <= 9 OR "n" IS NULL)'),
        (
            Window(column="n", low=LOW, high=HIGH, nulls=True),
            '("n" > 3 AND "n" <= 9 OR "n" IS NULL)',
        ),
        (Window(column="n", nulls=True), '"n" IS NULL'),
        (Window(column="n"), "1 = 0"),
        (Window(), ""),
    ],
)
def test_a_window_in_words(window: Window, wanted: str) -> None:
    part = Slice(object="t", columns=("n",), window=window)
    assert where(part, terms(n="INTEGER")).readable(literal) == wanted


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (Condition(column="n", op="!=", value=5), '"n" <> 5'),
        (Condition(column="n", op="in", value=[5, 6]), '"n" IN (5, 6)'),
        (Condition(column="n", op="in", value=[]), "1 = 0"),
        (Condition(column="n", op="=", value=None), "1 = 0"),
        (Condition(column="n", op="is not null"), '"n" IS NOT NULL'),
        (Condition(column="s", op="<", value="it's"), "\"s\" < 'it''s'"),
        (Condition(column="d", op=">=", value=1.5), "\"d\" >= CAST('1.5' AS NUMERIC)"),
        (Condition(column="e", op="=", value=1.5), "\"e\" = '1.50'"),
    ],
)
def test_a_filter_in_words(condition: Condition, wanted: str) -> None:
    known = terms(n="INTEGER", s="TEXT", d="DECIMAL(9,2)", e="DECIMAL_TEXT(30,2)")
    part = Slice(object="t", columns=("n",), filter=(condition,))
    assert where(part, known).readable(literal) == wanted


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        (Condition(column="n", value="five"), "int64"),
        (Condition(column="n", value=True), "int64"),
        (Condition(column="s", value=5), "string"),
        (Condition(column="d", value="5 apples"), "decimal"),
        (Condition(column="e", op=">", value="5"), "decimal"),
        (Condition(column="e", value="5.001"), "decimal"),
        (Condition(column="day", value="2024-02-30"), "date"),
        (Condition(column="at", value="2024-02-03T00:00:00Z"), "timestamp"),
        (Condition(column="b", value="yes"), "bool"),
        (Condition(column="x", value="00"), "binary"),
    ],
)
def test_a_filter_value_of_another_type_is_refused(condition: Condition, why: str) -> None:
    known = terms(
        n="INTEGER",
        s="TEXT",
        d="DECIMAL(9,2)",
        e="DECIMAL_TEXT(30,2)",
        day="DATE",
        at="TIMESTAMP",
        b="BOOLEAN",
        x="BLOB",
    )
    part = Slice(object="t", columns=("n",), filter=(condition,))
    with pytest.raises(ConfigError, match=why) as caught:
        where(part, known)
    assert caught.value.where["column"] == condition.column


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-01-31", "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"),
        ("T1-01-31 10:00+02:00", "T[0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]+02:00"),
        ("1-1-1     0:00.1Z", "[0-9]-[0-9]-[0-9]     [0-9]:[0-9][0-9].[0-9]Z"),
    ],
)
def test_the_shape_of_a_time_keeps_separators_and_zone(text: str, wanted: str) -> None:
    assert shape(text) == wanted
