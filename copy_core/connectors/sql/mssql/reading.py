"""How a column is read without loss: what is selected, and what is made of the Arrow that comes.

The Arrow reader of mssql-python gives text as UTF-8 (half of a surrogate pair, which is no
character, as U+FFFD), times in whole microseconds, and sql_variant and the types of the CLR not
at all. So some types are turned into text or bytes by the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.sql.mssql.names import quote
from copy_core.decimals import exact_cast
from copy_core.errors import TerminalError
from copy_core.schema import type_name

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.table import TableColumn

_LARGE = {"text", "ntext", "image", "xml", "json", "vector", "geometry", "geography"}


def is_large(column: TableColumn) -> bool:
    """Whether a value may be larger than a page, up to 2 GB."""
    return column.type.length < 0 or column.type.name in _LARGE


def widest(column: TableColumn) -> int:
    """What a value takes at most in an Arrow array, in bytes, unless it is large."""
    # A UTF-16 unit, or a byte of a code page, is up to three bytes of UTF-8.
    return 16 + 3 * max(column.type.length, 0)


def expression(column: TableColumn) -> str:
    """The item of a select list that delivers the column.

    Styles of CONVERT: https://learn.microsoft.com/sql/t-sql/functions/cast-and-convert-transact-sql.
    """
    name, kind = quote(column.name), column.type.name
    if column.type.fine and column.seventh_digit == "text":
        return _iso(name, kind)
    if kind in ("xml", "json", "vector"):
        return f"CAST({name} AS nvarchar(max))"
    if kind == "sql_variant":
        return _variant(name)
    if kind == "hierarchyid":
        return f"{name}.ToString()"
    if kind in ("geometry", "geography"):
        return f"{name}.AsBinaryZM()"
    return name


def _iso(value: str, kind: str) -> str:
    """A time as ISO 8601 with seven digits. Style 121 writes all of them, 126 may leave them out;
    it puts spaces before the clock and the offset.
    """
    text = f"CONVERT(nvarchar(34), {value}, 121)"
    if kind == "time":
        return text
    text = f"STUFF({text}, 11, 1, N'T')"
    return f"REPLACE({text}, N' ', N'')" if kind == "datetimeoffset" else text


# By its base type, what writes a sql_variant so that its digits come back; a plain cast would
# round floats to 6 digits and money to 2, drop seconds, and take bytes for characters.
_VARIANTS = {
    "float": "CONVERT(nvarchar(50), CAST({0} AS float), 3)",
    "real": "CONVERT(nvarchar(50), CAST({0} AS real), 3)",
    **dict.fromkeys(("money", "smallmoney"), "CAST(CAST({0} AS decimal(19,4)) AS nvarchar(50))"),
    **dict.fromkeys(
        ("binary", "varbinary"), "CONVERT(nvarchar(max), CAST({0} AS varbinary(8000)), 1)"
    ),
    "date": "CONVERT(nvarchar(50), CAST({0} AS date), 23)",
    "datetime": "CONVERT(nvarchar(50), CAST({0} AS datetime), 126)",
    "smalldatetime": "CONVERT(nvarchar(50), CAST({0} AS smalldatetime), 126)",
    **{
        kind: _iso(f"CAST({{0}} AS {kind}(7))", kind)
        for kind in ("time", "datetime2", "datetimeoffset")
    },
}


def _variant(name: str) -> str:
    base = f"CAST(SQL_VARIANT_PROPERTY({name}, 'BaseType') AS nvarchar(128))"
    whens = "".join(f" WHEN N'{k}' THEN {how.format(name)}" for k, how in _VARIANTS.items())
    return f"CASE {base}{whens} ELSE CAST({name} AS nvarchar(max)) END"


def fine_times(columns: Sequence[TableColumn]) -> str:
    """The item of a select list that says which column of a row is finer than a microsecond: its
    place in `columns` from 1, or 0. Empty when none can be, or it does not matter.
    """
    whens = "".join(
        f" WHEN DATEPART(nanosecond, {quote(column.name)}) % 1000 <> 0 THEN {place}"
        for place, column in enumerate(columns, 1)
        if column.type.fine and column.seventh_digit == "fail"
    )
    return f"CAST(CASE{whens} ELSE 0 END AS smallint)" if whens else ""


def refuse_fine(found: pa.Array, columns: Sequence[TableColumn]) -> None:
    """Looks at what `fine_times` delivered.

    Raises:
        TerminalError: a row has a time that would lose a digit; the error names the column.
    """
    place = pc.max(found).as_py()
    if place:
        raise _too_fine(columns[place - 1])


def _too_fine(column: TableColumn) -> TerminalError:
    return TerminalError(
        f"a value of type {column.type.text} is finer than a microsecond",
        fix="Set `seventh_digit` of the connection: `drop` leaves its last digit away, `text`"
        " copies such columns as text",
        code="fine-time",
        column=column.name,
    )


def decode(array: pa.Array, column: TableColumn) -> pa.Array:
    """A column as the Arrow reader gives it, in its canonical type. Nothing is copied but times
    of day.

    Raises:
        TerminalError: a value is none of its type; the error names the column.
    """
    wanted = column.canonical
    if array.type == wanted:
        return array
    if pa.types.is_time(wanted) and column.seventh_digit == "drop":
        # The reader gives them in nanoseconds, and so with all digits.
        return pc.cast(array, wanted, safe=False)
    try:
        return exact_cast(array, wanted)
    except pa.ArrowInvalid as e:
        if column.type.fine:
            raise _too_fine(column) from e
        raise TerminalError(
            f"a value of type {column.type.text} is no {type_name(wanted)}",
            fix="Copy a view or `query` that casts the column",
            code="value-type",
            column=column.name,
        ) from e
