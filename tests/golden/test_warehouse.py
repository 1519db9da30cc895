"""The statements that a Fabric Warehouse is sent, which no test could send it: read them well."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest

from copy_core.connectors.sql.fabric_warehouse import catalog, copy_into, ledger, tables, types
from copy_core.connectors.sql.mssql import ledger as shared
from copy_core.connectors.sql.mssql import statements
from copy_core.connectors.sql.mssql.filling import Filling
from copy_core.connectors.sql.mssql.layout import arrange, places
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.statements import Upsert
from copy_core.connectors.sql.mssql.table import Table
from copy_core.connectors.warehouse_options import StagingOptions
from copy_core.model import Target
from copy_core.schema import schema_to_json
from tests.golden.kit import Golden

TARGET = ObjectName("sales", "order details")
STAGED = ObjectName("sales", "_copyjob_stage_0123456789abcdef_7_load_00")
NEWEST = ObjectName("sales", "_copyjob_stage_0123456789abcdef_7_newest_11")
LEDGER = ledger.ledger_of(TARGET)
COLLATION = "Latin1_General_100_BIN2_UTF8"
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("line no", pa.string(), nullable=False),
        ("select", pa.string()),
        ("note", pa.string()),
        ("small", pa.uint8()),
        ("price", pa.decimal128(19, 4)),
        ("paid", pa.bool_()),
        ("day", pa.date32()),
        ("at", pa.time64("us")),
        ("changed", pa.timestamp("us", "UTC")),
        ("raw", pa.binary()),
    ]
)
FILES = ["copyjob-staging/abc/7/0-1f/000.parquet", "copyjob-staging/abc/7/1-2e/000.parquet"]


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Holds T-SQL of a Warehouse against the files in `warehouse`."""
    folder = Path(__file__).parent / "warehouse"
    return Golden(folder, update=pytestconfig.getoption("update_golden"), dialect="fabric")


@pytest.fixture
def target() -> Target:
    return types.narrowed(
        Target(
            job="job",
            table="source",
            object="sales.order details",
            sequence=7,
            write="upsert",
            columns=tuple((n, k, null) for n, k, null in schema_to_json(SCHEMA)),
            keys=("id", "line no"),
            order_by="changed",
            lengths={"line no": 10, "select": 50, "raw": 16},
        )
    )


def test_catalog(golden: Golden) -> None:
    golden("catalog", catalog.NAMES, catalog.OBJECT, catalog.COLUMNS, catalog.PRIMARY_KEY,
           tables.KIND, tables.staging_tables())  # fmt: skip


def test_ledger(golden: Golden) -> None:
    golden("ledger", ledger.create(LEDGER), ledger.take_turn(LEDGER), ledger.whose_turn(LEDGER),
           shared.newest(LEDGER), shared.reached(LEDGER), shared.forget(LEDGER),
           shared.record(LEDGER))  # fmt: skip


def test_tables(golden: Golden, target: Target) -> None:
    layout = arrange(target, None, COLLATION, types.created)
    golden(
        "tables",
        tables.create(TARGET, layout.schema, target),
        tables.create_staging(STAGED, layout.staged),
        statements.add_column(TARGET, "[seen] datetime2(6) NULL"),
    )


def place(secret: dict[str, str]) -> StagingOptions:
    whole = StagingOptions(account_url="https://account.dfs.core.windows.net", container="c")
    return whole.model_copy(update={"prefix": "a/b", **secret})


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("copy_into_as_oneself", {}),
        ("copy_into_sas", {"sas": "?sv=2026&sig=a'b"}),
        ("copy_into_key", {"account_key": "a2V5"}),
    ],
)
def test_copy_into(golden: Golden, name: str, secret: dict[str, str]) -> None:
    where = place(secret)
    addresses = [copy_into.address(where, key) for key in FILES]
    golden(name, copy_into.statement(STAGED, ["c0", "c1"], addresses, where))


def test_copy_into_from_onelake(golden: Golden) -> None:
    where = StagingOptions(workspace=str(UUID(int=1)), lakehouse=str(UUID(int=2)), prefix="a/b")
    addresses = [copy_into.address(where, key) for key in FILES]
    golden("copy_into_onelake", copy_into.statement(STAGED, ["c0", "c1"], addresses, where))


def test_publish(golden: Golden, target: Target) -> None:
    layout = arrange(target, None, COLLATION, types.created)
    filling = Filling(Table(TARGET, "table", layout.staged), COLLATION)
    columns = places(layout.schema.names)
    values = filling.values(columns)
    keys = [filling.key(key, columns) for key in target.keys]
    work = Upsert(TARGET, [STAGED], keys, plain=True)
    changes = {name: value for name, value in values.items() if name not in target.keys}
    golden("append", statements.insert(TARGET, STAGED, values, plain=True))
    golden(
        "overwrite", tables.delete(TARGET), statements.insert(TARGET, STAGED, values, plain=True)
    )
    golden(
        "upsert",
        work.totals,
        work.distinct_keys,
        work.newest(NEWEST, list(columns.values()), columns["changed"]),
        work.ambiguous_keys,
        work.update(STAGED, changes),
        work.update(STAGED, {}),
        work.insert(STAGED, values, identity=False),
    )


def test_no_statement_has_what_a_warehouse_lacks() -> None:
    """By its pages "T-SQL surface area" and "Data types"."""
    lacking = re.compile(
        r"\bWITH \((?!\n  FILE_TYPE)|\bn(var)?char\b|\btinyint\b|\bdatetimeoffset\b|\bmoney\b"
        r"|\bDEFAULT\b|\bPRIMARY KEY\b|IDENTITY_INSERT|getapplock|TABLESAMPLE|\bMERGE\b|\bN'"
        r"|ROWCOUNT",
        re.IGNORECASE,
    )
    files = sorted((Path(__file__).parent / "warehouse").glob("*.sql"))
    assert len(files) == 10
    assert {f.name: lacking.findall(f.read_text("utf-8")) for f in files} == {
        f.name: [] for f in files
    }
