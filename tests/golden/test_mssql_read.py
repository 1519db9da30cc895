"""The statements by which a source of SQL Server is looked at, cut and read."""

from __future__ import annotations

from copy_core.connectors.sql.mssql import cuts, ranges
from copy_core.connectors.sql.mssql.dialect import MssqlTerms, select
from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.table import Table, TableColumn
from copy_core.connectors.sql.mssql.types import SqlType
from copy_core.connectors.sql.mssql.values import shown
from copy_core.connectors.sql.where import where
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark, Window
from tests.golden.kit import Golden

KEY = TableColumn("order id", SqlType("uniqueidentifier"), nullable=False, key=1)
COLUMNS = [
    KEY,
    TableColumn("changed", SqlType("datetime2", scale=7)),
    TableColumn("ticks", SqlType("datetime")),
    TableColumn("moment", SqlType("datetimeoffset", scale=7)),
    TableColumn("clock", SqlType("time", scale=7)),
    TableColumn("version", SqlType("rowversion"), nullable=False),
    TableColumn("code", SqlType("varchar", length=9), collation="SQL_Latin1_General_CP1_CI_AS"),
    TableColumn("name", SqlType("nvarchar", length=50), collation="Latin1_General_CS_AS"),
    TableColumn("price", SqlType("decimal", precision=18, scale=4)),
    TableColumn("note", SqlType("xml")),
]
TABLE = Table(ObjectName("sales", "order details"), "table", tuple(COLUMNS), rows=10**9)
QUERY = Table(
    ObjectName("", "recent"),
    "query",
    tuple(COLUMNS),
    query="WITH x AS (SELECT * FROM [sales].[order details]) SELECT * FROM x -- all",
)
EXAMPLES = {
    "order id": "6F9619FF-8B86-D011-B42D-00C04FC964FF",
    "changed": "2026-01-31T12:00:00.1234567",
    "ticks": "2026-01-31T12:00:00.003",
    "moment": "2026-01-31T12:00:00.1234567Z",
    "clock": "12:00:00.1234567",
    "version": "00000000000007D0",
    "code": "x-1",
    "name": "Zoë",
    "price": "19.5",
}


def window(column: str, kind: str, low: str, high: str) -> Window:
    bounds = {"low": {"kind": kind, "value": low}, "high": {"kind": kind, "value": high}}
    return Window.model_validate({"column": column, **bounds})


def test_values_as_the_server_writes_them(golden: Golden) -> None:
    golden("read_shown", *(select(TABLE, shown(c.type, f"[{c.name}]")) for c in COLUMNS[:-1]))


def test_windows(golden: Golden) -> None:
    terms = MssqlTerms({c.name: c for c in COLUMNS})
    windows = [
        window(
            "changed", "timestamp", "2026-01-31T12:00:00.1234567", "2026-01-31T12:00:00.1234568"
        ),
        window("ticks", "timestamp", "2026-01-31T12:00:00.003", "2026-01-31T12:00:00.007"),
        window("moment", "timestamp", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.0000001Z"),
        window("version", "rowversion", "00000000000007D0", "00000000000007D1"),
        Window(column="code", high=Watermark(kind="timestamp", value="2026-01-31"), nulls=True),
    ]
    parts = [Slice(object="t", columns=(), window=w) for w in windows]
    golden("read_windows", *(select(TABLE, "*", where(part, terms)) for part in parts))


def test_filters(golden: Golden) -> None:
    terms = MssqlTerms({c.name: c for c in COLUMNS})
    conditions = [
        Condition(column="name", op="in", value=["it's", "Zoë"]),
        Condition(column="price", op=">", value="0.5"),
        Condition(column="note", op="!=", value="<a/>"),
        Condition(column="clock", op="<=", value="12:00"),
        Condition(column="version", op="is not null"),
    ]
    part = Slice(object="t", columns=(), filter=tuple(conditions))
    golden("read_filters", *(select(of, "*", where(part, terms)) for of in (TABLE, QUERY)))


def test_ranges(golden: Golden) -> None:
    given = [
        {"column": column, low: text, high: text}
        for column, text in EXAMPLES.items()
        for low, high in (("after", "to"), ("from", "below"))
    ]
    firsts = [
        {"column": name, "after": None, "to": EXAMPLES[name]} for name in ("changed", "version")
    ]
    golden(
        "read_ranges", *(select(TABLE, "*", ranges.limits(TABLE, each)) for each in given + firsts)
    )


def test_cuts(golden: Golden) -> None:
    changed = window("changed", "timestamp", "2026-01-01", "2026-01-31")
    low = where(Slice(object="t", columns=(), window=changed), MssqlTerms({"changed": COLUMNS[1]}))
    golden(
        "read_cuts",
        cuts.quantiles(TABLE, KEY, low, cuts.sampled(TABLE, 1000), 312),
        cuts.quantiles(QUERY, COLUMNS[1], low, "", 7),
        cuts.partition_steps(COLUMNS[1]),
    )
