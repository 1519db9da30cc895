"""A run's summary as people read it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from copy_core.cli import text
from copy_core.cli.board import LOOKS
from copy_core.cli.text import Column, Grid

if TYPE_CHECKING:
    from copy_core.model import RunSummary, TableResult

_COLUMNS = (
    Column("Table"),
    Column("Status"),
    Column("Load"),
    Column("Read", right=True),
    Column("Written", right=True),
    Column("Files", right=True, drop=3),
    Column("Size", right=True, drop=1),
    Column("Time", right=True),
    Column("Rows/s", right=True, drop=2),
)


def summary_lines(summary: RunSummary, width: int | None) -> Iterator[str]:
    """A run's tables, and what they come to; errors are shown apart.

    Args:
        summary: the run.
        width: the cells in a line; None cuts nothing.
    """
    if summary.tables:
        grid = _grid(summary, windows_beside=True)
        if width is None or grid.width() > width:
            grid = _grid(summary, windows_beside=False)
        yield from grid.lines(width)
        yield ""
    yield f"{_verdict(summary)} · run {summary.run_id}"


def _grid(summary: RunSummary, *, windows_beside: bool) -> Grid:
    """The tables of a run, their windows in a column of their own or in lines below."""
    grid = Grid((*_COLUMNS, Column("Window")) if windows_beside else _COLUMNS)
    for table in summary.tables:
        _add(grid, table, windows_beside=windows_beside)
    return grid


def _add(grid: Grid, table: TableResult, *, windows_beside: bool) -> None:
    mark, style = LOOKS[table.status]
    window = text.bounds(table.lower_bound, table.upper_bound)
    below = [window] if window and not windows_beside else []
    if table.resumed:
        below.append("took up where an earlier run stopped")
    if table.rows_skipped_null:
        skipped = text.plural(table.rows_skipped_null, "row")
        below.append(f"left out {skipped} without a value in the incremental column")
    if table.rows_rejected:
        rejected = text.plural(table.rows_rejected, "bad row")
        below.append(f"left out {rejected}: see _rejects/ at the source")
    if table.retries:
        below.append(f"tried again {text.plural(table.retries, 'time')}")
    grid.add(
        table.source,
        f"{mark} {table.status}",
        "" if table.load_type == "unknown" else table.load_type,
        text.count(table.rows_read),
        text.count(table.rows_written),
        text.count(table.files_written),
        text.size(table.bytes_written or table.bytes_read),
        text.seconds(table.duration_s),
        text.rate(table.rows_per_s),
        *([window] if windows_beside else []),
        below=below,
        **style,
    )


def _verdict(summary: RunSummary) -> str:
    if summary.status == "conflict":
        return click.style("not run", fg="yellow", bold=True)
    counts = dict.fromkeys(LOOKS, 0)
    for table in summary.tables:
        counts[table.status] += 1
    says = [
        click.style(f"{number} {status}", bold=True, **LOOKS[status][1])
        for status, number in counts.items()
        if number
    ]
    rows = sum(table.rows_written for table in summary.tables)
    files = sum(table.files_written for table in summary.tables if not table.rows_written)
    copied = [text.plural(rows, "row")] if rows or not files else []
    copied += [text.plural(files, "file")] if files else []
    done = ", ".join(copied)
    if not summary.ended_at:  # it is under way, or its process died
        return f"{', '.join([summary.status, *says])} · {done} so far"
    began, ended = (datetime.fromisoformat(t) for t in (summary.started_at, summary.ended_at))
    took = text.seconds((ended - began).total_seconds())
    return f"{', '.join(says) or summary.status} · {done} in {took}"
