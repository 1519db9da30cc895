"""Rows of a table as JSON for people to look at: nothing is too long, nothing is rounded."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import TYPE_CHECKING

from copy_core.model import Slice

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.base import Source, TableInfo

ROWS = 20
LONGEST = 500
"""Characters of a text, or bytes, that are shown."""

# JSON's readers keep numbers as 8-byte floats, in which larger integers lose digits.
_EXACT = 2**53

Shown = str | int | float | bool | None


def preview(source: Source, info: TableInfo) -> list[list[Shown]]:
    """The first rows of a table, by the columns of `info.schema`.

    Args:
        source: where it is read.
        info: the table, from `describe`.
    """
    whole = Slice(object=info.object, columns=tuple(info.schema.names), snapshot=info.snapshot)
    found: list[list[Shown]] = []
    for batch in source.read(whole, ROWS):
        columns = [_values(column) for column in batch.slice(0, ROWS - len(found)).columns]
        found.extend([shown(value) for value in row] for row in zip(*columns, strict=True))
        if len(found) >= ROWS:
            break
    return found


def _values(column: pa.Array) -> list[object]:
    """The values of a column; as texts where Python has none like them, as for the year 10000."""
    from pyarrow import binary, string, types

    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        kind = binary() if types.is_string(column.type) else string()
        return list(column.cast(kind).to_pylist())


def shown(value: object) -> Shown:
    """A value as JSON can hold it: as it is, or as text where JSON would change it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return f"0x{value[:LONGEST].hex()}" + ("…" if len(value) > LONGEST else "")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
