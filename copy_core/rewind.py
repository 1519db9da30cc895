"""Moves a table's watermark by hand: back, to copy rows again, or forward, to pass rows over."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

from copy_core.decimals import exact_cast
from copy_core.errors import ConfigError, CopyJobError, TerminalError
from copy_core.plan import watermark_column
from copy_core.selection import selected
from copy_core.state import lease, process, tables
from copy_core.watermark import Watermark

if TYPE_CHECKING:
    from copy_core.connectors.base import Source, TableInfo
    from copy_core.job import Job, TableCopy
    from copy_core.state.base import StateStore
    from copy_core.state.tables import TableState

_LEASE_S = 60.0


def rewind(
    store: StateStore,
    job: Job,
    name: str,
    value: str,
    source: Source,
    *,
    holder: str = "copyjob",
) -> TableState:
    """Sets the watermark of a table; the next run copies the rows above it.

    A pending window is dropped. The destination is not touched: under `append`, rows that are
    copied again are there twice.

    Args:
        store: where the job's state is.
        job: the job.
        name: the table, by its name at the source.
        value: the watermark, in the text format of the column's own values.
        source: the job's source.
        holder: who holds the job meanwhile, for people.

    Returns:
        What is now known of the table.

    Raises:
        ConfigError: the job has no such table, it is not copied incrementally, or the value is
            none of its incremental column; nothing was changed.
        ConflictError: a run holds the job.
        TransientError: the source does not answer.
    """
    [wanted] = selected(job, [name])
    table = next(t for t in job.tables if t.source == wanted)
    try:
        watermark = _watermark(table, value.strip(), source)
    except CopyJobError as e:
        raise e.at(job=job.name, table=name, connection=job.source) from None
    me = lease.Owner(run_id=f"rewind-{token_hex(3)}", holder=holder, process=process.this())
    lease.claim(store, job.name, _LEASE_S, me)
    try:
        old, etag = tables.load(store, job.name, name)
        new = _rewound(old, table, watermark, me.run_id)
        tables.save(store, job.name, new, etag)
        return new
    finally:
        lease.release(store, job.name, me.run_id)


def _rewound(old: TableState, table: TableCopy, watermark: Watermark, owner: str) -> TableState:
    return tables.TableState(
        table=old.table,
        sequence=old.sequence,
        watermark=watermark,
        # Before the first commit nothing is there yet, and the ledger is not expected to know.
        loaded=old.sequence > 0,
        truncate=old.truncate,
        # A run that only sleeps may still publish, and the ledger would then say otherwise.
        forget=True,
        incremental_column=table.incremental_column or "",
        keys=old.keys,
        filter=table.filter,
        include=table.include,
        exclude=table.exclude,
        query=table.query,
        destination=table.destination,
        leftover=old.leftover,
        owner=owner,
    )


def _watermark(table: TableCopy, value: str, source: Source) -> Watermark:
    """The value as a watermark that the source has tried."""
    if table.mode != "incremental":
        raise ConfigError(
            "the table is copied in full each time, so it has no watermark",
            fix="Use `mode: incremental`, or reset the table",
            code="no-watermark",
        )
    info = source.describe(table.source, table.query)
    column = watermark_column(table, info)
    try:
        watermark = Watermark(kind=info.watermarks[column], value=_typed(info, column, value))
        watermark.position()
        # The source compares with it as the next run will, and says what it cannot compare.
        source.newest(info, column, watermark)
    except TerminalError as e:
        if e.code != "watermark-value":
            raise  # it is not about the value
        raise ConfigError(
            f"'{value}' cannot be the watermark: {e.what}",
            fix="Write it exactly as the column's own values are written",
            code="watermark-value",
            column=column,
        ) from e
    return watermark


def _typed(info: TableInfo, column: str, value: str) -> str:
    """The text of a value that fits the column's type; numbers as the type writes them.

    Raises:
        TerminalError: it does not fit.
    """
    import pyarrow as pa

    if column not in info.nameable.names:
        return value
    kind = info.nameable.field(column).type
    try:
        scalar = exact_cast(pa.array([value]), kind)[0]
    except pa.ArrowException as e:
        raise TerminalError(
            f"it does not fit the column's type {kind}", code="watermark-value"
        ) from e
    number = pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    return str(scalar.cast(pa.string()).as_py()) if number else value
