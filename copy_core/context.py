"""What the steps of a run work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from copy_core.connectors import registry
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination, Source
    from copy_core.connectors.options import Connection
    from copy_core.job import Job, TableCopy
    from copy_core.model import TableResult
    from copy_core.state.base import StateStore
    from copy_core.state.process import Process


@dataclass(frozen=True)
class Progress:
    """What a step tells while it works.

    Attributes:
        table: the table.
        event: `planned`, `batch`, `part`, `published` or `committed`.
        rows: rows of the event: expected ones when planned, else rows that went through.
        bytes: their size in memory.
        files: objects of the event likewise, where whole objects are copied.
    """

    table: str
    event: str
    rows: int = 0
    bytes: int = 0
    files: int = 0


@dataclass
class Context:
    """What the steps of a run work with.

    Attributes:
        job: the job.
        connections: the connections that the job may name.
        store: the state store.
        observe: is told of progress, from any thread.
        ended: is told of each table that ended, with its number in the run, from any thread.
        check: raises when the run must not go on (`Cancelled`, or `ConflictError` when its lease
            is lost); called between batches.
        holder: what holds the job's lease, for people.
        process: the process that the run dies with; None where any worker may carry it on.
        lease_s: seconds for which a run that went silent keeps its job.
    """

    job: Job
    connections: Mapping[str, Connection]
    store: StateStore
    observe: Callable[[Progress], None] = lambda _: None
    ended: Callable[[int, TableResult], None] = lambda _number, _result: None
    check: Callable[[], None] = lambda: None
    holder: str = "copyjob run"
    process: Process | None = None
    lease_s: float = 60.0

    def table(self, name: str) -> TableCopy:
        """The definition of a table; ConfigError when the job no longer has it."""
        for table in self.job.tables:
            if table.source == name:
                return table
        raise ConfigError(
            "the job has no such table",
            fix=f"It has {', '.join(t.source for t in self.job.tables[:20])}",
            code="table-unknown",
            job=self.job.name,
            table=name,
        )

    def connection(self, name: str) -> Connection:
        """A connection by its name; ConfigError when there is none."""
        if name not in self.connections:
            raise ConfigError(
                f"there is no connection '{name}'",
                fix=f"Define it, or use one of {', '.join(sorted(self.connections)) or 'none yet'}",
                code="connection-unknown",
                job=self.job.name,
            )
        return self.connections[name]


class Ends(ExitStack):
    """A job's source and destination, each opened when it is first needed, closed at the end.

    Args:
        context: the job and its connections.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    @cached_property
    def source(self) -> Source:
        context = self._context
        return self.enter_context(registry.open_source(context.connection(context.job.source)))

    @cached_property
    def destination(self) -> Destination:
        context = self._context
        connection = context.connection(context.job.destination)
        return self.enter_context(registry.open_destination(connection))
