"""Values in T-SQL: as the server writes them, and bound again as the column's own type. Pure.

A value goes to the server as text and is cast there to the column's own type, so that nothing is
rounded on the way: the seventh digit of a datetime2, the 1/300 of a second of a datetime. A value
that the type cannot hold, such as a bound that a lookback moved below its smallest one, gets the
next wider type, and compares exactly with the column all the same
(https://learn.microsoft.com/sql/t-sql/data-types/data-type-precedence-transact-sql).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from copy_core.connectors.sql.text import Sql, Value, bind

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.table import TableColumn
    from copy_core.connectors.sql.mssql.types import SqlType

TIMES = {"date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset"}
BYTES = {"rowversion", "binary", "varbinary"}
NARROW = {"char", "varchar"}
CHARACTERS = NARROW | {"nchar", "nvarchar"}
INTEGERS = {
    "tinyint": (0, 2**8 - 1),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_MOST_DIGITS = 38
_LARGEST_FLOAT = 308
_COLLATION = re.compile(r"\w+")


def literal(value: Value) -> str:
    """A value as T-SQL writes it, for people to read; statements bind values instead."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"0x{value.hex().upper()}"
    if isinstance(value, str):
        return ("" if value.isascii() else "N") + "'" + value.replace("'", "''") + "'"
    return repr(value)


def shown(of: SqlType, name: str) -> str:
    """An expression that gives a value as text without loss, bytes as bytes; `as_text` and `typed`
    lead back from it.

    Styles: https://learn.microsoft.com/sql/t-sql/functions/cast-and-convert-transact-sql
    """
    if of.name == "datetimeoffset":
        moved = f"CAST(SWITCHOFFSET({name}, '+00:00') AS datetime2({of.scale}))"
        return f"CONVERT(varchar(33), {moved}, 126) + 'Z'"
    if of.name in TIMES:
        return f"CONVERT(varchar(33), {name}, {121 if of.name == 'time' else 126})"
    if of.name in BYTES:
        return f"CAST({name} AS varbinary(8000))"
    if of.name in CHARACTERS:
        return f"CONVERT(nvarchar({'max' if of.length < 0 else 4000}), {name})"
    return f"CONVERT(varchar(41), {name})"


def as_text(value: str | bytes | None) -> str | None:
    """What `shown` gave, as text: bytes in hexadecimal."""
    return value.hex().upper() if isinstance(value, bytes) else value


def typed(column: TableColumn, text: str) -> Sql:
    """A value of a column, from the text that the server wrote for it.

    Raises:
        ValueError: the text is no such value.
        ArithmeticError: likewise.
    """
    of = column.type
    if of.name in TIMES:
        return moment(of, text)
    if of.name == "rowversion":
        digits = text.lower().removeprefix("0x").zfill(16)
        return "CAST(" + bind(bytes.fromhex(digits)) + " AS binary(8))"
    if of.name in BYTES:
        return "CAST(" + bind(bytes.fromhex(text)) + f" AS {of.text})"
    if of.name in CHARACTERS:
        return characters(column, text)
    if of.name == "uniqueidentifier":
        return "CAST(" + bind(str(UUID(text)).upper()) + " AS uniqueidentifier)"
    return number(of, Decimal(text))


def characters(column: TableColumn, text: str) -> Sql:
    """Text as the column's own type, in its own order and code page: compared with Unicode, a
    narrow column is ordered by other rules, and not looked up in its index.
    """
    own = column.type.name in NARROW and column.type.length > 0
    if not own or not _COLLATION.fullmatch(column.collation):
        return bind(text)
    return "CAST(" + bind(text) + f" COLLATE {column.collation} AS varchar(8000))"


def number(of: SqlType, value: Decimal) -> Sql:
    """A number as `of`, or, if that cannot hold it, as a type that holds all its digits.

    Raises:
        ValueError: there is none.
    """
    if not value.is_finite() or value.adjusted() > _LARGEST_FLOAT:
        raise ValueError(value)
    text = format(value, "f")
    digits, _, fraction = text.lstrip("-+").partition(".")
    whole, scale = len(digits.lstrip("0")), len(fraction.rstrip("0"))
    if of.name in INTEGERS and not scale:
        low, high = INTEGERS[of.name]
        if low <= value <= high:
            return "CAST(" + bind(int(value)) + f" AS {of.name})"
    fits = scale <= of.scale and whole <= of.precision - of.scale
    if of.name in ("decimal", "numeric") and fits:
        return "CAST(" + bind(text) + f" AS {of.text})"
    if whole > _MOST_DIGITS:
        return "CAST(" + bind(float(value)) + " AS float)"  # beyond every number of the column
    if whole + scale > _MOST_DIGITS:
        raise ValueError(value)
    return "CAST(" + bind(text) + f" AS decimal({max(whole + scale, 1)},{scale}))"


_TIME = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d)[ T]?)?"
    r"(?:(?P<minutes>\d\d:\d\d)(?P<seconds>:\d\d)?(?:\.(?P<fraction>\d+))?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_TICKS = "037"
"""The last digits of the milliseconds that a datetime can hold."""


class _Moment(NamedTuple):
    """A time taken apart; `fraction` has no trailing zeros."""

    day: str
    clock: str
    fraction: str
    zone: str

    def text(self, *, clock: bool) -> str:
        fraction = "." + self.fraction if self.fraction else ""
        parts = [self.day, self.clock + fraction + self.zone if clock else ""]
        return "T".join(filter(None, parts))


def _apart(text: str) -> _Moment:
    match = _TIME.fullmatch(text.strip())
    if not match or not (match["day"] or match["minutes"]):
        raise ValueError(text)
    clock = (match["minutes"] or "00:00") + (match["seconds"] or ":00")
    fraction = (match["fraction"] or "").rstrip("0")
    return _Moment(match["day"] or "", clock, fraction, match["zone"] or "")


def moment(of: SqlType, text: str) -> Sql:
    """A time as `of`, or, if that cannot hold it, as the finest type of its kind.

    Raises:
        ValueError: the text is no time of ISO 8601.
    """
    apart = _apart(text)
    own = _holds(of, apart)
    wide = "datetime2(7)" if of.name in ("date", "datetime", "smalldatetime") else f"{of.name}(7)"
    written = apart.text(clock=not (own and of.name == "date"))
    return "CAST(" + bind(written) + f" AS {of.text if own else wide})"


def _holds(of: SqlType, apart: _Moment) -> bool:
    """Whether a column of the type can hold the moment exactly."""
    day, clock, fraction, _ = apart
    if of.name == "date":
        return clock == "00:00:00" and not fraction
    if of.name == "smalldatetime":
        return "1900" <= day[:4] <= "2078" and clock.endswith(":00") and not fraction
    if of.name == "datetime":
        on_tick = len(fraction) < 3 or (len(fraction) == 3 and fraction[2] in _TICKS)
        return day >= "1753" and on_tick
    return len(fraction) <= of.scale
