"""A table on trial: prepared, written, read back, changed and removed, as a run would do it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors import registry
from copy_core.connectors.discard import discard
from copy_core.doctor import rows
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import Column, WriteMode
from copy_core.mapping import map_batch
from copy_core.model import Commit, Published, Slice, Staged, Target
from copy_core.schema import schema_to_json

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.base import Destination
    from copy_core.connectors.options import Connection

_JOB = "copyjob-doctor"
_BATCH_ROWS = 1_000


class Prepared(NamedTuple):
    """What a destination takes.

    Attributes:
        columns: the columns that may be sent.
        refused: the others, and why it does not take them.
    """

    columns: list[str]
    refused: dict[str, str]


class Trial:
    """A table of our own at a connection.

    Args:
        connection: where it is.
        destination: the same, opened.
        name: the table's name; no other table has it.
    """

    def __init__(self, connection: Connection, destination: Destination, name: str) -> None:
        self.name = name
        self._connection, self._destination = connection, destination
        self._columns = rows.of([]).column_names
        self._holds: pa.Table = rows.of([])

    def prepare(self, write: WriteMode) -> Prepared:
        """Finds out which columns the destination takes; only these are sent from then on.

        Raises:
            ConfigError: it refuses more than columns.
        """
        refused: dict[str, str] = {}
        while True:
            try:
                self._destination.prepare(self._target(1, write))
            except ConfigError as e:
                column = e.where.get("column", "")
                if column == rows.KEY or column not in self._columns:
                    raise
                refused[column] = e.what
                self._columns = [name for name in self._columns if name != column]
            else:
                self._holds = rows.of([]).select(self._columns)
                return Prepared(self._columns, refused)

    def stage(self, sequence: int, write: WriteMode, arriving: pa.Table) -> Commit:
        """Stages rows as one part.

        Returns:
            What publishes them.

        Raises:
            TerminalError: not all of them were staged.
        """
        target = self._target(sequence, write)
        schema = self._destination.prepare(target)
        columns = tuple(Column(name=name) for name in self._columns)
        batches = (map_batch(batch, columns, {}, schema) for batch in arriving.to_batches())
        staged: Staged = self._destination.stage(target, 0, batches)
        if staged.rows != arriving.num_rows:
            raise TerminalError(
                f"{arriving.num_rows} rows were sent but {staged.rows} were staged",
                fix="Please report this",
                code="count-mismatch",
            )
        return Commit(target=target, watermark=None, staged=(staged,))

    def publish(self, commit: Commit, arriving: pa.Table) -> Published:
        """Publishes what was staged of these rows."""
        published = self._destination.publish(commit)
        arriving = arriving.select(self._columns)
        self._holds = rows.after(commit.target.write, self._holds, arriving)
        return published

    def compare(self) -> str:
        """Reads the table back, by the same connector.

        Raises:
            TerminalError: it does not hold what was written, each row once.
        """
        with registry.open_source(self._connection) as source:
            info = source.describe(self.name)
            columns = tuple(info.schema.names)
            whole = Slice(object=info.object, columns=columns, snapshot=info.snapshot)
            found = _table(source.read(whole, _BATCH_ROWS), info.schema)
        rows.compare(self._holds, found)
        return f"{self._holds.num_rows} rows, every value as it was written"

    def publish_again(self, commit: Commit, published: Published) -> str:
        """Publishes once more, as a run does when the answer was lost: nothing may change.

        Raises:
            TerminalError: the ledger tells another story, or rows are there twice.
        """
        target = commit.target
        told = self._destination.publish(commit)
        known = self._destination.last_commit(target.job, target.table, target.object)
        if not told == known == published:
            raise TerminalError(
                "the ledger does not tell of the commit what was told when it was made",
                fix="Make sure that nothing else writes there, and please report this",
                code="ledger-differs",
            )
        self.compare()
        return "nothing was doubled, and the ledger knows"

    def write(self, sequence: int, write: WriteMode, arriving: pa.Table) -> str:
        """All of the above in another write mode."""
        self.publish(self.stage(sequence, write, arriving), arriving)
        return self.compare()

    def remove(self, sequence: int, write: WriteMode) -> str:
        """Removes the table, what is staged for it up to a sequence, and its record."""
        target = self._target(sequence, write)
        try:
            self._destination.clean(target)
        finally:
            discard(self._connection, target)
        return "the table is gone, and its record in the ledger"

    def _target(self, sequence: int, write: WriteMode) -> Target:
        schema = rows.of([]).select(self._columns).schema
        return Target(
            job=_JOB,
            table=self.name,
            object=self.name,
            sequence=sequence,
            write=write,
            columns=tuple((name, kind, null) for name, kind, null in schema_to_json(schema)),
            keys=(rows.KEY,) if write == "upsert" else (),
        )


def _table(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(batches, schema=schema)
