"""Routes for what a job remembers of its tables: look, set, reset."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from copy_core.connectors import registry
from copy_core.job import TableCopy
from copy_core.reset import reset
from copy_core.rewind import rewind
from copy_core.service import run_records
from copy_core.service.service import Service
from copy_core.state import tables
from copy_core.state.tables import LoadType, Pending, TableState
from copy_core.watermark import Kind
from copy_core.web import examples
from copy_core.web.deps import Asking, JobName, TableName, TheService, at_connection
from copy_core.web.problems import documented

router = APIRouter(tags=["watermarks"])

_HOLDER = "the API"


class PendingWindow(BaseModel):
    """A window that was planned and is not committed yet: the next run finishes it first.

    Attributes:
        sequence: the number that its commit will have.
        run_id: the run that planned it.
        planned_at: when, in UTC.
        load_type: a first load or full copy, or an increment.
        lower_bound: above which value it reads; null means from the beginning.
        upper_bound: up to which value it reads.
        parts: how many parts it has.
        parts_staged: how many of them are copied.
    """

    sequence: int
    run_id: str
    planned_at: str
    load_type: LoadType
    lower_bound: str | None
    upper_bound: str | None
    parts: int
    parts_staged: int


class TableWatermark(BaseModel):
    """What a job remembers of a table.

    Attributes:
        source: the table's name at the source.
        destination: its name at the destination.
        listed: whether the job still copies it.
        sequence: how many commits there were.
        loaded: whether it was loaded since it was last reset.
        truncate: whether the next commit replaces all rows at the destination.
        incremental_column: the column that `watermark` is a value of.
        watermark: up to which value rows are copied, in the source's own text.
        kind: what the column holds.
        pending: the window under way.
        changed_by: the run, reset or rewind that changed this last; "" if nothing did.
    """

    model_config = examples.shown(examples.WATERMARK)

    source: str
    destination: str
    listed: bool
    sequence: int
    loaded: bool
    truncate: bool
    incremental_column: str | None
    watermark: str | None
    kind: Kind | None
    pending: PendingWindow | None
    changed_by: str


class Watermarks(BaseModel):
    """What a job remembers of its tables, in the job's order; then those that it had before."""

    model_config = examples.shown({"job": "sales", "tables": [examples.WATERMARK]})

    job: str
    tables: list[TableWatermark]


class NewWatermark(BaseModel):
    """A watermark to set."""

    model_config = examples.asked({"table": "orders", "value": "2026-11-01T00:00:00.0000000"})

    table: Annotated[str, Field(min_length=1, max_length=200)]
    """The table's name at the source."""
    value: Annotated[str, Field(min_length=1, max_length=200)]
    """The watermark, written as the column's own values are; the next run copies what is above."""


class Reset(BaseModel):
    """Which tables to load anew."""

    model_config = examples.asked({"tables": ["orders"], "truncate": True})

    tables: Annotated[list[TableName], Field(min_length=1)] | None
    """Names at the source; null for all tables of the job."""
    truncate: bool = False
    """Whether the next commit replaces all rows at the destination, instead of adding to them."""


@router.get("/jobs/{job}/watermarks", responses=documented(404))
def get_watermarks(service: TheService, name: JobName) -> Watermarks:
    """Says how far every table of a job was copied."""
    job = service.catalog.load(name).job
    known = {state.table: state for state in tables.load_all(service.store, name)}
    listed = [
        _shown(service, name, known.pop(table.source, TableState(table=table.source)), table)
        for table in job.tables
    ]
    others = [_shown(service, name, state, None) for state in known.values()]
    return Watermarks(job=name, tables=listed + others)


@router.put("/jobs/{job}/watermarks", responses=documented(404, 409, 502))
async def set_watermark(
    service: TheService, name: JobName, asked: NewWatermark, asking: Asking
) -> TableWatermark:
    """Sets how far a table counts as copied; its pending window is dropped.

    Going back copies rows again: under `append` they are then there twice. The value is tried at
    the source before it is kept.
    """
    loaded = await to_thread.run_sync(service.catalog.load, name)
    job, store = loaded.job, service.store

    def set_it() -> TableWatermark:
        with at_connection(job.source):
            source = registry.open_source(loaded.connections[job.source])
        with source:
            run_records.holder(store, name)  # one that has ended gives the job back
            state = rewind(store, job, asked.table, asked.value, source, holder=_HOLDER)
        [table] = [t for t in job.tables if t.source == state.table]
        return _shown(service, name, state, table)

    return await asking.ask(job.source, set_it)


@router.post("/jobs/{job}/reset", responses=documented(404, 409))
def reset_tables(service: TheService, name: JobName, asked: Annotated[Reset, Body()]) -> Watermarks:
    """Makes a job forget how far tables were copied, so that their next run loads all rows."""
    job = service.catalog.load(name).job
    run_records.holder(service.store, name)  # one that has ended gives the job back
    done = reset(service.store, job, asked.tables or (), truncate=asked.truncate, holder=_HOLDER)
    listed = {table.source: table for table in job.tables}
    return Watermarks(
        job=name, tables=[_shown(service, name, state, listed[state.table]) for state in done]
    )


def _shown(
    service: Service, job: str, state: TableState, table: TableCopy | None
) -> TableWatermark:
    watermark, column, destination = state.watermark, state.incremental_column, state.destination
    if table is not None:
        destination = destination or table.destination
        if table.mode == "incremental":
            column = column or table.incremental_column or ""
    return TableWatermark(
        source=state.table,
        destination=destination,
        listed=table is not None,
        sequence=state.sequence,
        loaded=state.loaded,
        truncate=state.truncate,
        incremental_column=column or None,
        watermark=watermark.value if watermark else None,
        kind=watermark.kind if watermark else None,
        pending=_pending(service, job, state.table, state.pending) if state.pending else None,
        changed_by=state.owner,
    )


def _pending(service: Service, job: str, table: str, pending: Pending) -> PendingWindow:
    parts = tables.parts(service.store, job, table, pending.plan_id)
    window = pending.window
    return PendingWindow(
        sequence=pending.target.sequence,
        run_id=pending.run_id,
        planned_at=pending.planned_at,
        load_type=pending.load_type,
        lower_bound=window.low.value if window.low else None,
        upper_bound=window.high.value if window.high else None,
        parts=pending.parts,
        parts_staged=sum(part.staged is not None for part in parts),
    )
