"""The newest value of an incremental column, and which columns can be one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql.dialect import MssqlTerms, select
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.types import watermark_kind
from copy_core.connectors.sql.mssql.values import CHARACTERS, as_text, shown
from copy_core.connectors.sql.text import Sql, bind
from copy_core.connectors.sql.where import shape
from copy_core.errors import ConfigError, TerminalError
from copy_core.watermark import Watermark, is_time

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.watermark import Kind

_SAMPLE_ROWS = 100
_SAMPLE_LENGTH = 64

# The only order in which digits, separators and letters stand alike everywhere.
_BINARY = "COLLATE Latin1_General_BIN2"

_FLOOR = "SELECT CAST(MIN_ACTIVE_ROWVERSION() AS varbinary(8))"
_UPDATEABLE = "SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(20))"


def kinds(db: Database, table: Table) -> dict[str, Kind]:
    """The kind of watermark that each column gives that can give one.

    The first rows of a table tell whether a column of text holds times. A view or query may take
    long to give even these: there, any text is offered, and `newest` looks at it.
    """
    columns = [c for c in table.columns if not c.refusal]
    found = {c.name: kind for c in columns if (kind := watermark_kind(c.type))}
    texts = [c for c in columns if c.type.name in CHARACTERS]
    rows: list[tuple[str | None, ...]] = []
    if texts and table.kind == "table":
        items = ", ".join(f"LEFT({quote(c.name)}, {_SAMPLE_LENGTH})" for c in texts)
        rows = db.rows(select(table, f"TOP ({_SAMPLE_ROWS}) {items}"))
    for place, column in enumerate(texts):
        values = [text.rstrip(" ") for row in rows if (text := row[place]) is not None]
        if all(map(is_time, values)):
            found[column.name] = "date" if values and len(values[0]) == 10 else "timestamp"
    return found


def tells_floor(db: Database) -> bool:
    """Whether the server tells which rowversions are still to be committed: not every server that
    speaks T-SQL does, and a replica does not know what is under way on its primary. Not within a
    transaction, which its refusal would end.
    """
    try:
        db.run(_FLOOR)
        return bool(db.value(_UPDATEABLE) == "READ_WRITE")
    except (ConfigError, TerminalError):
        return False


def newest(
    db: Database, table: Table, column: TableColumn, above: Watermark | None, *, floor: bool
) -> Watermark | None:
    """The largest value of an incremental column, as the server's own text for it.

    Args:
        db: the connection.
        table: the table.
        column: the column.
        above: only values above it count.
        floor: whether the server tells the lowest rowversion that is still to be committed.

    Raises:
        TerminalError: it is a column of text whose values are not times of one format.
    """
    name = quote(column.name)
    later = Sql(f"{name} IS NOT NULL")
    if above is not None:
        later = f"{name} > " + MssqlTerms({column.name: column}).bound(column.name, above)
    # Not MAX: of bytes, not every server takes it.
    top = select(table, f"TOP (1) {shown(column.type, name)}", later) + f" ORDER BY {name} DESC"
    value = as_text(db.value(top))
    kind = watermark_kind(column.type)
    if kind is None:
        return _newest_text(db, table, column, value, above)
    if value is None:
        return None
    if kind == "rowversion" and floor:
        value = min(value, _settled(db))
    return Watermark(kind=kind, value=value)


def _settled(db: Database) -> str:
    """The rowversion below which every row is committed. A row gets its version when it is
    written, not when it is committed, so that a lower one may still appear below the largest.

    https://learn.microsoft.com/sql/t-sql/functions/min-active-rowversion-transact-sql
    """
    return f"{max(int.from_bytes(db.value(_FLOOR)) - 1, 0):016X}"


def _newest_text(
    db: Database, table: Table, column: TableColumn, value: str | None, above: Watermark | None
) -> Watermark | None:
    """Text of another format than the watermark's may lie below it for ever, so the whole column
    is looked at for its format.
    """
    value = value and value.rstrip(" ")
    model = above.value if above is not None else value
    if model is None:
        return None
    name = quote(column.name)
    odd = f"RTRIM({name}) {_BINARY} NOT LIKE " + bind(shape(model))
    if not is_time(value or model) or db.rows(select(table, "TOP (1) 1", odd)):
        raise TerminalError(
            "the column has values that cannot be ordered safely: not all are ISO 8601 text of one"
            " length, separator and zone",
            fix="Choose another incremental column, or bring its values into one format",
            code="watermark-value",
            table=table.label,
            column=column.name,
        )
    if value is None:
        return None
    return Watermark(kind="date" if len(value) == 10 else "timestamp", value=value)
