"""SQLite's own SQL: how its columns are read and compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.sql import sqlite_types as types
from copy_core.connectors.sql.sqlite_values import physical
from copy_core.connectors.sql.text import Sql, Value, bind, quote
from copy_core.errors import ConfigError
from copy_core.schema import type_name

if TYPE_CHECKING:
    from copy_core.connectors.sql.sqlite_catalog import TableColumn
    from copy_core.job import Scalar
    from copy_core.watermark import Watermark

# The value of each physical type that opens a result, see `select`.
_FIRST = {pa.int64(): "0", pa.float64(): "0.0", pa.string(): "''", pa.binary(): "x''"}

_EXACT_FLOAT = 2**53
_SECONDS = "00:00:00.000000"


def select(columns: list[TableColumn], table: str, condition: Sql) -> Sql:
    """Reads columns in their physical types, after one row that is to be thrown away.

    ADBC fixes the type of a result column by the values of the first batch, and takes int64 for
    nulls. The first row settles the types; a later value that does not fit is an error, or, where
    it loses nothing, converted.
    """
    first = ", ".join(f"{_FIRST[physical(c.type)]} AS c{i}" for i, c in enumerate(columns))
    rest = ", ".join(expression(c) for c in columns)
    whole = Sql(f"SELECT {first} UNION ALL SELECT {rest} FROM {quote(table)}")
    return whole + " WHERE " + condition if condition.marked else whole


def expression(column: TableColumn) -> str:
    """The column as a value of the physical type, exactly; or as one that the reader refuses."""
    name, kind, declared = quote(column.name), column.type, column.declared
    if pa.types.is_boolean(kind):
        return f"CASE lower({name}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE {name} END"
    if pa.types.is_binary(kind):
        return f"CAST({name} AS BLOB)"
    if pa.types.is_floating(kind) and not types.real_affinity(declared):
        # An integer that a float cannot hold becomes text, at which the reader stops.
        return (
            f"CASE WHEN typeof({name}) = 'integer' AND {name} NOT BETWEEN -{_EXACT_FLOAT}"
            f" AND {_EXACT_FLOAT} THEN CAST({name} AS TEXT) ELSE {name} END"
        )
    if pa.types.is_decimal(kind) and not types.text_affinity(declared):
        # The digits that were meant: 0.1 + 0.2 is kept as 0.30000000000000004.
        digits = f"printf('%!.{types.FLOAT_DIGITS}g', {name})"
        return f"CASE typeof({name}) WHEN 'real' THEN {digits} ELSE CAST({name} AS TEXT) END"
    if pa.types.is_decimal(kind) or pa.types.is_string(kind):
        return name if types.text_affinity(declared) else f"CAST({name} AS TEXT)"
    return name


class SqliteTerms:
    """The columns of a table in conditions; see `where.Terms`.

    Args:
        columns: the columns that conditions speak of, by the names they use.
    """

    def __init__(self, columns: Mapping[str, TableColumn]) -> None:
        self._columns = columns

    def name(self, column: str) -> str:
        return quote(self._columns[column].name)

    def bound(self, column: str, watermark: Watermark) -> Sql:
        """The stored value again: an integer, the number that the digits stand for, or the text."""
        del column
        if watermark.kind == "int":
            # A lookback may reach below the smallest integer there is.
            return bind(max(int(watermark.value), -(2**63)))
        if watermark.kind == "decimal":
            return number(watermark.value)
        return bind(watermark.value)

    def operand(self, column: str) -> str:
        """The column as it compares: times as text of one length, whatever length they have."""
        found = self._columns[column]
        name, kind = self.name(column), found.type
        if pa.types.is_boolean(kind):
            return expression(found)
        if pa.types.is_time(kind):
            return f"substr({name} || substr('{_SECONDS}', length({name}) + 1), 1, 15)"
        if kind == types.NAIVE:
            return _padded(name)
        if kind == types.UTC:
            moved = (
                f"strftime('%Y-%m-%d %H:%M:%S', substr({name}, 1, 19) || substr({name}, -6))"
                f" || substr({name}, 20, length({name}) - 25)"
            )
            zulu = _padded(f"rtrim({name}, 'Z')")
            return f"CASE WHEN {name} LIKE '%Z' THEN {zulu} ELSE {_padded(f'({moved})')} END"
        return name

    def value(self, column: str, op: str, value: Scalar) -> Sql:
        found = self._columns[column]
        try:
            return _value(found, op, value)
        except (ValueError, TypeError, InvalidOperation) as e:
            raise ConfigError(
                f"'{value}' does not fit the column's type {type_name(found.type)}",
                fix=_FIXES.get(str(e), "Write a value of that type"),
                code="filter-value",
                column=column,
            ) from e


_AS_TEXT = "long decimals are kept as text"
_FIXES = {_AS_TEXT: "The column keeps its digits as text: compare with =, != or in only"}


def number(digits: str) -> Sql:
    """The number that decimal digits stand for, as a column of numbers keeps it."""
    return "CAST(" + bind(digits) + " AS NUMERIC)"


def _padded(name: str) -> str:
    """`YYYY-MM-DD[ T]HH:MM[:SS[.f…]]` as `YYYY-MM-DD HH:MM:SS.ffffff`."""
    rest = f"substr('{_SECONDS}', max(length({name}) - 10, 1))"
    return f"substr(substr({name}, 1, 10) || ' ' || substr({name}, 12) || {rest}, 1, 26)"


def _value(column: TableColumn, op: str, value: Scalar) -> Sql:
    kind, t = column.type, pa.types
    if t.is_boolean(kind):
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError(value)
        return bind(int(value))
    if isinstance(value, bool) or (isinstance(value, str) != _is_text(kind) and not _either(kind)):
        raise TypeError(value)
    if t.is_decimal(kind):
        digits = Decimal(str(value))
        if not types.text_affinity(column.declared):
            return number(str(digits))
        if op not in ("=", "!=", "in"):
            raise ValueError(_AS_TEXT)
        exact = digits.quantize(Decimal(1).scaleb(-kind.scale))
        if exact != digits:
            raise ValueError(value)
        return bind(f"{exact:f}")
    return bind(_text(kind, value) if isinstance(value, str) else value)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(kind) or pa.types.is_string(kind))


def _either(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind))


def _text(kind: pa.DataType, value: str) -> Value:
    if pa.types.is_date(kind):
        return date.fromisoformat(value).isoformat()
    if pa.types.is_time(kind):
        return time.fromisoformat(value).isoformat("microseconds")
    if pa.types.is_timestamp(kind):
        moment = datetime.fromisoformat(value)
        if (moment.tzinfo is not None) != (kind == types.UTC):
            raise ValueError(value)
        plain = moment.astimezone(UTC) if moment.tzinfo else moment
        return plain.replace(tzinfo=None).isoformat(" ", "microseconds")
    return value
