"""Makes a job forget how far tables were copied, so that their next run loads them anew."""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_hex
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError
from copy_core.selection import selected
from copy_core.state import lease, process, tables

if TYPE_CHECKING:
    from copy_core.job import Job
    from copy_core.state.base import StateStore
    from copy_core.state.tables import TableState

_LEASE_S = 60.0


def reset(
    store: StateStore,
    job: Job,
    names: Iterable[str],
    *,
    truncate: bool = False,
    holder: str = "copyjob reset",
) -> list[TableState]:
    """Clears the watermark and the pending window of tables; their sequence goes on.

    The destination is not touched. Without `truncate` the next run's rows come on top of those
    that are there; with it, the next commit replaces them all in one atomic step.

    Args:
        store: where the job's state is.
        job: the job.
        names: the tables, by their names at the source; all of the job when there are none.
        truncate: whether the next commit replaces all rows at the destination.
        holder: who holds the job meanwhile, for people.

    Returns:
        What is now known of each table, in that order.

    Raises:
        ConfigError: the job has no such table, or one that shares its destination with another
            table, whose rows truncating would remove; nothing was changed.
        ConflictError: a run holds the job.
    """
    wanted = selected(job, names)
    if truncate:
        check_alone(job, wanted)
    me = lease.Owner(run_id=f"reset-{token_hex(3)}", holder=holder, process=process.this())
    lease.claim(store, job.name, _LEASE_S, me)
    try:
        return [_reset(store, job.name, name, me.run_id, truncate=truncate) for name in wanted]
    finally:
        lease.release(store, job.name, me.run_id)


def check_alone(job: Job, names: list[str]) -> None:
    """Raises ConfigError when truncating one of the tables would remove another table's rows."""
    destinations = [table.destination.casefold() for table in job.tables]
    for table in job.tables:
        if table.source in names and destinations.count(table.destination.casefold()) > 1:
            raise ConfigError(
                f"other tables of the job are copied into {table.destination} too, and truncating"
                " would remove their rows",
                fix="Empty the destination yourself, then reset all of these tables",
                code="destination-shared",
                job=job.name,
                table=table.source,
            )


def _reset(store: StateStore, job: str, name: str, owner: str, *, truncate: bool) -> TableState:
    old, etag = tables.load(store, job, name)
    new = forgotten(old, owner, truncate=truncate)
    tables.save(store, job, new, etag)
    return new


def forgotten(old: TableState, owner: str, *, truncate: bool) -> TableState:
    """A table's state after a reset by `owner`; see `reset`."""
    return tables.TableState(
        table=old.table,
        sequence=old.sequence,
        truncate=truncate,
        forget=True,
        destination=old.destination,
        # What a dropped window staged stays until the next commit of its sequence: a run that
        # only sleeps may still publish it.
        leftover=old.leftover,
        owner=owner,
    )
