"""Columns of record batches between their canonical types and the form they have in a SQLite file.

ADBC's own conversions are not used for times (slow, and they drop the zone) and decimals (none).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.decimals import exact_cast
from copy_core.errors import TerminalError
from copy_core.schema import type_name

# ISO 8601 has four digits for a year, and so has the order of its texts.
_DAYS = pa.array([date.min, date.max])
_INSTANTS = pa.array(["0001-01-01", "9999-12-31 23:59:59.999999"]).cast(pa.timestamp("us"))


def physical(kind: pa.DataType) -> pa.DataType:
    """The Arrow type in which values of a canonical type come from and go to the file."""
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    return pa.binary() if pa.types.is_binary(kind) else pa.string()


def decoder(field: pa.Field) -> Callable[[pa.Array], pa.Array]:
    """What turns a column as it was read into the canonical type of `field`.

    The function raises `TerminalError`, naming the column, for a value that is none of its type.
    """
    decode = _decode_by(field.type)

    def named(column: pa.Array) -> pa.Array:
        try:
            return decode(column)
        except (pa.ArrowInvalid, UnicodeDecodeError) as e:
            raise TerminalError(
                f"a value is no {type_name(field.type)}",
                fix="Correct it at the source, or read a view that casts the column to TEXT",
                code="value-type",
                column=field.name,
            ) from e

    return named


def _decode_by(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    if pa.types.is_string(kind):
        return _valid
    if pa.types.is_boolean(kind):
        return _truth
    if pa.types.is_time(kind):
        return _clock
    if kind == physical(kind):
        return lambda column: column
    return lambda column: exact_cast(column, kind)


def _valid(column: pa.Array) -> pa.Array:
    column.validate(full=True)
    return column


def _truth(column: pa.Array) -> pa.Array:
    span = pc.min_max(column)
    if span["min"].is_valid and (span["min"].as_py() < 0 or span["max"].as_py() > 1):
        raise pa.ArrowInvalid("neither 0 nor 1")
    return pc.cast(column, pa.bool_())


def _clock(column: pa.Array) -> pa.Array:
    # Arrow parses days with times, but no bare times.
    days = pc.binary_join_element_wise(pa.scalar("1970-01-01"), column, pa.scalar(" "))
    return pc.cast(pc.cast(days, pa.timestamp("us")), pa.time64("us"))


def encode(column: pa.Array, field: pa.Field) -> pa.Array:
    """A column as it goes to the file.

    Args:
        column: its values.
        field: its name and canonical type.

    Raises:
        TerminalError: SQLite cannot keep a value; the error names the column.
    """
    kind = column.type
    try:
        if pa.types.is_floating(kind) and pc.any(pc.is_nan(column)).as_py():
            raise pa.ArrowInvalid("NaN, which SQLite would turn into NULL")
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            _within_years(column)
        if pa.types.is_decimal(kind):
            return _plain_decimals(pc.cast(column, pa.decimal128(kind.precision, kind.scale)))
        if kind == physical(field.type):
            return column
        return pc.cast(column, physical(field.type))
    except pa.ArrowInvalid as e:
        raise TerminalError(
            f"a {type_name(field.type)} value cannot be kept in SQLite: {_why(e)}",
            fix="Correct it at the source, or add `cast: string` to the column",
            code="value-out-of-range",
            column=field.name,
        ) from e


def _why(error: pa.ArrowInvalid) -> str:
    """What is wrong, without the value."""
    known = str(error)
    return known if known.startswith(("NaN", "a year")) else "it is out of range"


def _within_years(column: pa.Array) -> None:
    days = pa.types.is_date(column.type)
    count = pa.int32() if days else pa.int64()
    span = pc.min_max(pc.cast(column, count))
    if span["min"].is_valid:
        first, last = (pc.cast(end, count).as_py() for end in (_DAYS if days else _INSTANTS))
        if span["min"].as_py() < first or span["max"].as_py() > last:
            raise pa.ArrowInvalid("a year before 1 or after 9999")


def _plain_decimals(column: pa.Array) -> pa.Array:
    """Decimals as text with all digits: Arrow writes tiny ones as 1E-10, which sorts wrongly."""
    texts = pc.cast(column, pa.string())
    if column.type.scale <= 6 or not pc.any(pc.match_substring(texts, "E")).as_py():
        return texts
    return pa.array(
        [None if v is None else format(v, "f") for v in column.to_pylist()], pa.string()
    )
