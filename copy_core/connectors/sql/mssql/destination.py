"""Writes tables of SQL Server: bulk copy into staging tables, then one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from copy_core.connectors.base import Destination, DestinationCapabilities, check_keys
from copy_core.connectors.sql.mssql import (
    bulk,
    catalog,
    ledger,
    publish,
    staging,
    statements,
    target_table,
)
from copy_core.connectors.sql.mssql.db import Database
from copy_core.connectors.sql.mssql.ledger import Ledger
from copy_core.errors import CopyJobError, TerminalError
from copy_core.model import Published, Staged

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.options import MssqlOptions
    from copy_core.model import Commit, Target


class MssqlDestination(Destination):
    """Tables of a database. Staging tables and ledger lie in the schema of their table.

    The login needs the right to create tables, and ALTER, SELECT, INSERT, UPDATE and DELETE on
    the schema.
    """

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite"}), runs_sql=True
    )

    def __init__(self, options: MssqlOptions) -> None:
        self._options = options
        self._open: Database | None = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _db(self) -> Database:
        if self._open is None:
            self._open = Database(self._options)
        return self._open

    def prepare(self, target: Target) -> pa.Schema:
        try:
            return self._prepare(target)
        except CopyJobError as e:
            raise e.at(table=target.object) from None

    def _prepare(self, target: Target) -> pa.Schema:
        target_table.check_place(self._db, target)
        name, table, layout = target_table.look(self._db, target)
        check_keys(target, layout.schema)
        # Creating the ledger also shows whether tables may be created.
        ledger.ensure(self._db, name.schema)
        if table is not None:
            target_table.grow(self._db, name, layout.added, target)
            if target.write == "upsert":
                target_table.need_unique(self._db, table, target.keys)
        return layout.schema

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        place, _, layout = target_table.look(self._db, target)
        into = staging.new_name(target, place.schema, part)
        self._db.run(statements.create(into, layout.definitions))
        passing = _Counted(batches)
        try:
            loaded = bulk.load(self._options, into, layout.staged, passing)
        except CopyJobError as e:
            if e.where.get("table") == into.text:
                if e.code == "table-missing" and catalog.find_table(self._db, into) is None:
                    raise _gone(target) from e
                e.where["table"] = target.object  # the other one means nothing to people
            raise
        if loaded != passing.rows:
            raise TerminalError(
                f"{passing.rows} rows were sent, and the server took {loaded}",
                fix="Run the job again; nothing was published",
                code="count-mismatch",
                table=target.object,
            )
        ref = {"table": into.table, "columns": layout.schema.names}
        return Staged(part=part, rows=loaded, bytes=passing.bytes, ref=ref)

    def publish(self, commit: Commit) -> Published:
        return publish.publish(self._db, commit)

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        found = target_table.spelled(self._db, name)
        return Ledger(self._db, job, table, found).newest() if found else None

    def clean(self, target: Target) -> None:
        staging.clean(self._db, target, target_table.named(self._db, target.object).schema)


class _Counted(Iterator["pa.RecordBatch"]):
    """Batches that pass by, counted."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self.rows = self.bytes = 0

    def __next__(self) -> pa.RecordBatch:
        batch = next(self._batches)
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        return batch


def _gone(target: Target) -> TerminalError:
    return TerminalError(
        "another run has removed what this one stages",
        fix="Let the other run finish; it copies the same rows",
        code="staged-missing",
        table=target.object,
    )
