"""The types of SQL Server and the canonical ones. Pure.

What every type of SQL Server is read as:

=============================================  ====================================================
type                                           canonical
=============================================  ====================================================
bit                                            bool
tinyint, smallint, int, bigint                 uint8, int16, int32, int64
decimal(p,s), numeric(p,s)                     decimal(p,s)
money, smallmoney                              decimal(19,4), decimal(10,4)
real; float                                    float32; float64
char, varchar, nchar, nvarchar, text, ntext    string; char keeps its padding
uniqueidentifier                               string, upper case as the server writes it
xml, json, vector, sql_variant, hierarchyid    string, as the server writes it
binary, varbinary, image; rowversion           binary; 8 bytes of it
geometry, geography                            binary: well-known binary with Z and M
date                                           date
time                                           time
datetime, smalldatetime, datetime2             timestamp
datetimeoffset                                 timestamp_utc: the instant, without the offset
=============================================  ====================================================

time(7), datetime2(7) and datetimeoffset(7) may hold a digit more than microseconds have; the
option `seventh_digit` says what becomes of it.

A created column gets the type that reads back as what was written; int8 becomes smallint, uint16
int, uint32 bigint, and uint64 decimal(20,0), the smallest that hold all their values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from copy_core.errors import ConfigError
from copy_core.schema import type_name
from copy_core.watermark import Kind

SeventhDigit = Literal["fail", "drop", "text"]

UTC = pa.timestamp("us", "UTC")
NAIVE = pa.timestamp("us")
CLOCK = pa.time64("us")

_CHARACTERS = {"char", "varchar", "nchar", "nvarchar"}
_BYTES = {"binary", "varbinary"}
_SCALED = {"time", "datetime2", "datetimeoffset"}
# The characters of a fine time as text: 2024-12-31T23:59:59.9999999+14:00 is the longest.
_TEXT_LENGTH = {"time": 16, "datetime2": 27, "datetimeoffset": 33}


@dataclass(frozen=True)
class SqlType:
    """The type of a column, user-defined alias types resolved.

    Attributes:
        name: the name of the type, lower case; `rowversion` is never called timestamp.
        length: the length of text (UTF-16 units; bytes for char and varchar) or bytes; -1 stands
            for max, 0 where the type has none.
        precision: the digits of a decimal.
        scale: the digits after the point of a decimal or of seconds.
        codepage: the code page of char, varchar and text, such as 1252; 65001 is UTF-8, 0 unknown.
    """

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    codepage: int = 0

    @property
    def text(self) -> str:
        """The type as statements write it."""
        if self.name in _CHARACTERS | _BYTES:
            return f"{self.name}({'max' if self.length < 0 else self.length})"
        if self.name in ("decimal", "numeric"):
            return f"{self.name}({self.precision},{self.scale})"
        return f"{self.name}({self.scale})" if self.name in _SCALED else self.name

    @property
    def fine(self) -> bool:
        """Whether its values may be finer than a microsecond."""
        return self.name in _SCALED and self.scale == 7


_PLAIN: dict[str, pa.DataType] = {
    "bit": pa.bool_(),
    "tinyint": pa.uint8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "money": pa.decimal128(19, 4),
    "smallmoney": pa.decimal128(10, 4),
    "real": pa.float32(),
    "float": pa.float64(),
    **dict.fromkeys(
        ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "uniqueidentifier", "xml"),
        pa.string(),
    ),
    **dict.fromkeys(("json", "vector", "sql_variant", "hierarchyid"), pa.string()),
    **dict.fromkeys(("binary", "varbinary", "image", "rowversion"), pa.binary()),
    **dict.fromkeys(("geometry", "geography"), pa.binary()),
    "date": pa.date32(),
    "time": CLOCK,
    **dict.fromkeys(("datetime", "smalldatetime", "datetime2"), NAIVE),
    "datetimeoffset": UTC,
}


# What the catalog calls by another name.
_ALIASES = {"timestamp": "rowversion", "sysname": "nvarchar"}


def sql_type(name: str, length: int, precision: int, scale: int, codepage: int = 0) -> SqlType:
    """The type that rows of the catalog describe.

    Args:
        name: the name of a type of the system.
        length: the most bytes of a value, -1 for max.
        precision: its digits, as the catalog counts them.
        scale: its digits after the point.
        codepage: the code page of its collation; 0 for types without one.
    """
    name = _ALIASES.get(name.lower(), name.lower())
    exact = name in ("decimal", "numeric")
    if length > 0 and name in ("nchar", "nvarchar"):
        length //= 2
    return SqlType(
        name,
        length if name in _CHARACTERS | _BYTES else 0,
        precision if exact else 0,
        scale if exact or name in _SCALED else 0,
        codepage,
    )


def canonical(of: SqlType, seventh_digit: SeventhDigit = "fail") -> pa.DataType:
    """The canonical type that a column is read as.

    Raises:
        ConfigError: nothing stands for the type.
    """
    if of.name in ("decimal", "numeric"):
        return pa.decimal128(of.precision, of.scale)
    if of.fine and seventh_digit == "text":
        return pa.string()
    if found := _PLAIN.get(of.name):
        return found
    raise ConfigError(
        f"the type {of.name} is none that copyjob knows",
        fix="Leave the column out of `columns`, or copy a view or `query` that casts it",
        code="unknown-type",
    )


def watermark_kind(of: SqlType) -> Kind | None:
    """What watermarks a column of the type gives; None when it can give none by its type alone.

    Text may hold ISO times: its values tell.
    """
    if of.name in ("tinyint", "smallint", "int", "bigint"):
        return "int"
    if of.name in ("decimal", "numeric"):
        return "decimal" if of.scale == 0 else None
    if of.name in ("datetime", "smalldatetime", "datetime2", "datetimeoffset"):
        return "timestamp"
    if of.name == "date":
        return "date"
    return "rowversion" if of.name == "rowversion" else None


def max_length(of: SqlType, seventh_digit: SeventhDigit = "fail") -> int | None:
    """How many characters (UTF-16 units) or bytes a value may have once it was read as text or
    bytes; None where nothing bounds it, and for other types.
    """
    if of.name in _CHARACTERS | _BYTES:
        return of.length if of.length > 0 else None
    if of.fine and seventh_digit == "text":
        return _TEXT_LENGTH[of.name]
    return {"uniqueidentifier": 36, "rowversion": 8}.get(of.name)


def declare(of: pa.DataType, length: int | None, *, key: bool) -> SqlType:
    """The type of a new column.

    Args:
        of: the canonical type of its values.
        length: how many characters or bytes the values may have; None when nobody knows.
        key: whether the column is part of a primary key, which takes 900 bytes in every version
            (https://learn.microsoft.com/sql/sql-server/maximum-capacity-specifications-for-sql-server).

    Raises:
        ConfigError: the type is not canonical.
    """
    if pa.types.is_string(of):
        return SqlType("nvarchar", _room(length, 4000, 450 if key else None))
    if pa.types.is_binary(of):
        return SqlType("varbinary", _room(length, 8000, 900 if key else None))
    if found := _DECLARED.get(of):
        return found
    type_name(of)  # which refuses all but decimals
    return SqlType("decimal", precision=of.precision, scale=of.scale)


def _room(length: int | None, longest: int, key: int | None) -> int:
    if key is not None:
        return min(key if length is None else max(length, 1), key)
    return max(length, 1) if length is not None and length <= longest else -1


_DECLARED: dict[pa.DataType, SqlType] = {
    pa.bool_(): SqlType("bit"),
    pa.int8(): SqlType("smallint"),
    pa.int16(): SqlType("smallint"),
    pa.int32(): SqlType("int"),
    pa.int64(): SqlType("bigint"),
    pa.uint8(): SqlType("tinyint"),
    pa.uint16(): SqlType("int"),
    pa.uint32(): SqlType("bigint"),
    pa.uint64(): SqlType("decimal", precision=20),
    pa.float32(): SqlType("real"),
    pa.float64(): SqlType("float"),
    pa.date32(): SqlType("date"),
    CLOCK: SqlType("time", scale=6),
    NAIVE: SqlType("datetime2", scale=6),
    UTC: SqlType("datetimeoffset", scale=6),
}
