"""SQLite's declared types and the canonical ones, and the form that values have in a file. Pure.

SQLite types each value by itself; a declared type only leans values towards a storage class
(its affinity, https://sqlite.org/datatype3.html). This is what copyjob makes of it:

=====================  =====================  ====================================================
canonical              declared when created  how a value is kept
=====================  =====================  ====================================================
int8 to uint32, int64  INTEGER                integer (read back as int64)
uint64                 UNSIGNED BIG INT       integer; a value beyond int64 is an error
float32, float64       REAL                   8-byte float (read back as float64); NaN is an
                                              error, since SQLite would make it NULL
decimal, p <= 15       DECIMAL(p,s)           a number; 15 digits survive SQLite's own floats
decimal, p > 15        DECIMAL_TEXT(p,s)      text, all digits written; the name has TEXT in it
                                              so that SQLite leaves the digits alone
string, binary         TEXT, BLOB             as they are
bool                   BOOLEAN                0 or 1 (the words true and false are read too)
date                   DATE                   2024-12-31
time                   TIME                   23:59:59.999999
timestamp              TIMESTAMP              2024-12-31 23:59:59.999999
timestamp_utc          TIMESTAMPTZ            2024-12-31 23:59:59.999999Z
=====================  =====================  ====================================================

A column without a declared type, and a TIMESTAMP or DATETIME column, is judged by its first rows:
times that carry a zone make it timestamp_utc. A value that breaks with that is an error later,
never a guess. NUMERIC and DECIMAL without a precision are read as float64.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.sql.text import Value

UTC = pa.timestamp("us", "UTC")
NAIVE = pa.timestamp("us")

# The digits that a float gives back as they were written.
FLOAT_DIGITS = 15

_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_SIZED = re.compile(r"\s*\(\s*[^)]*\)\s*")
_DECIMAL = re.compile(
    r"(?:DECIMAL|NUMERIC|DEC|DECIMAL_TEXT)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE
)
_KNOWN: list[tuple[str, pa.DataType]] = [
    (r"UNSIGNED BIG INT|BIGINT UNSIGNED|UINT64", pa.uint64()),
    (r"(TINY|SMALL|MEDIUM|BIG)?INT(EGER)?[248]?( UNSIGNED)?", pa.int64()),
    (r"REAL|FLOAT[48]?|DOUBLE( PRECISION)?|NUMERIC|DECIMAL|DEC", pa.float64()),
    (r".*(CHAR|CLOB|TEXT).*|STRING|JSON|UUID", pa.string()),
    (r"BLOB|(VAR)?BINARY", pa.binary()),
    (r"BOOL(EAN)?", pa.bool_()),
    (r"DATE", pa.date32()),
    (r"TIME", pa.time64("us")),
    (r"TIMESTAMPTZ|TIMESTAMP WITH TIME ZONE|DATETIMEOFFSET", UTC),
    (r"TIMESTAMP|DATETIME2?", NAIVE),
]


def canonical(declared: str, sample: list[Value]) -> pa.DataType:
    """The canonical type of a column.

    Args:
        declared: the declared type, "" when there is none.
        sample: some values of the column; looked at only where the declaration leaves it open.

    Raises:
        ConfigError: nobody knows the type.
    """
    if declared.strip().upper() in ("", "ANY"):
        return _of_values(sample)
    if match := _DECIMAL.fullmatch(declared.strip()):
        precision, scale = int(match[1]), int(match[2] or 0)
        if 1 <= precision <= 38 and scale <= precision:
            return pa.decimal128(precision, scale)
    bare = " ".join(_SIZED.sub(" ", declared).upper().split())
    for pattern, kind in [] if match else _KNOWN:
        if re.fullmatch(pattern, bare):
            return UTC if kind == NAIVE and _zoned(sample) else kind
    raise ConfigError(
        f"the declared type {declared} is none that copyjob knows",
        fix="Leave the column out of `columns`, or copy a view instead that casts it to TEXT,"
        " INTEGER, REAL or BLOB",
        code="unknown-type",
    )


def open_question(declared: str) -> bool:
    """Whether `canonical` needs values to judge the type by."""
    bare = _SIZED.sub("", declared).strip().upper()
    return bare in ("", "ANY", "TIMESTAMP", "DATETIME", "DATETIME2")


def _zoned(sample: list[Value]) -> bool:
    texts = [v for v in sample if isinstance(v, str)]
    return bool(texts) and bool(_ZONE.search(texts[0])) and ":" in texts[0]


def _of_values(sample: list[Value]) -> pa.DataType:
    kinds = {type(v) for v in sample if v is not None}
    if kinds == {int}:
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.binary() if kinds == {bytes} else pa.string()


def stored(kind: pa.DataType) -> pa.DataType:
    """The canonical type that a column made for `kind` has when it is read back."""
    if pa.types.is_integer(kind):
        return kind if kind == pa.uint64() else pa.int64()
    return pa.float64() if pa.types.is_floating(kind) else kind


def declare(kind: pa.DataType) -> str:
    """The declared type of a new column for values of a canonical type."""
    if pa.types.is_decimal(kind):
        name = "DECIMAL" if kind.precision <= FLOAT_DIGITS else "DECIMAL_TEXT"
        return f"{name}({kind.precision},{kind.scale})"
    return {
        pa.int64(): "INTEGER",
        pa.uint64(): "UNSIGNED BIG INT",
        pa.float64(): "REAL",
        pa.string(): "TEXT",
        pa.binary(): "BLOB",
        pa.bool_(): "BOOLEAN",
        pa.date32(): "DATE",
        pa.time64("us"): "TIME",
        NAIVE: "TIMESTAMP",
        UTC: "TIMESTAMPTZ",
    }[stored(kind)]


def text_affinity(declared: str) -> bool:
    """Whether SQLite keeps every number that is put into such a column as text."""
    upper = declared.upper()
    return "INT" not in upper and any(word in upper for word in ("CHAR", "CLOB", "TEXT"))


def real_affinity(declared: str) -> bool:
    """Whether SQLite keeps every integer that is put into such a column as a float."""
    upper = declared.upper()
    others = ("INT", "CHAR", "CLOB", "TEXT", "BLOB")
    return not any(w in upper for w in others) and any(w in upper for w in ("REAL", "FLOA", "DOUB"))
