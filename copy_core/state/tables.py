"""What a job remembers of each table, and of the parts of a window that is under way."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote
from uuid import uuid4

from copy_core.errors import ConflictError, TransientError
from copy_core.job import Column, Condition, TableCopy
from copy_core.model import Record, Slice, Staged, Target
from copy_core.state.base import ABSENT
from copy_core.state.encoding import parse
from copy_core.watermark import Watermark, Window

if TYPE_CHECKING:
    from copy_core.state.base import StateStore

LoadType = Literal["full", "incremental"]


class Pending(Record):
    """A window that was planned and is not committed yet.

    Attributes:
        plan_id: names the plan; its part rows carry it, so a dead planner's rows do no harm. It
            begins with the sequence.
        run_id: the run that planned it.
        table: the definition it was planned with; a resumed run copies by it.
        columns: the columns to copy.
        keys: the key columns at the source, for upsert.
        target: where to, and the sequence that it will have.
        stage_columns: the schema in which the destination wants its rows.
        window: what is read.
        load_type: whether it is a first load or a full copy, or an increment.
        parts: how many parts it was split into.
        planned_at: when, ISO 8601 in UTC.
        nulls: rows that the window leaves out because their incremental column is null.
        hidden: whether the incremental column is one of the table's hidden ones.
        doomed: whether its staged rows were refused for what they are; it is planned anew.
    """

    plan_id: str
    run_id: str
    table: TableCopy
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    target: Target
    stage_columns: tuple[tuple[str, str, str], ...]
    window: Window
    load_type: LoadType
    parts: int
    planned_at: str
    nulls: int = 0
    hidden: bool = False
    doomed: bool = False


class TableState(Record):
    """What is known of (job, table).

    Attributes:
        table: the table's name in the job.
        sequence: the number of the last commit; never goes back.
        watermark: up to where its rows are published.
        loaded: whether a first load was committed since the last reset.
        truncate: whether the next commit replaces all rows at the destination.
        forget: whether a reset asked not to take the watermark from the destination's ledger.
        incremental_column: the column that `watermark` is a value of; "" for full copies.
        hidden: whether that was one of the table's hidden columns, and none of its rows' own; not
            known, and False, where the watermark comes from the destination's ledger.
        keys: the key columns at the source that rows were merged by; empty when not known.
        filter: the conditions that the copied rows met.
        include: the patterns that the copied files met.
        exclude: the patterns of files that were left out.
        query: the query whose rows were copied; "" for a table's own.
        destination: the table's name at the destination.
        pending: the window under way.
        leftover: the last commit, if what was staged for it may still lie about.
        owner: the run that wrote the state last; any other run's steps are fenced off.
    """

    table: str
    sequence: int = 0
    watermark: Watermark | None = None
    loaded: bool = False
    truncate: bool = False
    forget: bool = False
    incremental_column: str = ""
    hidden: bool = False
    keys: tuple[str, ...] = ()
    filter: tuple[Condition, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    query: str = ""
    destination: str = ""
    pending: Pending | None = None
    leftover: Target | None = None
    owner: str = ""


class Part(Record):
    """A part of a pending window; `staged` once it is copied.

    Attributes:
        number: from 0.
        slice: what it reads.
        staged: where its rows wait.
        rows_read: rows counted as they left the source; 0 where whole objects are copied.
        bytes_read: their size in memory; that of objects as they are.
        files_read: files that held them, or objects; 0 where rows are not kept in files.
        rows_rejected: rows that were left out, being no rows of the table.
    """

    number: int
    slice: Slice
    staged: Staged | None = None
    rows_read: int = 0
    bytes_read: int = 0
    files_read: int = 0
    rows_rejected: int = 0


def load(store: StateStore, job: str, table: str) -> tuple[TableState, str]:
    """The state of a table, and the etag to save it with (`ABSENT` when there was none)."""
    row = store.get(job, f"table/{_key(table)}")
    if row is None:
        return TableState(table=table), ABSENT
    return parse(TableState, row, store, job), row.etag


def load_all(store: StateStore, job: str) -> list[TableState]:
    """The states of every table of a job, by name."""
    rows = store.list(job, "table/")
    return sorted((parse(TableState, row, store, job) for row in rows), key=lambda s: s.table)


def save(store: StateStore, job: str, state: TableState, etag: str) -> str:
    """Compare-and-set; returns the new etag.

    Raises:
        ConflictError: another run changed the state since it was loaded.
        TransientError: the very same run did: a step was delivered twice, or the store took the
            state although its answer was lost. The step finds that out when it is tried again.
    """
    try:
        return store.put(job, f"table/{_key(state.table)}", state.to_json(), etag)
    except ConflictError as e:
        if state.owner and load(store, job, state.table)[0].owner == state.owner:
            raise TransientError(
                "this step was carried out twice at the same time",
                code="delivered-twice",
                job=job,
                table=state.table,
            ) from e
        raise ConflictError(
            "another run changed the table's state meanwhile; this run stops here",
            fix="Nothing was lost: the next run takes up what is left",
            code="fenced-off",
            job=job,
            table=state.table,
        ) from e


def owned(state: TableState, job: str, run_id: str, plan_id: str) -> Pending:
    """The pending window, if it is the one that the run planned or took over.

    Raises:
        ConflictError: another run took the table over.
    """
    pending = state.pending
    if state.owner != run_id or pending is None or pending.plan_id != plan_id:
        raise ConflictError(
            f"run {state.owner or 'unknown'} took the table over; this run stops here",
            fix="Nothing was lost: the next run takes up what is left",
            code="fenced-off",
            holder=state.owner,
            job=job,
            table=state.table,
        )
    return pending


def write_parts(store: StateStore, job: str, table: str, plan_id: str, slices: list[Slice]) -> None:
    """Writes the parts of a plan, before the state that makes the plan known."""
    parts = [Part(number=n, slice=s) for n, s in enumerate(slices)]
    store.put_many(job, {_part_key(table, plan_id, p.number): p.to_json() for p in parts})


def parts(store: StateStore, job: str, table: str, plan_id: str) -> list[Part]:
    """Every part of a plan, by number."""
    rows = store.list(job, f"part/{_key(table)}/{plan_id}/")
    return [parse(Part, row, store, job) for row in rows]


def part(store: StateStore, job: str, table: str, plan_id: str, number: int) -> tuple[Part, str]:
    """One part and its etag.

    Raises:
        ConflictError: the plan is gone: another run committed it or planned anew.
    """
    row = store.get(job, _part_key(table, plan_id, number))
    if row is None:
        raise ConflictError(
            "the part's plan is gone: another run committed it or planned anew",
            code="fenced-off",
            job=job,
            table=table,
        )
    return parse(Part, row, store, job), row.etag


def save_part(
    store: StateStore, job: str, table: str, plan_id: str, done: Part, *, etag: str
) -> None:
    """Records a part; raises ConflictError when somebody else did so first."""
    store.put(job, _part_key(table, plan_id, done.number), done.to_json(), etag)


def new_plan_id(sequence: int) -> str:
    """A name for a plan that no other plan of its sequence has."""
    return f"{sequence:010d}-{uuid4().hex[:12]}"


def forget_parts(store: StateStore, job: str, table: str, sequence: int) -> None:
    """Removes the part rows of every plan up to a sequence that was committed; a later plan, which
    another run may be making at this moment, keeps its own.
    """
    prefix = f"part/{_key(table)}/"
    plans = {row.key.removeprefix(prefix).split("/")[0] for row in store.list(job, prefix)}
    for plan_id in sorted(plans):
        if int(plan_id.split("-")[0]) <= sequence:
            store.delete_prefix(job, f"{prefix}{plan_id}/")


def _part_key(table: str, plan_id: str, number: int) -> str:
    return f"part/{_key(table)}/{plan_id}/{number:06d}"


def _key(table: str) -> str:
    """The table's name as one level of a key: no slash, not too long, unique."""
    key = quote(table, safe=" ")
    return key if len(key) <= 120 else key[:100] + sha256(table.encode()).hexdigest()[:20]
