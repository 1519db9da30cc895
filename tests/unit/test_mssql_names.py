"""Names of SQL Server: quoted whatever they hold, and read from what people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.sql.mssql.names import ObjectName, parse, quote
from copy_core.errors import ConfigError

LEGAL = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(str.strip)


@given(LEGAL, LEGAL)
def test_a_name_that_was_written_down_is_read_again(schema: str, table: str) -> None:
    name = ObjectName(schema, table)
    assert parse(name.text, "elsewhere") == name


@given(LEGAL)
def test_nothing_within_a_quoted_name_ends_it(name: str) -> None:
    opening, inside, closing = quote(name)[0], quote(name)[1:-1], quote(name)[-1]
    assert (opening, closing) in {("[", "]"), ('"', '"')}
    assert closing not in inside.replace(2 * closing, "")
    assert inside.replace(2 * closing, closing) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("orders", ("dbo", "orders")),
        ("sales.orders", ("sales", "orders")),
        ("[sales].[orders]", ("sales", "orders")),
        ("sales.[a.b]", ("sales", "a.b")),
        ("[dot.ted]", ("dbo", "dot.ted")),
        ("[a]]b].c", ("a]b", "c")),
        ("close]", ("dbo", "close]")),
        ("with space.and more", ("with space", "and more")),
        ("[not closed", ("dbo", "[not closed")),
        ("[a]b.c", ("[a]b", "c")),
        ("[]", ("dbo", "[]")),
    ],
)
def test_how_people_write_names(text: str, name: tuple[str, str]) -> None:
    assert parse(text, "dbo") == name


@pytest.mark.parametrize("text", ["", " ", ".", "a.", ".a", "a..b", "db.dbo.orders"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, "dbo")
    assert refused.value.code == "bad-name"


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 129, "😀" * 65])
def test_a_name_that_no_object_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        quote(name)
    assert refused.value.code == "bad-name"
