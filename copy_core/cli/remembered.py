"""`copyjob status` and `copyjob reset`: what a job remembers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from copy_core.cli import text
from copy_core.cli.common import DONE, Opened, print_json, show_errors, terminal_width
from copy_core.cli.report import summary_lines
from copy_core.cli.text import Column, Grid
from copy_core.errors import ConfigError
from copy_core.service import run_records
from copy_core.state import history, lease, tables

if TYPE_CHECKING:
    from copy_core.model import JsonDict
    from copy_core.state.history import RunHeader
    from copy_core.state.tables import TableState

_LOOKS = {"succeeded": "green", "failed": "red", "cancelled": "yellow"}


def status(opened: Opened, limit: int, *, as_json: bool) -> int:
    """Shows where a job stands; returns the exit code."""
    job, store = opened.job, opened.store
    held = lease.holder_of(store, job.name)
    known = {state.table: state for state in tables.load_all(store, job.name)}
    names = dict.fromkeys([*(table.source for table in job.tables), *known])
    states = [known.get(name, tables.TableState(table=name)) for name in names]
    found = [_table(opened, state) for state in states]
    runs = [history.now(store, run) for run in history.runs(store, job.name, limit).runs]
    if as_json:
        print_json(
            {
                "job": job.name,
                "lease": held.to_json() if held else None,
                "tables": found,
                "runs": [run.to_json() for run in runs],
            }
        )
        return DONE
    click.echo(f"{click.style(job.name, bold=True)} · state in {opened.state}")
    click.echo(f"Held by {held}" if held else click.style("No run is under way", dim=True))
    click.echo()
    for line in _table_lines(found):
        click.echo(line)
    click.echo()
    for line in _run_lines(runs):
        click.echo(line)
    return DONE


def show_run(opened: Opened, run_id: str, *, as_json: bool) -> int:
    """Shows one run; returns the exit code.

    Raises:
        ConfigError: the job has no such run.
    """
    summary = run_records.found(opened.store, run_id)
    if summary is None or summary.job != opened.job.name:
        raise ConfigError(
            f"there is no record of a run {run_id}",
            fix="`copyjob status JOBFILE` lists the runs",
            code="run-unknown",
            job=opened.job.name,
        )
    if as_json:
        print_json(summary.to_json())
        return DONE
    click.echo(f"{click.style(summary.job, bold=True)} · {text.when(summary.started_at)} UTC")
    for line in summary_lines(summary, terminal_width()):
        click.echo(line)
    show_errors(summary)
    return DONE


def reset(opened: Opened, names: tuple[str, ...], *, truncate: bool) -> int:
    """Makes a job forget how far tables were copied; returns the exit code.

    Raises:
        ConfigError: the job has no such table.
        ConflictError: a run holds the job.
    """
    from copy_core.reset import reset as forget

    done = forget(opened.store, opened.job, names, truncate=truncate)
    then = "the next run's commit replaces all rows" if truncate else "the next run loads all rows"
    for state in done:
        click.echo(f"{state.table}: reset after sequence {state.sequence}; {then}")
    return DONE


def reset_warning(opened: Opened, names: tuple[str, ...], *, truncate: bool) -> str:
    """What a reset will do, for whoever is asked to agree.

    Raises:
        ConfigError: the job has no such table.
    """
    from copy_core.selection import selected

    wanted = selected(opened.job, names)
    what = f"The next run loads {', '.join(wanted)} from the beginning."
    if truncate:
        return f"{what} Its commit replaces all rows at the destination at once."
    doubled = [
        table.source
        for table in opened.job.tables
        if table.source in wanted and table.write == "append"
    ]
    if doubled:
        what += (
            f" {', '.join(doubled)}: written by append, so rows that are there already"
            " would be there twice; --truncate replaces them."
        )
    return what


def _table(opened: Opened, state: TableState) -> JsonDict:
    pending = state.pending
    found: JsonDict = {
        "source": state.table,
        "sequence": state.sequence,
        "watermark": state.watermark.value if state.watermark else None,
        "incremental_column": state.incremental_column or None,
        "loaded": state.loaded,
        "truncate": state.truncate,
        "pending": None,
    }
    if pending:
        parts = tables.parts(opened.store, opened.job.name, state.table, pending.plan_id)
        window = pending.window
        found["pending"] = {
            "sequence": pending.target.sequence,
            "run_id": pending.run_id,
            "planned_at": pending.planned_at,
            "load_type": pending.load_type,
            "lower_bound": window.low.value if window.low else None,
            "upper_bound": window.high.value if window.high else None,
            "parts": pending.parts,
            "parts_done": sum(part.staged is not None for part in parts),
        }
    return found


def _table_lines(found: list[JsonDict]) -> Iterator[str]:
    grid = Grid(
        (
            Column("Table"),
            Column("State"),
            Column("Commits", right=True),
            Column("Watermark"),
        )
    )
    for table in found:
        pending, below = table["pending"], []
        state, style = ("loaded", {"fg": "green"}) if table["loaded"] else ("new", {"dim": True})
        if not table["loaded"] and table["sequence"]:
            state, style = "reset", {"fg": "yellow"}
        if table["truncate"]:
            below.append("the next commit replaces all rows")
        if pending:
            state, style = "pending", {"fg": "yellow"}
            window = text.bounds(pending["lower_bound"], pending["upper_bound"])
            copied = f"{pending['parts_done']} of {text.plural(pending['parts'], 'part')} copied"
            says = [f"sequence {pending['sequence']}: {copied}", window]
            below.append(", ".join(filter(None, says)))
        grid.add(
            table["source"],
            state,
            text.count(table["sequence"]),
            table["watermark"] or text.NOTHING,
            below=below,
            **style,
        )
    return iter(grid.lines(terminal_width()))


def _run_lines(runs: list[RunHeader]) -> Iterator[str]:
    if not runs:
        yield click.style("No run yet", dim=True)
        return
    grid = Grid(
        (
            Column("Run"),
            Column("Status"),
            Column("Started (UTC)"),
            Column("Took", right=True),
            Column("Tables", right=True),
            Column("Written", right=True),
            Column("Trigger", drop=1),
        )
    )
    for run in runs:
        took = ""
        if run.ended_at:
            began, ended = (datetime.fromisoformat(t) for t in (run.started_at, run.ended_at))
            took = text.seconds((ended - began).total_seconds())
        grid.add(
            run.run_id,
            run.status,
            text.when(run.started_at),
            took,
            f"{run.failed} of {run.tables} failed" if run.failed else str(run.tables),
            _written(run),
            run.trigger,
            fg=_LOOKS.get(run.status),
        )
    yield from grid.lines(terminal_width())


def _written(run: RunHeader) -> str:
    """What a run wrote; a dash for nothing."""
    some = run.rows_written or run.files_written
    return text.amount(run.rows_written, run.files_written) if some else text.NOTHING
