"""Dates and times that a column of SQL Server holds exactly. Pure.

A time with more digits than its column keeps is refused: the driver would cut them off. `datetime`
counts ticks of 1/300 s and shows them as .000, .003 and .007; what means one of these ticks is
taken, .003333 as well as .003, and becomes that very tick, and what lies between is refused.
(https://learn.microsoft.com/sql/t-sql/data-types/datetime-transact-sql)
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.types import SqlType

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_EPOCH = date(1970, 1, 1).toordinal()

# The first and the last day, and those of types that have fewer.
_DAYS = (date.min, date.max)
_FEWER = {
    "datetime": (date(1753, 1, 1), date.max),
    "smalldatetime": (date(1900, 1, 1), date(2079, 6, 6)),
}

# Makes microseconds of a datetime positive, by whole days.
_BEFORE_1753 = 80_000 * _DAY


def check_date(array: pa.Array) -> None:
    """Raises pa.ArrowInvalid for a year before 1 or after 9999."""
    first, last = (day.toordinal() - _EPOCH for day in _DAYS)
    _within(pc.cast(array, pa.int32()), first, last)


def check_time(array: pa.Array, of: SqlType) -> None:
    """Holds times against the range and the digits of a column.

    Args:
        array: microseconds, as time64 or timestamp.
        of: the column's type.

    Raises:
        pa.ArrowInvalid: a time is out of range.
        TerminalError: it has more digits than the column keeps (`code="fine-time"`).
    """
    counts = array.view(pa.int64())
    first, last = 0, 0
    if of.name != "time":
        first, last = (day.toordinal() - _EPOCH for day in _FEWER.get(of.name, _DAYS))
    _within(counts, first * _DAY, (last + 1) * _DAY - 1)
    if of.name == "datetime":
        kept = _on_ticks(counts)
    elif of.name == "smalldatetime":
        kept = _multiples(counts, 60 * _SECOND)
    elif of.scale < 6:
        kept = _multiples(counts, 10 ** (6 - of.scale))
    else:
        return
    if not pc.all(kept).as_py():
        raise TerminalError(
            f"a time has more digits than {of.text} keeps",
            fix="Round the times at the source, or give the column a type that keeps microseconds,"
            " such as datetime2(6)",
            code="fine-time",
        )


def _within(counts: pa.Array, first: int, last: int) -> None:
    span = pc.min_max(counts)
    if span["min"].as_py() < first or span["max"].as_py() > last:
        raise pa.ArrowInvalid("out of range")


def _multiples(counts: pa.Array, step: int) -> pa.Array:
    return pc.equal(pc.multiply(pc.divide(counts, step), step), counts)


def _on_ticks(counts: pa.Array) -> pa.Array:
    """Which microseconds mean a tick: cut or rounded, or in the three digits it is shown in."""
    # In thirds of a microsecond a tick is 10,000; cutting takes off 2 at most, rounding adds 1.
    thirds = pc.multiply(pc.add(counts, _BEFORE_1753), 3)
    nearest = pc.multiply(pc.divide(pc.add(thirds, 5_000), 10_000), 10_000)
    away = pc.subtract(thirds, nearest)
    exact = pc.and_(pc.greater_equal(away, -2), pc.less_equal(away, 1))
    shown = pc.and_(pc.equal(pc.abs(away), 1_000), _multiples(counts, 1_000))
    return pc.or_(exact, shown)
