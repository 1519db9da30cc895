"""The statements by which rows are staged and published in SQL Server."""

from __future__ import annotations

import pytest

from copy_core.connectors.sql.mssql import ledger, lock, statements
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.statements import Key, Upsert
from tests.golden.kit import Golden

# Names that need their quotes.
TARGET = ObjectName("sales", "order details")
STAGED = ObjectName("sales", "_copyjob_stage_0123456789abcdef_7_0_00")
SECOND = ObjectName("sales", "_copyjob_stage_0123456789abcdef_7_1_11")
MADE = ObjectName("sales", "_copyjob_stage_0123456789abcdef_7_newest_22")
COLUMNS = ["id", "line no", "select", "changed"]
VALUES = {column: f"s.[{column}]" for column in COLUMNS}
CHANGES = {column: VALUES[column] for column in ("select", "changed")}


@pytest.fixture
def upsert() -> Upsert:
    keys = [Key("Id", "id", "s.[id]"), Key("Line No", "line no", "CAST(s.[line no] AS varchar(9))")]
    return Upsert(TARGET, [STAGED, SECOND], keys)


def test_ledger(golden: Golden) -> None:
    of = ledger.ledger_of("sales")
    golden("publish_ledger", ledger.create(of), ledger.newest(of), ledger.reached(of),
           ledger.forget(of), ledger.record(of))  # fmt: skip


def test_lock(golden: Golden) -> None:
    golden("publish_lock", lock.TAKE, lock.MODE)


def test_tables(golden: Golden) -> None:
    columns = ["[id] bigint NOT NULL", "[line no] int NOT NULL", "[select] nvarchar(50) NULL"]
    golden(
        "publish_tables",
        statements.create(STAGED, columns),
        statements.create(TARGET, columns, ["id", "line no"]),
        statements.add_column(TARGET, "[changed] datetime2(6) NULL"),
        statements.add_key(TARGET, ["id", "line no"]),
        statements.staging_tables("sales", statements.stage_prefix("job", "source")),
    )


def test_append(golden: Golden) -> None:
    golden(
        "publish_append",
        statements.insert(TARGET, STAGED, VALUES),
        statements.insert(TARGET, STAGED, VALUES, alone=True),
        statements.insert(TARGET, STAGED, VALUES, identity=True),
    )


def test_overwrite(golden: Golden) -> None:
    golden("publish_overwrite", statements.delete(TARGET))


def test_upsert(golden: Golden, upsert: Upsert) -> None:
    golden(
        "publish_upsert",
        upsert.totals,
        upsert.distinct_keys,
        upsert.update(STAGED, CHANGES),
        upsert.insert(STAGED, VALUES, identity=False),
    )


def test_upsert_of_keys_alone(golden: Golden, upsert: Upsert) -> None:
    keys = {column: VALUES[column] for column in ("id", "line no")}
    golden(
        "publish_upsert_keys",
        upsert.update(STAGED, {}),
        upsert.insert(STAGED, keys, identity=True),
    )


def test_upsert_of_several_rows_a_key(golden: Golden, upsert: Upsert) -> None:
    golden(
        "publish_upsert_newest",
        upsert.newest(MADE, COLUMNS, "changed"),
        upsert.ambiguous_keys,
        upsert.together(MADE, COLUMNS),
    )
