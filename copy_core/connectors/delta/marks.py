"""Watermarks of a Delta table: the newest value of a column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors import arrow_filter
from copy_core.connectors.delta.rows import DataFile, Span, Where
from copy_core.connectors.delta.scan import Scan
from copy_core.connectors.delta.versions import Pin
from copy_core.connectors.files.times import check_times
from copy_core.errors import ConfigError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark

_BATCH = 65_536


def version(pin: Pin, above: Watermark | None) -> Watermark:
    """The version of a table, as the newest value of `COMMIT_VERSION`.

    Raises:
        ConfigError: versions above it have been copied (`version-missing`).
    """
    found = Watermark(kind="int", value=str(pin.version))
    if above is not None and above.position() > found.position():
        raise ConfigError(
            f"the table is at version {found.value}, and its rows up to version {above.value} were"
            " copied: it was dropped and made anew",
            fix="Load the table anew by copyjob reset",
            code="version-missing",
        )
    return found


def newest(scan: Scan, column: str, above: Watermark | None) -> Watermark | None:
    """The largest value of a column, of those above a watermark if it is no text; None when there
    is none.

    Files are read from the one that promises most, and of each only what is larger than the
    largest so far. Text is read whole, which is a scan of the column: in another format than the
    watermark's it might lie below it for ever.

    Raises:
        TerminalError: text that is not time in one format and zone.
    """
    kind = scan.schema.field(column).type
    text, best = pa.types.is_string(kind), None
    shapes: set[str] = set()
    if text and above is not None:
        check_times(pa.array([above.value]), shapes, table=scan.name, column=column)
    start = _above(scan, column, None if text else above)
    for file, most in _most_promising(scan, scan.holding(start), column):
        if not text and None not in (best, most) and not pc.greater(most, best).as_py():
            continue
        where = start if best is None or text else Where(pc.field(column) > best, (column,))
        for batch in scan.data.read([Span(file)], [column], _BATCH, where):
            values = batch.column(0)
            if text:
                check_times(values, shapes, table=scan.name, column=column)
            top = pc.max(values)
            if best is None or pc.greater(top, best).as_py():
                best = top
    if best is None:
        return None
    return Watermark(kind=arrow_filter.watermark_kinds(scan.schema)[column], value=_text(best))


def _above(scan: Scan, column: str, above: Watermark | None) -> Where:
    condition = Condition(column=column, op="is not null")
    if above is not None:
        condition = Condition(column=column, op=">", value=above.value)
    part = Slice(object=scan.name, columns=(column,), filter=(condition,))
    expression = arrow_filter.expression(part, scan.schema)
    assert expression is not None  # noqa: S101 - it has a condition
    return Where(expression, (column,))


def _most_promising(
    scan: Scan, files: list[DataFile], column: str
) -> Iterator[tuple[DataFile, pa.Scalar[Any] | None]]:
    """Files with the largest value that each can hold, largest first; None: nobody knows."""
    bounds = {file.path: scan.upper(file, column) for file in files}
    unknown = [file for file in files if bounds[file.path] is None]
    known = [file for file in files if bounds[file.path] is not None]
    yield from ((file, None) for file in unknown)
    if known:
        values = pa.array([bounds[file.path] for file in known])
        for index in pc.array_sort_indices(values, order="descending").to_pylist():
            yield known[index], values[index]


def _text(value: pa.Scalar[Any]) -> str:
    """A value as its watermark: Arrow writes times with all six digits, and Z for UTC."""
    if pa.types.is_decimal(value.type):
        return format(value.as_py(), "f")
    text = str(value.cast(pa.string()).as_py())
    return text.replace(" ", "T") if pa.types.is_timestamp(value.type) else text
