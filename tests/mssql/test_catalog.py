"""What the database says about tables, views and queries; all are made through another driver."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from copy_core.connectors.sql.mssql.catalog import find_query, find_table, table_names
from copy_core.connectors.sql.mssql.db import Database as Connection
from copy_core.connectors.sql.mssql.names import ObjectName, parse
from copy_core.connectors.sql.mssql.table import Partitioning, Table
from copy_core.errors import ConfigError
from copy_core.secrets import resolve
from tests.mssql.server import Database, Databases


@pytest.fixture
def database(databases: Databases) -> Database:
    return databases.take("catalog")


@pytest.fixture
def db(database: Database) -> Iterator[Connection]:
    password = resolve(database.options.password or "")
    db = Connection(database.options.model_copy(update={"password": password}))
    yield db
    db.close()


def found(db: Connection, name: str) -> Table:
    table = find_table(db, parse(name, db.server.default_schema))
    assert table is not None
    return table


def test_names_are_those_of_tables_and_views_without_ours(
    database: Database, db: Connection
) -> None:
    assert table_names(db) == []
    database.run("CREATE TABLE [with.dot] (id int)")
    database.run("CREATE TABLE plain (id int)")
    database.run("CREATE TABLE _copyjob_ledger (id int)")
    database.run("CREATE TABLE xcopyjob_ledger (id int)")
    database.run("CREATE VIEW some_view AS SELECT id FROM plain")
    tables = ["[with.dot]", "plain", "some_view", "xcopyjob_ledger"]
    assert table_names(db) == [f"{database.schema}.{table}" for table in tables]


def test_a_name_is_compared_as_the_server_compares_and_comes_as_the_database_spells_it(
    database: Database, db: Connection
) -> None:
    database.run("CREATE TABLE [Orders 2026] (id int)")
    [(spelt,)] = database.rows("SELECT name FROM sys.tables")
    assert found(db, "Orders 2026").name == ObjectName(database.schema, spelt)
    [(alike,)] = database.rows(
        "SELECT CASE WHEN OBJECT_ID('[ORDERS 2026]') IS NULL THEN 0 ELSE 1 END"
    )
    other = find_table(db, ObjectName(database.schema, "ORDERS 2026"))
    assert (other is not None) == bool(alike)


@pytest.mark.parametrize("name", ["nobody", "x'; DROP TABLE plain; --", "a]b", "sp_who"])
def test_what_is_no_table_is_not_found(database: Database, db: Connection, name: str) -> None:
    database.run("CREATE TABLE plain (id int)")
    assert find_table(db, ObjectName(database.schema, name)) is None
    assert find_table(db, ObjectName("no such schema", "plain")) is None
    assert find_table(db, ObjectName(database.schema, "plain")) is not None


def test_columns_are_told_with_what_an_insert_may_do_to_them(
    database: Database, db: Connection
) -> None:
    database.run(
        "CREATE TABLE every ("
        " id int IDENTITY(5, 1) NOT NULL,"
        " must nvarchar(20) NOT NULL,"
        " may decimal(18, 2) NULL,"
        " given int NOT NULL DEFAULT 7,"
        " twice AS id * 2,"
        " version rowversion)"
    )
    columns = {c.name: c for c in found(db, "every").columns}
    assert list(columns) == ["id", "must", "may", "given", "twice", "version"]
    assert [n for n, c in columns.items() if c.identity] == ["id"]
    assert [n for n, c in columns.items() if c.computed] == ["twice"]
    assert [n for n, c in columns.items() if c.generated] == ["version"]
    assert [n for n, c in columns.items() if c.required] == ["must"]
    assert [n for n, c in columns.items() if c.writable] == ["id", "must", "may", "given"]
    assert columns["given"].has_default
    assert columns["must"].field == pa.field("must", pa.string(), nullable=False)
    assert columns["may"].field == pa.field("may", pa.decimal128(18, 2))
    assert not any(c.refusal for c in columns.values())


def test_alias_types_are_resolved(database: Database, db: Connection) -> None:
    database.run("DROP TYPE IF EXISTS catalog_code")
    database.run("CREATE TYPE catalog_code FROM nvarchar(12) NOT NULL")
    database.run("CREATE TABLE coded (code catalog_code NOT NULL, name sysname NULL)")
    code, name = found(db, "coded").columns
    assert (code.type.text, code.nullable) == ("nvarchar(12)", False)
    assert name.type.text == "nvarchar(128)"


def test_text_has_a_collation_and_a_code_page(database: Database, db: Connection) -> None:
    database.run("CREATE TABLE texts (a varchar(10) COLLATE Latin1_General_CI_AS, n int)")
    text, number = found(db, "texts").columns
    assert text.type.codepage == 1252
    assert text.collation
    assert (number.type.codepage, number.collation) == (0, "")


def test_keys_come_in_their_own_order(database: Database, db: Connection) -> None:
    database.run("CREATE TABLE keyed (a int NOT NULL, b int NOT NULL, c int, PRIMARY KEY (b, a))")
    table = found(db, "keyed")
    assert table.keys == ("b", "a")
    [primary] = [i for i in table.indexes if i.primary]
    assert (primary.columns, primary.unique) == (("b", "a"), True)
    assert table.column("b").key == 1
    assert table.column("c").key == 0


def test_indexes_that_hold_all_rows_are_told(database: Database, db: Connection) -> None:
    database.run("CREATE TABLE indexed (a int NOT NULL, b int, c int, d int)")
    database.run("CREATE UNIQUE INDEX only_once ON indexed (c, a)")
    database.run("CREATE INDEX often ON indexed (b) INCLUDE (d)")
    database.run("CREATE UNIQUE INDEX partly ON indexed (d) WHERE d IS NOT NULL")
    expected = {(("c", "a"), True, False), (("b",), False, False)}
    if (False,) in database.rows("SELECT has_filter FROM sys.indexes WHERE name LIKE 'partly%'"):
        expected.add((("d",), True, False))  # a server that says so of no index
    told = {(i.columns, i.unique, i.primary) for i in found(db, "indexed").indexes}
    assert told == expected


def test_a_table_without_a_key_has_none(database: Database, db: Connection) -> None:
    database.run("CREATE TABLE heap (a int)")
    table = found(db, "heap")
    assert (table.kind, table.keys, table.indexes, table.partitioning) == ("table", (), (), None)


def test_a_view_is_one(database: Database, db: Connection) -> None:
    database.run("CREATE TABLE base (id int NOT NULL PRIMARY KEY, name nvarchar(10))")
    database.run("CREATE VIEW looked AS SELECT id, name FROM base")
    table = found(db, "looked")
    assert (table.kind, table.keys, table.rows) == ("view", (), None)
    assert [c.name for c in table.columns] == ["id", "name"]


def test_physical_partitions_are_told(database: Database, db: Connection) -> None:
    # Other tests of the run share the database, and partitions outlive their tables.
    if not database.rows("SELECT 1 FROM sys.partition_schemes WHERE name = 'by_year'"):
        database.run("CREATE PARTITION FUNCTION years (int) AS RANGE RIGHT FOR VALUES (2025, 2026)")
        database.run("CREATE PARTITION SCHEME by_year AS PARTITION years ALL TO ([PRIMARY])")
    database.run("CREATE TABLE parted (id int NOT NULL, year int NOT NULL) ON by_year (year)")
    assert found(db, "parted").partitioning == Partitioning("years", "year", 3)


def test_triggers_that_take_the_place_of_inserts_are_told(
    database: Database, db: Connection
) -> None:
    for name, when in (("plainly", "AFTER"), ("replaced", "INSTEAD OF")):
        database.run(f"CREATE TABLE {name} (id int)")
        database.run(f"CREATE TRIGGER {name}_t ON {name} {when} INSERT AS BEGIN SELECT 1 END")
    assert not found(db, "plainly").instead_of
    assert found(db, "replaced").instead_of


def test_rows_are_counted_or_it_is_said_that_nobody_counts(
    database: Database, db: Connection
) -> None:
    database.run("CREATE TABLE counted (id int)")
    database.run("INSERT INTO counted VALUES (1), (2), (3)")
    table = found(db, "counted")
    assert table.rows in (3, None)
    assert (table.bytes is None) == (table.rows is None)


def test_a_query_is_described_without_being_run(database: Database, db: Connection) -> None:
    database.run("CREATE TABLE asked (id int NOT NULL, price decimal(10, 2))")
    query = "SELECT id AS number, price * 2 AS [twice it], 1 / 0 AS never FROM asked -- all"
    table = find_query(db, "my query", query)
    assert (table.kind, table.label, table.query) == ("query", "my query", query)
    assert [c.name for c in table.columns] == ["number", "twice it", "never"]
    assert table.columns[0].field == pa.field("number", pa.int32(), nullable=False)
    assert pa.types.is_decimal(table.columns[1].canonical)


@pytest.mark.parametrize(
    "query", ["SELECT nothing FROM nowhere", "SELECT 1 AS a, 2 AS a", "EXEC sp_who", "SELECT"]
)
def test_a_query_that_cannot_stand_for_a_table_is_refused(db: Connection, query: str) -> None:
    with pytest.raises(ConfigError):
        find_query(db, "my query", query)


def test_a_missing_column_is_told_with_those_there_are(database: Database, db: Connection) -> None:
    database.run("CREATE TABLE short (id int, name int)")
    table = found(db, "short")
    assert table.column("ID").name == "id"
    with pytest.raises(ConfigError, match="short") as missing:
        table.column("nam")
    assert missing.value.code == "column-missing"
    assert "id, name" in missing.value.fix
