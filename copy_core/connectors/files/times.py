"""Time that is kept as text: whether its order as text is its order as time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.errors import TerminalError
from copy_core.watermark import is_time

_PARTS = r"^(?P<clock>\d{4}-\d\d-\d\d(?:[ T][\d:]+(?:\.\d+)?)?)(?P<zone>Z|[+-]\d\d:?\d\d)?$"


def check_times(values: pa.Array, shapes: set[str], *, table: str, column: str) -> None:
    """Refuses text whose order is not the order of time: it needs one format and one zone.

    Args:
        values: some of the column's values.
        shapes: the formats seen so far in the column; those of `values` are added.
        table: the table, for the error.
        column: the column, for the error.

    Raises:
        TerminalError: a value that is no time, or times in several formats or zones.
    """
    present = values.drop_null()
    split = pc.extract_regex(present, _PARTS)
    clock, zone = (pc.struct_field(split, name) for name in ("clock", "zone"))
    shape = pc.binary_join_element_wise(
        pc.replace_substring_regex(clock, r"\d", "0"), pc.coalesce(zone, pa.scalar("")), ""
    )
    found = pc.unique(shape).to_pylist()
    shapes.update("" if text is None else text for text in found)
    # Arrow has found the format; whether it is a day of the calendar, its edges tell.
    edges = pc.min_max(present).as_py().values() if len(present) else ()
    if len(shapes) > 1 or "" in shapes or not all(is_time(edge) for edge in edges):
        raise TerminalError(
            "the column holds text that is not time in one format and zone",
            fix="Choose an incremental column of a date, time or number type",
            code="watermark-value",
            table=table,
            column=column,
        )
