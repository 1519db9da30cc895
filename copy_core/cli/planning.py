"""`copyjob plan`: what a run would copy now. Reads the source and the ledger, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from copy_core.cli import text
from copy_core.cli.common import DONE, FAILED, Opened, print_json, show_error
from copy_core.connectors import registry
from copy_core.failures import classify
from copy_core.selection import selected
from copy_core.state import lease, tables
from copy_core.survey import survey

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination, Source
    from copy_core.model import JsonDict, Slice
    from copy_core.survey import Survey
    from copy_core.watermark import Window

_PARTS_SHOWN = 20


def plan(opened: Opened, names: tuple[str, ...], *, as_json: bool) -> int:
    """Shows what a run would copy; returns the exit code.

    Raises:
        CopyJobError: the job has no such table, or a connection cannot be opened.
    """
    job = opened.job
    wanted = selected(job, names)
    with ExitStack() as stack:
        source = stack.enter_context(registry.open_source(opened.connections[job.source]))
        destination = stack.enter_context(
            registry.open_destination(opened.connections[job.destination])
        )
        held = lease.holder_of(opened.store, job.name)
        found = [_table(opened, name, source, destination) for name in wanted]
    if as_json:
        holder = held.to_json() if held else None
        print_json({"job": job.name, "lease": holder, "tables": found})
    else:
        if held:
            click.secho(f"A run is under way, so this changes while you read it: {held}", dim=True)
        for each in found:
            for line in _lines(each):
                click.echo(line)
    for each in found:
        if each["error"]:
            show_error(each["error"])
    return FAILED if any(each["error"] for each in found) else DONE


def _table(opened: Opened, name: str, source: Source, destination: Destination) -> JsonDict:
    job = opened.job
    table = next(table for table in job.tables if table.source == name)
    known: JsonDict = {
        "source": table.source,
        "destination": table.destination,
        "action": "nothing",
        "write": table.write,
        "load_type": None,
        "sequence": None,
        "incremental_column": table.incremental_column,
        "lower_bound": None,
        "upper_bound": None,
        "rows_expected": None,
        "files_expected": None,
        "rows_skipped_null": 0,
        "parts_planned": 0,
        "parts": [],
        "remarks": [],
        "error": None,
    }
    try:
        state, _ = tables.load(opened.store, job.name, name)
        found = survey(job, table, state, source, destination)
        return known | _planned(found, source) | _resumed(opened, found, source)
    except Exception as e:  # noqa: BLE001 - told with the table; the others are planned all the same
        error = classify(e).at(job=job.name, table=name)
        return known | {"action": "failed", "error": error.to_json()}


def _planned(found: Survey, source: Source) -> JsonDict:
    plan = found.plan
    if plan is None:
        return {}
    slices = source.split(plan.info, plan.whole, plan.parts)
    return _window(plan.window) | {
        "action": "copy",
        "write": plan.target.write,
        "load_type": plan.load_type,
        "sequence": plan.target.sequence,
        ("files" if plan.target.objects else "rows") + "_expected": (
            plan.info.rows if plan.load_type == "full" else None
        ),
        "rows_skipped_null": plan.nulls,
        "parts_planned": len(slices),
        "parts": _parts(dict(enumerate(slices)), source),
        "remarks": list(plan.info.remarks),
    }


def _resumed(opened: Opened, found: Survey, source: Source) -> JsonDict:
    pending = found.resume
    if pending is None:
        return {}
    parts = tables.parts(opened.store, opened.job.name, found.state.table, pending.plan_id)
    missing = {part.number: part.slice for part in parts if part.staged is None}
    return _window(pending.window) | {
        "action": "resume",
        "write": pending.target.write,
        "load_type": pending.load_type,
        "sequence": pending.target.sequence,
        "rows_skipped_null": pending.nulls,
        "parts_planned": pending.parts,
        "parts": _parts(missing, source),
    }


def _window(window: Window) -> JsonDict:
    return {
        "incremental_column": window.column,
        "lower_bound": window.low.value if window.low else None,
        "upper_bound": window.high.value if window.high else None,
    }


def _parts(slices: dict[int, Slice], source: Source) -> list[JsonDict]:
    return [{"part": n, "predicate": source.predicate(s)} for n, s in slices.items()]


def _lines(table: JsonDict) -> Iterator[str]:
    name = click.style(table["source"], bold=True)
    if table["destination"] != table["source"]:
        name += f" → {table['destination']}"
    if table["action"] == "failed":
        yield f"{name}  {click.style('cannot be planned', fg='red')}"
        return
    if table["action"] == "nothing":
        yield f"{name}  {click.style('nothing new', dim=True)}"
        return
    yield f"{name}  {_head(table)}"
    if window := text.bounds(table["lower_bound"], table["upper_bound"]):
        yield f"    {table['incremental_column']} {window}"
    if table["rows_skipped_null"]:
        skipped = text.plural(table["rows_skipped_null"], "row")
        yield f"    leaves out {skipped} without a value in {table['incremental_column']}"
    parts: list[dict[str, Any]] = table["parts"]
    for part in parts[:_PARTS_SHOWN]:
        yield f"    part {part['part']}: {part['predicate'] or 'everything'}"
    if len(parts) > _PARTS_SHOWN:
        yield f"    and {len(parts) - _PARTS_SHOWN} more parts: --json shows all"
    for remark in table["remarks"]:
        yield f"    {remark}"


def _head(table: JsonDict) -> str:
    left, planned = len(table["parts"]), table["parts_planned"]
    if table["action"] == "resume":
        todo = f"{left} of {text.plural(planned, 'part')} left" if left else "only to be published"
        return f"resumes sequence {table['sequence']}, {todo}"
    says = [f"{table['load_type']} load", table["write"], text.plural(planned, "part")]
    for noun in ("row", "file"):
        if (expected := table[f"{noun}s_expected"]) is not None:
            says.insert(1, f"about {text.plural(expected, noun)}")
    return ", ".join(says)
