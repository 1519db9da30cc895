"""Text and bytes that a column of SQL Server holds exactly. Pure.

Text is measured as the column measures it: UTF-16 units for nvarchar, bytes of its code page for
varchar. A character that the code page lacks is refused: the server would take one that looks
alike, or `?`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.sql.mssql.types import SqlType
from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.table import TableColumn

_IN_CODE_PAGE = ("char", "varchar", "text")
# Collations whose varchar bulk copy writes in the right encoding, Windows-1252. It goes by the
# locale of a collation, which is wrong for UTF-8, and for locales that it does not know.
_WELL_ENCODED = ("SQL_Latin1_General_CP1_", "Latin1_General_")
_LONGEST_NVARCHAR = 4000
_UTF16 = ("nchar", "nvarchar")
_UTF8 = 65001
_GUID = r"^\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?$"
# These take two UTF-16 units.
_BEYOND_BMP = r"[\x{10000}-\x{10FFFF}]"


def carrier(column: TableColumn) -> SqlType:
    """The type in which bulk copy can bring the values of a column: its own, but nvarchar for text
    of a code page that bulk copy does not write well. What publishes casts it to the column's.
    """
    of = column.type
    if of.name not in _IN_CODE_PAGE:
        return of
    if of.codepage == 1252 and column.collation.startswith(_WELL_ENCODED):
        return SqlType("varchar", -1) if of.name == "text" else of
    short = 0 < of.length <= _LONGEST_NVARCHAR
    return SqlType("nvarchar", of.length if short else -1)


def check_text(array: pa.Array, of: SqlType) -> None:
    """Holds text or bytes against a column; any type that has no text or bytes takes all.

    Args:
        array: text or bytes, some of it not null.
        of: the column's type.

    Raises:
        TerminalError: a value is too long (`code="too-long"`), has a character that the column's
            code page lacks (`code="code-page"`), or is no uniqueidentifier
            (`code="value-out-of-range"`).
    """
    if of.name == "uniqueidentifier":
        _check_guids(array)
    # UTF-16 units and bytes of a code page are never more than bytes of UTF-8.
    length = pc.max(pc.binary_length(array)).as_py()
    unit = "bytes"
    if of.name in _IN_CODE_PAGE and of.codepage != _UTF8:
        length = _encoded_length(array, of)
    elif of.name in _UTF16:
        unit = "characters"
        if 0 < of.length < length:
            length = _utf16_length(array)
    if 0 < of.length < length:
        raise TerminalError(
            f"a value has {length} {unit}, and {of.text} holds {of.length}",
            fix="Make the column longer, or shorten the value at the source",
            code="too-long",
        )


def _utf16_length(array: pa.Array) -> int:
    """The most UTF-16 units that a value has."""
    units = pc.add(pc.utf8_length(array), pc.count_substring_regex(array, _BEYOND_BMP))
    return int(pc.max(units).as_py())


def _encoded_length(array: pa.Array, of: SqlType) -> int:
    """The most bytes that a value has in the code page of its column."""
    plain = pc.string_is_ascii(array)
    if pc.all(plain).as_py():
        return int(pc.max(pc.binary_length(array)).as_py())
    others = array.filter(pc.invert(plain)).drop_null().to_pylist()
    ascii_length = pc.max(pc.binary_length(array.filter(plain))).as_py() or 0
    try:
        return max([ascii_length, *(len(text.encode(f"cp{of.codepage}")) for text in others)])
    except (UnicodeEncodeError, LookupError) as e:
        raise TerminalError(
            f"a text has a character that code page {of.codepage} of {of.text} lacks",
            fix="Make the column nvarchar, or replace the character at the source",
            code="code-page",
        ) from e


def _check_guids(array: pa.Array) -> None:
    if not pc.all(pc.match_substring_regex(array, _GUID)).as_py():
        raise TerminalError(
            "a text is no uniqueidentifier",
            fix="Write them as 01234567-89AB-CDEF-0123-456789ABCDEF, or make the column text",
            code="value-out-of-range",
        )
