"""Moves the rows of one part from the source to where the destination stages them.

Rows flow nowhere else: read, mapped and staged batch by batch, counted at both ends.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from copy_core import allocator
from copy_core.connectors import registry
from copy_core.context import Progress
from copy_core.errors import TerminalError
from copy_core.mapping import audit_values, map_batch
from copy_core.pipe import read_ahead
from copy_core.schema import schema_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from copy_core.context import Context
    from copy_core.state.tables import Part, Pending

# Here, since whoever copies imports this before it starts the threads that do.
allocator.share_heap()


def transfer(context: Context, pending: Pending, part: Part) -> Part:
    """Stages a part.

    Args:
        context: the run's job, connections, progress and check.
        pending: the window that the part belongs to.
        part: what to read.

    Returns:
        The part with where its rows wait, and what was counted.

    Raises:
        TerminalError: not all rows that were read were staged, or a value does not fit.
        Cancelled: the run was asked to stop.
    """
    if pending.target.objects:
        from copy_core.transfer_objects import transfer_objects

        return transfer_objects(context, pending, part)
    job, counts = context.job, _Counts()
    with (
        registry.open_source(context.connection(job.source)) as source,
        registry.open_destination(context.connection(job.destination)) as destination,
        # Closed first: no thread may be inside the source's library when that is closed.
        closing(read_ahead(source.read(part.slice, job.limits.batch_rows))) as batches,
    ):
        files = source.count_files(part.slice)
        rows = _mapped(context, pending, batches, counts)
        staged = destination.stage(pending.target, part.number, rows)
        rejected = source.rejected
    if staged.rows != counts.rows:
        raise TerminalError(
            f"{counts.rows} rows were read but {staged.rows} were staged",
            fix="Nothing was published; run again, and report this if it stays",
            code="count-mismatch",
        )
    return part.model_copy(
        update={
            "staged": staged,
            "rows_read": counts.rows,
            "bytes_read": counts.bytes,
            "files_read": files,
            "rows_rejected": rejected,
        }
    )


class _Counts:
    """Rows and bytes that left the source."""

    rows = 0
    bytes = 0


def _mapped(
    context: Context, pending: Pending, batches: Iterator[pa.RecordBatch], counts: _Counts
) -> Iterator[pa.RecordBatch]:
    """The batches as the destination wants them, counted as they pass."""
    stage = schema_from_json(pending.stage_columns)
    audit = audit_values(
        pending.table.audit,
        run_id=pending.run_id,
        job=context.job.name,
        table=pending.target.table,
        extracted_at=pending.planned_at,
        window=pending.window,
    )
    for batch in batches:
        context.check()
        counts.rows += batch.num_rows
        counts.bytes += batch.nbytes
        yield map_batch(batch, pending.columns, audit, stage)
        context.observe(Progress(pending.target.table, "batch", batch.num_rows, batch.nbytes))
