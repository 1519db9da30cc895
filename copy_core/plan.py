"""Which rows of a table a run copies: from its definition, its state and facts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError
from copy_core.mapping import chosen, destination_name, mapped_schema
from copy_core.model import Slice, Target
from copy_core.schema import schema_to_json
from copy_core.watermark import EVERYTHING, Watermark, Window, next_window

if TYPE_CHECKING:
    from copy_core.connectors.base import DestinationCapabilities, SourceCapabilities, TableInfo
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


def check_offered(
    table: TableCopy,
    state: TableState,
    source: SourceCapabilities,
    destination: DestinationCapabilities,
) -> None:
    """Holds a definition, and a reset that truncates, against what the two connectors offer.

    Raises:
        ConfigError: the destination lacks the write mode or SQL, the source incremental copies or
            queries.
    """
    if state.truncate and "overwrite" not in destination.modes:
        raise ConfigError(
            "the table was reset with --truncate, and the destination does not offer overwriting",
            fix="Reset it without --truncate, and empty the destination by other means",
            code="mode-not-offered",
        )
    if table.write not in destination.modes:
        raise ConfigError(
            f"the destination does not offer `write: {table.write}`",
            fix=f"Use one of {', '.join(sorted(destination.modes))}",
            code="mode-not-offered",
        )
    if table.mode == "incremental" and not source.incremental:
        raise ConfigError(
            "the source does not offer incremental copies",
            fix="Use `mode: full`",
            code="mode-not-offered",
        )
    if table.query and not source.queries:
        raise ConfigError(
            "the source does not take queries",
            fix="Leave `query` out, and name a table or view in `source`",
            code="query-not-offered",
        )
    if (table.pre_copy_sql or table.post_copy_sql) and not destination.runs_sql:
        raise ConfigError(
            "the destination does not run SQL statements",
            fix="Leave `pre_copy_sql` and `post_copy_sql` out",
            code="sql-not-offered",
        )


def check_unchanged(table: TableCopy, state: TableState) -> None:
    """Refuses to go on from a watermark that belongs to another definition.

    Raises:
        ConfigError: the incremental column, filter, query or destination changed since the load.
    """
    if table.mode == "full" or not state.loaded:
        return
    for what, was, now in (
        ("incremental column", state.incremental_column, table.incremental_column or ""),
        ("filter", _text(state.filter), _text(table.filter)),
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


def check_copyable(table: TableCopy, info: TableInfo) -> None:
    """Holds the columns that a job asks for against those whose type can be copied.

    Raises:
        ConfigError: one of them cannot be copied; names it.
    """
    asked = {*table.keys, *(c.column for c in table.filter), table.incremental_column}
    asked.update(info.uncopyable if table.columns is None else (c.name for c in table.columns))
    for column, why in info.uncopyable.items():
        if column in asked:
            raise ConfigError(
                why,
                fix="Leave it out: name the columns to copy in `columns`; or turn it into text at"
                " the source",
                code="unknown-type",
                column=column,
            )


def watermark_column(table: TableCopy, info: TableInfo) -> str:
    """The incremental column of a table whose mode is incremental.

    Raises:
        ConfigError: the column cannot serve.
    """
    column = table.incremental_column or ""
    chosen(info.schema, table)
    if column not in info.watermarks:
        kind = info.schema.field(column).type
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
                "filter": table.filter,
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
) -> Plan:
    """Puts a plan together.

    Args:
        job: the job.
        table: the table's definition.
        info: the table as its source describes it.
        state: its state, after `adopt`.
        window: the rows to copy; None means all of them (a full copy).
        nulls: rows that the window leaves out because their incremental column is null.

    Raises:
        ConfigError: columns that do not exist or are not copied though needed; no key for upsert.
    """
    columns = chosen(info.schema, table)
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
        write="overwrite" if state.truncate and table.write == "append" else table.write,
        columns=tuple(
            (name, kind, null)
            for name, kind, null in schema_to_json(mapped_schema(info.schema, columns, table.audit))
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
    )
    first = window is None or not state.loaded
    read = tuple(column.name for column in columns)
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
        ),
        columns=columns,
        keys=keys if table.write == "upsert" else (),
        target=target,
        load_type="full" if first else "incremental",
        parts=_part_count(table.parts, info, first=first),
        info=info,
        nulls=nulls,
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
