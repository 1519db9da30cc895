"""Parts as ranges of one column's values: which column, where to cut, and what a range is in SQL.
Pure.

A range is kept as the text of its ends, as the server wrote them, and the server compares with
them, by its own order of the type: the order of a uniqueidentifier is not that of its text, and
that of text is its collation's. Each row is in one range, whichever is added meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.values import BYTES, CHARACTERS, INTEGERS, TIMES, typed
from copy_core.connectors.sql.text import Sql, join

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.model import JsonDict, Slice

_EXACT = {"decimal", "numeric", "uniqueidentifier", *INTEGERS, *TIMES, *BYTES, *CHARACTERS}

_ENDS = {"after": ">", "from": ">=", "to": "<=", "below": "<"}


class Step(NamedTuple):
    """Some rows, in the order of the column that is cut.

    Attributes:
        end: the largest of their values, or the end of the partition that holds them; None where
            there is no cut: they are the last ones, or have no value.
        rows: how many they are, or a measure of that.
    """

    end: str | None
    rows: int


def key(table: Table, whole: Slice) -> TableColumn | None:
    """The column whose ranges are read fastest; None when none will do.

    That is what an increment is looked up by, else what the rows are kept in the order of.
    """
    leading = [i for i in table.indexes if i.clustered] + [i for i in table.indexes if i.primary]
    found = [table.column(index.columns[0]) for index in leading]
    if whole.window.column is not None:
        own = table.column(whole.window.column)
        sought = whole.window.low is not None and leads(table, own)
        found = [own, *found] if sought else [*found, own]
    return next((column for column in found if exact(column)), None)


def leads(table: Table, column: TableColumn) -> bool:
    """Whether rows are looked up by the column: an index begins with it."""
    return any(index.columns[0] == column.name for index in table.indexes)


def exact(column: TableColumn) -> bool:
    """Whether the server's text of a value gives the value back, and it can be compared."""
    return column.type.name in _EXACT and column.type.length >= 0 and not column.refusal


def cuts(steps: Sequence[Step], parts: int) -> list[int]:
    """Where to cut, so that the largest part is as small as can be, and the others likewise.

    Args:
        steps: all rows, in order.
        parts: how many parts there may be.

    Returns:
        The places of the steps after which to cut.
    """
    low = max((step.rows for step in steps), default=0)
    high = sum(step.rows for step in steps)
    while low < high:
        middle = (low + high) // 2
        if len(_filled(steps, middle)) < parts:
            high = middle
        else:
            low = middle + 1
    found = _filled(steps, low)
    while len(found) < parts - 1 and (more := _halving(steps, found)) is not None:
        found = sorted([*found, more])
    return found


def _filled(steps: Sequence[Step], most: int) -> list[int]:
    """The places of the cuts when each part takes steps until it would hold more than `most`."""
    found, rows = [], 0
    for place, step in enumerate(steps):
        if rows and rows + step.rows > most and steps[place - 1].end is not None:
            found.append(place - 1)
            rows = 0
        rows += step.rows
    return found


def _halving(steps: Sequence[Step], at: Sequence[int]) -> int | None:
    """The cut through the middle of the largest part that has one; None when none has."""
    best: tuple[int, int] | None = None
    for one, other in pairwise([-1, *at, len(steps) - 1]):
        rows = sum(step.rows for step in steps[one + 1 : other + 1])
        left = accumulate(step.rows for step in steps[one + 1 : other])
        # How far from the middle each cut of this part would be.
        off = {
            place: abs(rows - 2 * so_far)
            for place, so_far in enumerate(left, one + 1)
            if steps[place].end is not None
        }
        if off and (best is None or rows > best[0]):
            best = rows, min(off, key=lambda place: off[place])
    return best and best[1]


def sizes(steps: Sequence[Step], at: Sequence[int]) -> list[int]:
    """How many rows each part holds when it is cut there."""
    places = [-1, *at, len(steps) - 1]
    return [sum(s.rows for s in steps[one + 1 : other + 1]) for one, other in pairwise(places)]


def ends(steps: Sequence[Step], at: Sequence[int]) -> list[str]:
    """The values at which the steps are cut there."""
    return [end for place in at if (end := steps[place].end) is not None]


def slices(whole: Slice, column: str, at: Sequence[str], *, right: bool = False) -> list[Slice]:
    """The parts between the values at which `whole` is cut.

    Args:
        whole: the rows to cut.
        column: the column.
        at: the cuts, ascending in the server's order.
        right: whether a row whose value is that of a cut is in the part right of it.
    """
    low, high = ("from", "below") if right else ("after", "to")
    if not at:
        return [whole]
    return [
        whole.model_copy(update={"range": {"column": column, low: one, high: other}})
        for one, other in pairwise([None, *at, None])
    ]


def limits(table: Table, given: JsonDict) -> Sql:
    """The condition of a range; the first one has the rows without a value too."""
    column = table.column(given["column"])
    name = quote(column.name)
    bounds = [
        f"{name} {op} " + typed(column, given[end])
        for end, op in _ENDS.items()
        if given.get(end) is not None
    ]
    first = given.get("after") is None and given.get("from") is None
    condition = join(" AND ", bounds)
    # What is said of a view's columns may be older than its table.
    missing = column.nullable or table.kind != "table"
    return "(" + condition + f" OR {name} IS NULL)" if first and missing else condition
