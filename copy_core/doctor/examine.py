"""Tries a connection: its options, then what a job reads from it, then what a job writes to it.

A check that fails tells why and what to change, and those that still make sense go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors import registry
from copy_core.doctor.reading import try_reading
from copy_core.doctor.writing import try_writing
from copy_core.secrets import references, resolve

if TYPE_CHECKING:
    from copy_core.connectors.options import Connection
    from copy_core.doctor.checks import Checks
    from copy_core.job import Job, TableCopy


class Use(NamedTuple):
    """How a connection is used.

    Attributes:
        reads: whether it is read from.
        writes: whether it is written to.
        table: the table to look at, by its name at the source; the first one there when None.
        copied: how a job copies that table, if one does.
        ledger: job, table and destination table whose ledger to look for.
    """

    reads: bool = True
    writes: bool = True
    table: str | None = None
    copied: TableCopy | None = None
    ledger: tuple[str, str, str] = ("copyjob-doctor", "copyjob_doctor", "copyjob_doctor")


def use_of(job: Job | None, connection: str, table: str | None) -> Use:
    """How a connection is to be tried: as its job uses it, in any way if there is none.

    Args:
        job: the job, if there is one.
        connection: the connection's name.
        table: the table that somebody asks for; else the first that the job reads from there.
    """
    if job is None or connection not in (job.source, job.destination):
        return Use(table=table)
    reads = job.source == connection
    copied = next((t for t in job.tables if reads and table in (None, t.source)), None)
    first = job.tables[0]
    return Use(
        reads=reads or table is not None,
        writes=job.destination == connection,
        table=table or (copied.source if copied else None),
        copied=copied,
        ledger=(job.name, first.source, first.destination),
    )


def examine(connection: Connection, use: Use, checks: Checks, *, write: bool) -> None:
    """Makes all checks of a connection.

    Args:
        connection: the connection.
        use: how it is used.
        checks: makes them.
        write: whether to write as well: a table of its own, which goes again.
    """
    if checks.run("options", lambda: _options(connection)) is None:
        return
    if use.reads:
        try_reading(connection, use.table, use.copied, checks)
    if write:
        try_writing(connection, checks)
    elif use.writes:
        checks.run("ledger", lambda: _ledger(connection, use))


def _options(connection: Connection) -> str:
    """Sees to it that every secret is set."""
    text = connection.model_dump_json()
    resolve(text)
    names = dict.fromkeys(references(text))
    return "; ".join([f"type {connection.type}", *(f"{name} is set" for name in names)])


def _ledger(connection: Connection, use: Use) -> str:
    with registry.open_destination(connection) as destination:
        found = destination.last_commit(*use.ledger)
    name = use.ledger[2]
    if found is None:
        return f"reached; nothing was committed to {name} yet"
    return f"reached; {name} is at sequence {found.sequence}"
