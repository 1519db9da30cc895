"""T-SQL's own way to write conditions and queries of a table. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.queries import relation
from copy_core.connectors.sql.mssql.ranges import limits
from copy_core.connectors.sql.mssql.values import (
    BYTES,
    INTEGERS,
    TIMES,
    characters,
    moment,
    number,
    typed,
)
from copy_core.connectors.sql.text import Sql, bind
from copy_core.connectors.sql.where import where
from copy_core.errors import ConfigError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.connectors.sql.mssql.types import SqlType
    from copy_core.job import Scalar
    from copy_core.model import Slice
    from copy_core.watermark import Watermark

_DECIMALS = {"decimal", "numeric", "money", "smallmoney"}
_UNCOMPARED = BYTES | {"image", "geometry", "geography"}

# Columns that can be compared only as something else.
_COMPARED_AS = {
    "text": "CAST({} AS varchar(max))",
    "ntext": "CAST({} AS nvarchar(max))",
    "xml": "CAST({} AS nvarchar(max))",
    "json": "CAST({} AS nvarchar(max))",
    "vector": "CAST({} AS nvarchar(max))",
    "sql_variant": "CAST({} AS nvarchar(4000))",
    "hierarchyid": "{}.ToString()",
}


def select(table: Table, items: str, condition: Sql | None = None) -> Sql:
    """A query of the rows of a table, view or query.

    Args:
        table: what to read from.
        items: the select list.
        condition: which rows; all when it is missing or empty.
    """
    return head(table) + rows(table, items, condition)


def head(table: Table) -> str:
    """What a statement begins with that has `rows` of the table in it."""
    return relation(table.query).head if table.query else ""


def rows(table: Table, items: str, condition: Sql | None = None, sample: str = "") -> Sql:
    """The same as `select`, to stand in parentheses in a statement that begins with `head`.

    Args:
        table: what to read from.
        items: the select list.
        condition: which rows; all when it is missing or empty.
        sample: the TABLESAMPLE clause of a table; "" reads all of it.
    """
    name = relation(table.query).name if table.query else table.name.quoted
    # https://learn.microsoft.com/sql/relational-databases/in-memory-oltp/transactions-with-memory-optimized-tables
    hint = " WITH (SNAPSHOT)" if table.memory_optimized else ""
    whole = Sql(f"SELECT {items} FROM {name}{sample}{hint}")
    return whole + " WHERE " + condition if condition and condition.marked else whole


class MssqlTerms:
    """The columns of a table in conditions; see `where.Terms`.

    Args:
        columns: the columns that conditions speak of, by the names they use.
    """

    def __init__(self, columns: Mapping[str, TableColumn]) -> None:
        self._columns = columns

    def name(self, column: str) -> str:
        return quote(self._columns[column].name)

    def bound(self, column: str, watermark: Watermark) -> Sql:
        try:
            return typed(self._columns[column], watermark.value)
        except (ValueError, ArithmeticError) as e:
            raise TerminalError(
                f"the watermark '{watermark.value}' is no value of the column's type"
                f" {self._columns[column].type.text}",
                fix="Correct it, or reset the table",
                code="watermark-value",
                column=column,
            ) from e

    def operand(self, column: str) -> str:
        shape = _COMPARED_AS.get(self._columns[column].type.name, "{}")
        return shape.format(self.name(column))

    def value(self, column: str, op: str, value: Scalar) -> Sql:
        del op
        found = self._columns[column]
        try:
            return _value(found, value)
        except (ValueError, TypeError, ArithmeticError) as e:
            raise ConfigError(
                f"'{value}' does not fit the column's type {found.type.text}",
                fix=_fix(found.type),
                code="filter-value",
                column=column,
            ) from e


def _fix(of: SqlType) -> str:
    if of.name in _UNCOMPARED:
        return "Such a column can be compared with `is null` and `is not null` only"
    zone = " with its zone, such as 2026-01-31T12:00:00Z" if of.name == "datetimeoffset" else ""
    return f"Write a value of that type{zone}"


def _value(column: TableColumn, value: Scalar) -> Sql:
    of = column.type
    if of.name == "bit":
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError(value)
        return "CAST(" + bind(int(value)) + " AS bit)"
    if isinstance(value, bool):
        raise TypeError(value)
    if of.name in _DECIMALS or (of.name in INTEGERS and not isinstance(value, str)):
        return number(of, Decimal(str(value)))
    if of.name in ("float", "real"):
        if isinstance(value, str) or not math.isfinite(value):
            raise TypeError(value)
        return "CAST(" + bind(float(value)) + f" AS {of.name})"
    if not isinstance(value, str) or of.name in INTEGERS or of.name in _UNCOMPARED:
        raise TypeError(value)
    if of.name in TIMES:
        _check_time(of, value)
        return moment(of, value)
    if of.name == "uniqueidentifier":
        return typed(column, value)
    # Other text would lose what the code page lacks, and then be found where it is not.
    return characters(column, value) if value.isascii() else bind(value)


def _check_time(of: SqlType, text: str) -> None:
    """That a filter's value is a moment of the type, and has a zone where the type has one."""
    if of.name == "date":
        date.fromisoformat(text)
        return
    if of.name == "time":
        time.fromisoformat(text)
        return
    moment = datetime.fromisoformat(text)
    if (moment.tzinfo is not None) != (of.name == "datetimeoffset"):
        raise ValueError(text)


def predicate(table: Table, part: Slice) -> Sql:
    """The condition that the rows of a part meet: its filter, its window and its range."""
    terms = MssqlTerms({name: table.column(name) for name in asked(part)})
    return where(part, terms, limits(table, part.range) if part.range else None)


def asked(part: Slice) -> Iterator[str]:
    """The columns that the predicate of a part speaks of."""
    yield from (c.column for c in part.filter)
    if part.window.column is not None:
        yield part.window.column
    if part.range is not None:
        yield part.range["column"]
