"""Statistics of a data file for Delta's log, counted from the rows as they are written. Pure.

Readers leave files out by them, so a wrong bound loses rows. A missing one does too: delta-rs 1.6
takes it for null, and then no row meets any condition on that column. So a file has true bounds
for every column, or none at all: a NaN, an infinity or a time beyond the year 9999 costs the file
its bounds, never a row.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_LONGEST_TEXT = 32
_LAST = "\U0010ffff"
# A reader that takes a JSON number for a float keeps so many digits.
_EXACT_DIGITS = 15


class Statistics:
    """Counts nulls and keeps the bounds of some tables of one schema, one after the other."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._nulls = [0] * len(schema)
        self._bounds: list[tuple[Any, Any] | None] = [None] * len(schema)
        self._bounded = True

    def add(self, rows: pa.Table) -> None:
        """Takes rows into account."""
        for index, (field, column) in enumerate(zip(self._schema, rows.columns, strict=True)):
            self._nulls[index] += column.null_count
            if self._bounded and _has_bounds(field.type) and column.null_count < len(column):
                self._widen(index, field.type, column)

    def text(self, rows: int) -> str:
        """The `stats` of an add action for a file of so many rows."""
        names = [json.dumps(field.name, ensure_ascii=False) for field in self._schema]
        nulls = [
            f"{name}:{count}"
            for name, count, field in zip(names, self._nulls, self._schema, strict=True)
            if _has_bounds(field.type)
        ]
        members = [f'"numRecords":{rows}', f'"nullCount":{{{",".join(nulls)}}}']
        if self._bounded:
            for key, low_or_high in (("minValues", 0), ("maxValues", 1)):
                bounds = [
                    f"{name}:{_json(bound[low_or_high], field.type, upwards=bool(low_or_high))}"
                    for name, bound, field in zip(names, self._bounds, self._schema, strict=True)
                    if bound is not None
                ]
                members.append(f'"{key}":{{{",".join(bounds)}}}')
        return f"{{{','.join(members)}}}"

    def null_counts(self) -> dict[str, int]:
        """How many nulls each column has."""
        return dict(zip(self._schema.names, self._nulls, strict=True))

    def _widen(self, index: int, kind: pa.DataType, column: pa.ChunkedArray) -> None:
        if pa.types.is_floating(kind) and not pc.all(pc.is_finite(column)).as_py():
            self._bounded = False
            return
        edges = pc.min_max(column)
        try:
            low, high = edges["min"].as_py(), edges["max"].as_py()
        except (ValueError, OverflowError):
            self._bounded = False  # a time that Python has no object for
            return
        known = self._bounds[index]
        if known is not None:
            low, high = min(low, known[0]), max(high, known[1])
        self._bounds[index] = (low, high)


def _has_bounds(kind: pa.DataType) -> bool:
    """Delta keeps no statistics of binary columns."""
    return not pa.types.is_binary(kind)


def _json(value: Any, kind: pa.DataType, *, upwards: bool) -> str:
    """A bound as the log writes it, never nearer than the value is."""
    if isinstance(value, Decimal):
        return format(_rounded(value, kind, upwards=upwards), "f")
    if isinstance(value, datetime):
        # Milliseconds, cut off, are the protocol's: readers add one to a maximum.
        text = value.replace(tzinfo=None).isoformat(timespec="milliseconds")
        return json.dumps(f"{text}Z" if kind.tz else text)
    if isinstance(value, str):
        # No character sorts behind the last of Unicode, so nothing that begins alike does.
        cut = value[:_LONGEST_TEXT]
        if upwards and len(value) > _LONGEST_TEXT:
            rest = value[_LONGEST_TEXT:]
            cut += _LAST * (1 + len(rest) - len(rest.lstrip(_LAST)))
        return json.dumps(cut, ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(value.isoformat())


def _rounded(value: Decimal, kind: pa.DataType, *, upwards: bool) -> Decimal:
    """The value with few enough digits for a float, rounded away from the rows."""
    context = Context(prec=_EXACT_DIGITS, rounding=ROUND_CEILING if upwards else ROUND_FLOOR)
    rounded = context.create_decimal(value)
    with localcontext(prec=kind.precision + 2):
        fits = abs(rounded) < Decimal(10) ** (kind.precision - kind.scale)
    return rounded if fits else value
