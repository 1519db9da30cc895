"""The rights that the docs say a source needs are enough."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from copy_core.connectors.sql.mssql import MssqlSource, pool
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Window
from tests.mssql.server import Databases

PAGE = Path(__file__).parents[2] / "docs/connectors/sql_server.md"


def granted(user: str, password: str) -> list[str]:
    """The statements of the first block of T-SQL of the page, for a login of the test's own."""
    (block, *_) = re.findall(
        r"^```sql\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    text = re.sub(r" *--.*", "", block).replace("<a password>", password)
    return text.replace("copyjob_reader", user).split(";\n")[:-1]


def test_what_the_docs_grant_is_all_that_a_source_needs(databases: Databases) -> None:
    database = databases.take("rights")
    user, password = f"copyjob_{secrets.token_hex(6)}", f"Aa1-{secrets.token_hex(12)}"
    database.run("CREATE SCHEMA sales")
    database.run("CREATE TABLE sales.orders (id int PRIMARY KEY, changed datetime2(3), note text)")
    database.run("INSERT INTO sales.orders VALUES (1, '2026-01-01', 'a'), (2, '2026-01-02', 'b')")
    database.run("CREATE TABLE others (id int PRIMARY KEY)")
    for statement in granted(user, password):
        database.run(statement)
    options = database.options.model_copy(update={"user": user, "password": password})
    try:
        with MssqlSource(options) as source:
            assert source.objects() == ["sales.orders"]
            info = source.describe("sales.orders")
            newest = source.newest(info, "changed", None)
            assert newest is not None
            assert source.count_nulls(info, "changed") == 0
            whole = Slice(
                object="sales.orders",
                columns=tuple(info.schema.names),
                window=Window(column="changed", high=newest),
                filter=(Condition(column="id", op=">", value=0),),
            )
            parts = source.split(info, whole, 2)
            rows = [row for p in parts for b in source.read(p, 10) for row in b.to_pylist()]
            assert sorted(row["note"] for row in rows) == ["a", "b"]
    finally:
        pool.sweep(everything=True)
        database.run("DROP TABLE sales.orders")
        database.run("DROP SCHEMA sales")
        database.run(f"DROP USER [{user}]")
        database.run(f"DROP LOGIN [{user}]")
