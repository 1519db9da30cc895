"""What a table needs now: reads the state, the source and the ledger, and writes nothing.

The plan step acts on a survey; `copyjob plan` prints one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from copy_core import offered
from copy_core import plan as planning
from copy_core.connectors.base import near
from copy_core.errors import ConfigError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination, Source, TableInfo
    from copy_core.job import Job, TableCopy
    from copy_core.model import Published
    from copy_core.plan import Plan
    from copy_core.state.tables import Pending, TableState
    from copy_core.watermark import Watermark, Window


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        state: the table's state, taken forward to what the ledger knows.
        resume: the pending window to take up again; then there is no plan.
        published: the ledger's record of the window to resume, if that was published already.
        plan: what to copy; None (with no `resume`) when nothing is new.
    """

    state: TableState
    resume: Pending | None = None
    published: Published | None = None
    plan: Plan | None = None


def survey(
    job: Job,
    table: TableCopy,
    state: TableState,
    source: Source,
    destination: Destination,
    upto: Watermark | None = None,
) -> Survey:
    """Finds out what a table needs.

    Args:
        job: the job.
        table: the table's definition.
        state: its state as stored.
        source: where it is read.
        destination: where it goes.
        upto: above which value nothing is copied this time; None when all may be.

    Raises:
        ConfigError: the definition does not fit the source, the destination or the state.
        TerminalError: rows without an incremental value under `nulls: fail`.
    """
    offered.check_offered(table, state, source.capabilities, destination.capabilities)
    if (pending := state.pending) is not None:
        ledger = destination.last_commit(job.name, state.table, pending.target.object)
        if ledger is not None and ledger.plan_id == pending.plan_id:
            return Survey(state=state, resume=pending, published=ledger)
        overtaken = ledger is not None and ledger.sequence >= pending.target.sequence
        if not overtaken and not pending.doomed and pending.table == table:
            return Survey(state=state, resume=pending)
        # What it staged is cleared away with the commit of the plan that takes its place.
        state = state.model_copy(update={"pending": None})
    planning.check_unchanged(table, state)
    if _nothing_new(table, state, source):
        return Survey(state=state)
    info = source.describe(table.source, table.query)
    objects = source.capabilities.objects
    if objects:
        _check_objects(table, state, info, source, destination)
    else:
        offered.check_patterns(table, info)
    offered.check_copyable(table, info)
    if table.mode == "full":
        state = _adopt(job, table, state, destination)
        plan = planning.make_plan(job, table, info, state, None, nulls=0, objects=objects)
        return Survey(state=state, plan=plan)
    column = planning.watermark_column(table, info)
    known = state.loaded
    if not known:
        state = _adopt(job, table, state, destination)
    newest = _lower(source.newest(info, column, state.watermark), upto)
    window = planning.window_for(table, state, column, newest)
    if window is None:
        return Survey(state=state)
    if known:
        # Only now: a table with nothing new costs no look at the destination.
        adopted = _adopt(job, table, state, destination)
        if adopted.watermark != state.watermark:
            return survey(job, table, adopted, source, destination, upto)
        state = adopted
    nulls = _nulls(table, info, window, source)
    plan = planning.make_plan(job, table, info, state, window, nulls=nulls, objects=objects)
    if plan.load_type == "incremental" and table.parts is None:
        plan = planning.sized(plan, source.estimate(info, plan.whole))
    return Survey(state=state, plan=plan)


def _nothing_new(table: TableCopy, state: TableState, source: Source) -> bool:
    """Whether the incremental column tells so without a look at the table, as the time of files
    does: there is no more to be done, and a description may take a look into every file.
    """
    if table.mode != "incremental" or not state.loaded or not state.hidden:
        return False
    column = state.incremental_column
    newest = source.newest_hidden(table.source, column, state.watermark)
    return planning.window_for(table, state, column, newest) is None


def _lower(newest: Watermark | None, upto: Watermark | None) -> Watermark | None:
    if newest is None or upto is None or newest.position() <= upto.position():
        return newest
    return upto


def _adopt(job: Job, table: TableCopy, state: TableState, destination: Destination) -> TableState:
    ledger = destination.last_commit(job.name, table.source, table.destination)
    return planning.adopt(table, state, ledger)


def _check_objects(
    table: TableCopy,
    state: TableState,
    info: TableInfo,
    source: Source,
    destination: Destination,
) -> None:
    """Refuses to copy objects of which there are none, or into themselves."""
    from copy_core.connectors.files.objects import check_apart

    if offered.is_missing(table, state, info):
        raise ConfigError(
            "there is no such folder or object, or nothing in it",
            fix=near(table.source, source.objects()),
            code="table-missing",
        )
    check_apart(source, destination, table)


def _nulls(table: TableCopy, info: TableInfo, window: Window, source: Source) -> int:
    """Counts the rows that the window passes over for want of a value."""
    if window.column is None or window.nulls:
        return 0
    if window.column not in info.schema.names or not info.schema.field(window.column).nullable:
        return 0  # a hidden column has a value in every row
    count = source.count_nulls(info, window.column)
    if count and table.nulls == "fail":
        raise TerminalError(
            f"{count} rows have no value in the incremental column",
            fix="Give them one, or set `nulls: skip` or `nulls: include`",
            code="null-watermark",
            column=window.column,
        )
    return count
