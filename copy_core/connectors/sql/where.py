"""The rows of a slice as a WHERE condition, for every SQL dialect. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from copy_core.connectors.sql.text import Sql, join

if TYPE_CHECKING:
    from copy_core.job import Condition, Scalar
    from copy_core.model import Slice
    from copy_core.watermark import Watermark, Window


class Terms(Protocol):
    """What a dialect says about the columns of one table."""

    def name(self, column: str) -> str:
        """The column, quoted."""

    def bound(self, column: str, watermark: Watermark) -> Sql:
        """A watermark value, as exactly the column's own type."""

    def operand(self, column: str) -> str:
        """The column in a form that compares as its canonical type does."""

    def value(self, column: str, op: str, value: Scalar) -> Sql:
        """A filter's value, to compare with `operand`.

        Raises:
            ConfigError: it does not fit the column.
        """


NOTHING = Sql("1 = 0")


def where(part: Slice, terms: Terms, limits: Sql | None = None) -> Sql:
    """The condition that a row of `part` meets; empty when every row does.

    Args:
        part: the slice; its `range` is the caller's business.
        terms: the dialect's view of the table.
        limits: the condition that stands for `part.range`.
    """
    every = [_condition(c, terms) for c in part.filter]
    if part.window.column is not None:
        every.append(_window(part.window.column, part.window, terms))
    if limits is not None:
        every.append(limits)
    return join(" AND ", every)


def _window(column: str, window: Window, terms: Terms) -> Sql:
    name = terms.name(column)
    bounds = []
    if window.high is not None:
        if window.low is not None:
            bounds.append(f"{name} > " + terms.bound(column, window.low))
        bounds.append(f"{name} <= " + terms.bound(column, window.high))
    if not window.nulls:
        return join(" AND ", bounds) if bounds else NOTHING
    missing = Sql(f"{name} IS NULL")
    return "(" + join(" AND ", bounds) + " OR " + missing + ")" if bounds else missing


def _condition(condition: Condition, terms: Terms) -> Sql:
    column, op, value = condition.column, condition.op, condition.value
    if op in ("is null", "is not null"):
        return Sql(f"{terms.name(column)} {op.upper()}")
    operand = terms.operand(column)
    values = value if isinstance(value, list) else [] if value is None else [value]
    bound = [terms.value(column, op, v) for v in values]
    if op == "in":
        return f"{operand} IN (" + join(", ", bound) + ")" if bound else NOTHING
    # A comparison with nothing is true for no row, in SQL and here.
    return f"{operand} {'<>' if op == '!=' else op} " + bound[0] if len(bound) == 1 else NOTHING


def shape(text: str) -> str:
    """The pattern (of LIKE, and of SQLite's GLOB) of all ISO times whose order as text is their
    order in time: digits in the same places, the same separators, the same zone.
    """
    zone = re.search(r"(?<=\d)(Z|[+-]\d\d:?\d\d)?$", text[10:])
    end = 10 + zone.start() if zone else len(text)
    return re.sub(r"\d", "[0-9]", text[:end]) + text[end:]
