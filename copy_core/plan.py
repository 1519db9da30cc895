"""Which rows of a table a run copies: from its definition, its state and facts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from copy_core.connectors.base import near
from copy_core.errors import ConfigError
from copy_core.mapping import chosen, destination_name, mapped_schema
from copy_core.model import Slice, Target
from copy_core.run_ids import same_chain
from copy_core.schema import schema_to_json
from copy_core.watermark import EVERYTHING, Watermark, Window, next_window

if TYPE_CHECKING:
    from datetime import datetime

    from copy_core.connectors.base import TableInfo
    from copy_core.job import Column, Condition, Job, TableCopy
    from copy_core.model import Published
    from copy_core.state.tables import LoadType, TableState

ROWS_PER_PART = 1_000_000
BYTES_PER_PART = 1 << 30
"""What one part is meant to hold: minutes of work at the slowest rates that were measured."""


@dataclass(frozen=True)
class Plan:
    """What is to be copied.

    Attributes:
        window: the rows.
        whole: the same, as the source is asked for them, before it is split.
        columns: the columns to copy.
        keys: the key columns at the source, for upsert.
        target: where to.
        load_type: a first load or full copy, or an increment.
        parts: into how many parts it should be split at most.
        info: the table as its source described it.
        nulls: rows that the window leaves out because their incremental column is null.
    """

    window: Window
    whole: Slice
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    target: Target
    load_type: LoadType
    parts: int
    info: TableInfo
    nulls: int


def check_unchanged(table: TableCopy, state: TableState) -> None:
    """Refuses to go on from a watermark that belongs to another definition.

    Raises:
        ConfigError: the incremental column, filter, patterns, query or destination changed since
            the load.
    """
    if table.mode == "full" or not state.loaded:
        return
    for what, was, now in (
        ("incremental column", state.incremental_column, table.incremental_column or ""),
        ("filter", _text(state.filter), _text(table.filter)),
        ("patterns to include", ", ".join(state.include), ", ".join(table.include)),
        ("patterns to exclude", ", ".join(state.exclude), ", ".join(table.exclude)),
        ("query", state.query, table.query),
        ("destination", state.destination, table.destination),
    ):
        if was != now:
            raise _changed(what, was, now, table)


def _text(conditions: tuple[Condition, ...]) -> str:
    return " and ".join(f"{c.column} {c.op} {c.value or ''}".strip() for c in conditions)


def _changed(what: str, was: str | None, now: str | None, table: TableCopy) -> ConfigError:
    return ConfigError(
        f"the {what} changed from {was or 'none'} to {now or 'none'}; the watermark so far says"
        " nothing about it",
        fix=f"Load the table anew: copyjob reset JOBFILE --table '{table.source}'"
        " (with --truncate to empty the destination)",
        code="definition-changed",
    )


def appends_whole(table: TableCopy) -> bool:
    """Whether each run appends all rows once more, which none may do twice."""
    return (table.mode, table.write) == ("full", "append")


def appended_whole(table: TableCopy, state: TableState, run_id: str) -> bool:
    """Whether a run, or one that it goes on with, has appended the whole table already: that one
    may have died before this was recorded, or only been asleep.
    """
    committed = state.loaded and state.pending is None
    return appends_whole(table) and committed and same_chain(state.owner, run_id)


def unsettled(table: TableCopy, plan: Plan, now: datetime) -> float:
    """For how many seconds more rows with the newest value may come, which no later window would
    see; 0 where the job allows for late rows itself, and where whoever gives the times, of files
    and versions, has closed them.

    Args:
        table: the table's definition.
        plan: what is to be copied.
        now: as for `Watermark.unsettled`.
    """
    high = plan.window.high
    allowed = table.lookback or table.delay
    if high is None or allowed or plan.info.hides(plan.window.column):
        return 0.0
    return high.unsettled(now)


def watermark_column(table: TableCopy, info: TableInfo) -> str:
    """The incremental column of a table whose mode is incremental.

    Raises:
        ConfigError: the column cannot serve.
    """
    column = table.incremental_column or ""
    chosen(info, table)
    if column not in info.watermarks:
        kind = info.nameable.field(column).type
        able = ", ".join(sorted(info.watermarks)) or "no column of this table"
        raise ConfigError(
            f"a column of type {kind} cannot be an incremental column",
            fix=f"Use an integer, decimal, date, time or rowversion column: {able}",
            code="watermark-type",
            column=column,
        )
    return column


def window_for(
    table: TableCopy, state: TableState, column: str, newest: Watermark | None
) -> Window | None:
    """The window that an incremental copy reads next; None when nothing is new."""
    try:
        return next_window(
            column,
            state.watermark,
            newest,
            first=not state.loaded,
            nulls=table.nulls,
            lookback=table.lookback,
            delay=table.delay,
        )
    except ConfigError as e:
        raise e.at(column=column) from None


def adopt(table: TableCopy, state: TableState, ledger: Published | None) -> TableState:
    """The state as the destination's ledger knows it, when the ledger is ahead: the state was
    lost or restored from an old copy, or a run died between its publish and its commit.

    Raises:
        ConfigError: the destination lacks commits that the watermark counts on, or speaks of
            another incremental column.
    """
    if ledger is not None and ledger.sequence > state.sequence:
        update: dict[str, object] = {"sequence": ledger.sequence, "pending": None}
        if table.mode == "incremental" and not state.forget:
            # After a full copy (no column) nobody knows up to where its rows are.
            if ledger.column != table.incremental_column:
                raise _changed("incremental column", ledger.column, table.incremental_column, table)
            update |= {
                "watermark": ledger.watermark,
                "loaded": True,
                "truncate": False,
                "incremental_column": table.incremental_column or "",
                "hidden": False,
                "filter": table.filter,
                "include": table.include,
                "exclude": table.exclude,
                "query": table.query,
                "destination": table.destination,
            }
        return state.model_copy(update=update)
    incremental = table.mode == "incremental" and state.loaded
    if incremental and (ledger is None or ledger.sequence < state.sequence):
        have = ledger.sequence if ledger else "none"
        raise ConfigError(
            f"the destination's ledger has {have} of the {state.sequence} commits that the"
            " watermark counts on: the table was dropped, replaced or restored",
            fix=f"Load the table anew: copyjob reset JOBFILE --table '{state.table}'",
            code="destination-lost",
        )
    return state


def make_plan(
    job: Job,
    table: TableCopy,
    info: TableInfo,
    state: TableState,
    window: Window | None,
    *,
    nulls: int,
    objects: bool = False,
) -> Plan:
    """Puts a plan together.

    Args:
        job: the job.
        table: the table's definition.
        info: the table as its source describes it.
        state: its state, after `adopt`.
        window: the rows to copy; None means all of them (a full copy).
        nulls: rows that the window leaves out because their incremental column is null.
        objects: whether whole objects are copied, not rows.

    Raises:
        ConfigError: columns that do not exist or are not copied though needed; no key for upsert.
    """
    columns = chosen(info, table)
    keys = table.keys or (info.keys if table.write == "upsert" else ())
    if table.write == "upsert" and not keys:
        raise ConfigError(
            "an upsert needs to know what identifies a row, and the source has no primary key",
            fix="Name the key columns: `keys: [id]`",
            code="keys-missing",
        )
    if table.mode == "incremental" and state.loaded and state.keys not in ((), keys):
        raise _changed("keys", ", ".join(state.keys), ", ".join(keys), table)
    copied = {column.name for column in columns}
    order_by = table.incremental_column or ""
    target = Target(
        job=job.name,
        table=table.source,
        object=table.destination,
        sequence=state.sequence + 1,
        write="overwrite" if state.truncate and table.write != "upsert" else table.write,
        columns=tuple(
            (name, kind, null)
            for name, kind, null in schema_to_json(
                mapped_schema(info.nameable, columns, table.audit)
            )
        ),
        keys=tuple(destination_name(columns, key) for key in keys),
        order_by=destination_name(columns, order_by) if order_by in copied else "",
        drift=table.drift,
        truncate=state.truncate and table.write == "upsert",
        lengths={
            column.rename or column.name: info.lengths[column.name]
            for column in columns
            if column.name in info.lengths and not column.cast
        },
        pre_copy_sql=table.pre_copy_sql,
        post_copy_sql=table.post_copy_sql,
        partition_by=table.partition_by,
        objects=objects,
        flatten=table.hierarchy == "flatten",
        delete_source=table.delete_source,
    )
    _check_partitions(target)
    first = window is None or not state.loaded
    read = tuple(dict.fromkeys(column.name for column in columns))
    window = window or EVERYTHING
    return Plan(
        window=window,
        whole=Slice(
            object=table.source,
            columns=read,
            window=window,
            filter=table.filter,
            snapshot=info.snapshot,
            query=info.query,
            include=table.include,
            exclude=table.exclude,
            again=table.write == "upsert",
        ),
        columns=columns,
        keys=keys if table.write == "upsert" else (),
        target=target,
        load_type="full" if first else "incremental",
        parts=_part_count(table.parts, info, first=first),
        info=info,
        nulls=nulls,
    )


def _check_partitions(target: Target) -> None:
    """Refuses folders by the values of columns that do not arrive."""
    arriving = [name for name, _, _ in target.columns]
    for column in target.partition_by:
        if column not in arriving:
            raise ConfigError(
                "rows are to be sorted into folders by this column, and it is not copied",
                fix=near(column, arriving),
                code="column-not-copied",
                column=column,
            )


def sized(plan: Plan, rows: int | None) -> Plan:
    """The plan of an increment of about `rows` rows, in as many parts as that takes."""
    return replace(plan, parts=max(1, -(-(rows or 0) // ROWS_PER_PART)))


def _part_count(asked: int | None, info: TableInfo, *, first: bool) -> int:
    """As many parts as the job asks for; else by the table's size, and one for an increment,
    whose size nobody knows yet and which is small as a rule.
    """
    if asked is not None:
        return asked
    if not first:
        return 1
    return max(1, -(-(info.rows or 0) // ROWS_PER_PART), -(-(info.bytes or 0) // BYTES_PER_PART))
