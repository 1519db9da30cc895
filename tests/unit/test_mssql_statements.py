"""What the statements of SQL Server and the layout of its staging tables hold to."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.sql.mssql import statements
from copy_core.connectors.sql.mssql.filling import Filling, same_count
from copy_core.connectors.sql.mssql.layout import arrange, definition, folding, places
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.table import Table, TableColumn
from copy_core.connectors.sql.mssql.types import SqlType
from copy_core.errors import ConfigError, TerminalError
from copy_core.schema import parse_type, reconcile, schema_from_json
from tests.conformance.destination_kit import aim
from tests.conformance.samples import VALUES
from tests.conformance.samples import table as sample

NAME = ObjectName("dbo", "t")
ANY_CASE, EXACT = "SQL_Latin1_General_CP1_CI_AS", "Latin1_General_100_BIN2"


def column(name: str, kind: str, length: int = 0, **more: Any) -> TableColumn:
    return TableColumn(name, SqlType(kind, length), **more)


def table(*columns: TableColumn, **more: Any) -> Table:
    return Table(NAME, "table", columns, **more)


ID = column("id", "bigint", nullable=False)
NAMED = column("name", "nvarchar", 50, collation="Polish_CI_AS")
AT = column("at", "bigint")


def rows(**columns: str) -> pa.Table:
    return pa.table({name: pa.array([], parse_type(kind)) for name, kind in columns.items()})


@given(job=st.text(), source=st.text(), other=st.tuples(st.text(), st.text()))
def test_staging_tables_of_two_tables_have_no_prefix_in_common(
    job: str, source: str, other: tuple[str, str]
) -> None:
    prefixes = {statements.stage_prefix(job, source), statements.stage_prefix(*other)}
    assert len(prefixes) == len({(job, source), other})


def test_a_name_of_a_staging_table_is_short_enough() -> None:
    assert len(f"{statements.stage_prefix('j' * 100, 's' * 200)}{2**40}_9999_{'0' * 16}") < 128


def test_truncating_falls_back_to_deleting_in_the_same_transaction() -> None:
    assert statements.truncate(NAME) == (
        "SET XACT_ABORT OFF;\nBEGIN TRY\n  TRUNCATE TABLE [dbo].[t];\nEND TRY\nBEGIN CATCH\n"
        "  IF XACT_STATE() <> 1 THROW;\n  DELETE FROM [dbo].[t] WITH (TABLOCKX);\nEND CATCH;\n"
        "SET XACT_ABORT ON"
    )


@pytest.mark.parametrize("kind", VALUES)
def test_a_created_table_takes_the_same_rows_again(kind: str) -> None:
    target = aim(rows(id="int64", value=kind))
    created = arrange(target, None, ANY_CASE).schema
    again, _ = reconcile(created, schema_from_json(target.columns), "fail")
    assert again.types == created.types


def test_staging_tables_have_the_types_and_collations_of_the_table() -> None:
    layout = arrange(aim(sample()), table(ID, NAMED, AT), ANY_CASE)
    assert layout.definitions == [
        "[c0] bigint NULL",
        "[c1] nvarchar(50) COLLATE Polish_CI_AS NULL",
        "[c2] bigint NULL",
    ]


@pytest.mark.parametrize(
    ("kind", "codepage", "collation", "staged"),
    [
        ("varchar", 1252, "SQL_Latin1_General_CP1_CI_AS", "varchar(9)"),
        ("char", 1252, "Latin1_General_100_BIN2", "char(9)"),
        ("text", 1252, "Latin1_General_CI_AS", "varchar(max)"),
        ("varchar", 65001, "Latin1_General_100_CI_AS_SC_UTF8", "nvarchar(9)"),
        ("varchar", 1250, "Polish_CI_AS", "nvarchar(9)"),
        ("char", 437, "SQL_Latin1_General_CP437_CI_AS", "nvarchar(9)"),
        ("text", 932, "Japanese_CI_AS", "nvarchar(max)"),
    ],
)
def test_text_that_bulk_copy_would_spoil_waits_in_utf_16(
    kind: str, codepage: int, collation: str, staged: str
) -> None:
    length = 0 if kind == "text" else 9
    of = SqlType(kind, length, codepage=codepage)
    layout = arrange(aim(rows(v="string")), table(TableColumn("v", of, collation=collation)), EXACT)
    assert layout.definitions == [f"[c0] {staged} COLLATE {collation} NULL"]
    assert layout.staged[0].type == of  # whose code page the values are held against


@pytest.mark.parametrize(
    ("kind", "arriving", "staged", "value"),
    [
        ("xml", "string", "nvarchar(max)", "CONVERT(xml, s.[c0], 1)"),
        ("hierarchyid", "string", "nvarchar(4000)", "CAST(s.[c0] AS hierarchyid)"),
        ("geometry", "binary", "varbinary(max)", "geometry::STGeomFromWKB(s.[c0], 0)"),
        ("geography", "binary", "varbinary(max)", "geography::STGeomFromWKB(s.[c0], 4326)"),
        ("sql_variant", "string", "nvarchar(4000)", "s.[c0]"),
        ("image", "binary", "varbinary(max)", "s.[c0]"),
        ("uniqueidentifier", "string", "uniqueidentifier", "s.[c0]"),
        ("smalldatetime", "timestamp", "smalldatetime", "s.[c0]"),
    ],
)
def test_what_bulk_copy_does_not_take_is_made_of_text_or_bytes(
    kind: str, arriving: str, staged: str, value: str
) -> None:
    there = table(column("v", kind))
    layout = arrange(aim(rows(v=arriving)), there, ANY_CASE)
    assert layout.definitions == [f"[c0] {staged} NULL"]
    assert Filling(there, ANY_CASE).values(places(["v"])) == {"v": value}


def test_times_finer_than_microseconds_go_through_text() -> None:
    there = table(TableColumn("v", SqlType("datetime2", scale=7), seventh_digit="text"))
    layout = arrange(aim(rows(v="string")), there, ANY_CASE)
    assert layout.definitions == ["[c0] nvarchar(40) NULL"]


def test_a_created_key_tells_upper_and_lower_case_apart() -> None:
    target = aim(rows(k="string", v="string"), 1, "upsert", keys=("k",), lengths={"k": 20})
    layout = arrange(target, None, ANY_CASE)
    assert [definition(field, target) for field in layout.schema] == [
        "[k] nvarchar(20) COLLATE Latin1_General_100_BIN2 NOT NULL",
        "[v] nvarchar(max) NULL",
    ]


def test_names_are_those_of_the_database_whatever_their_case() -> None:
    layout = arrange(aim(rows(ID="int64", Name="string")), table(ID, NAMED, AT), ANY_CASE)
    assert layout.schema.names == ["ID", "Name"]
    assert layout.added == ()
    values = Filling(table(ID, NAMED, AT), ANY_CASE).values(places(layout.schema.names))
    assert values == {"id": "s.[c0]", "name": "s.[c1]"}


def test_names_that_differ_in_case_are_two_where_the_database_says_so() -> None:
    layout = arrange(aim(rows(id="int64", ID="int64")), table(ID), EXACT)
    assert [field.name for field in layout.added] == ["ID"]
    with pytest.raises(ConfigError) as refused:
        arrange(aim(rows(id="int64", ID="int64")), table(ID), ANY_CASE)
    assert (refused.value.code, refused.value.where) == ("ambiguous-column", {"column": "ID"})


@pytest.mark.parametrize(
    ("collation", "same"),
    [
        ("SQL_Latin1_General_CP1_CI_AS", {"KEY", "key "}),
        ("Latin1_General_CS_AS", {"key "}),
        ("Latin1_General_100_CI_AI_SC_UTF8", {"KEY", "kéy", "key "}),
        ("Latin1_General_100_BIN2_UTF8", {"key "}),
    ],
)
def test_names_are_compared_as_the_collation_says(collation: str, same: set[str]) -> None:
    fold = folding(collation)
    assert {n for n in ("KEY", "kéy", "key ", "kex") if fold(n) == fold("key")} == same


@pytest.mark.parametrize(
    ("of", "collation", "value"),
    [
        (SqlType("nvarchar", 20), "Polish_CI_AS", "s.[c1]"),
        (SqlType("varchar", 20, codepage=1252), "Latin1_General_CI_AS", "s.[c1]"),
        (
            SqlType("varchar", 20, codepage=1250),
            "SQL_Polish_CP1250_CI_AS",
            "CAST(s.[c1] AS varchar(20)) COLLATE SQL_Polish_CP1250_CI_AS",
        ),
        (SqlType("uniqueidentifier"), "", "s.[c1]"),
        (SqlType("decimal", precision=9, scale=2), "", "s.[c1]"),
        (SqlType("hierarchyid"), "", "CAST(s.[c1] AS hierarchyid)"),
    ],
    ids=lambda of: of.text if isinstance(of, SqlType) else "",
)
def test_keys_are_compared_as_their_column_does(of: SqlType, collation: str, value: str) -> None:
    """The other values of the column would be others, and no index would find them."""
    there = table(AT, TableColumn("Id", of, collation=collation))
    key = Filling(there, ANY_CASE).key("ID", places(["at", "id"]))
    assert key == ("Id", "c1", value)


def test_a_key_of_fine_times_that_arrives_as_text_is_compared_as_a_time() -> None:
    there = table(TableColumn("at", SqlType("datetime2", scale=7), seventh_digit="text"))
    key = Filling(there, ANY_CASE).key("at", places(["at"]))
    assert key.value == "CAST(s.[c0] AS datetime2(7))"


def test_columns_that_the_server_fills_are_not_asked_for() -> None:
    there = table(
        ID,
        column("name", "nvarchar", 50, computed=True),
        column("at", "rowversion", 8, generated=True, nullable=False),
    )
    assert arrange(aim(sample(), drift="fail"), there, ANY_CASE).schema.names == ["id"]


def test_a_column_that_the_server_fills_may_order_the_rows() -> None:
    there = table(ID, column("at", "rowversion", 8, generated=True))
    target = aim(rows(id="int64", at="binary"), 1, "upsert", order_by="at")
    layout = arrange(target, there, ANY_CASE)
    assert layout.schema.names == ["id", "at"]
    assert Filling(there, ANY_CASE).values(places(layout.schema.names)) == {"id": "s.[c0]"}


@pytest.mark.parametrize("free", ["has_default", "identity", "nullable"])
def test_a_column_that_need_not_arrive(free: str) -> None:
    more = column("more", "int", **({"nullable": False} | {free: True}))
    assert arrange(aim(sample()), table(ID, NAMED, AT, more), ANY_CASE).schema.names[-1] == "at"


def test_a_column_that_must_arrive_is_named() -> None:
    more = column("more", "int", nullable=False)
    with pytest.raises(ConfigError) as refused:
        arrange(aim(sample()), table(ID, NAMED, AT, more), ANY_CASE)
    assert refused.value.where["column"] == "more"


def test_a_number_that_may_be_too_large_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        arrange(aim(rows(id="int64")), table(column("id", "int")), ANY_CASE)
    assert refused.value.code == "incompatible-type"


@pytest.mark.parametrize(
    ("there", "code"),
    [
        (table(ID, instead_of=True), "instead-of-trigger"),
        (table(ID, memory_optimized=True), "memory-optimized"),
        (table(column("id", "bigint", encrypted=True)), "encrypted-column"),
        (table(column("id", "elephant")), "unknown-type"),
    ],
)
def test_what_cannot_be_written_is_refused(there: Table, code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        arrange(aim(rows(id="int64")), there, ANY_CASE)
    assert refused.value.code == code


def test_another_number_of_rows_is_refused() -> None:
    same_count(3, 3)
    with pytest.raises(TerminalError) as refused:
        same_count(2, 3)
    assert refused.value.code == "count-mismatch"
