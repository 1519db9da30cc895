"""Publishes a sequence in one commit, whoever else writes to the table meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping

import pyarrow as pa
from deltalake import DeltaTable

from copy_core.connectors.delta import commits, partitions, staging
from copy_core.connectors.delta.columns import Fit, fit
from copy_core.connectors.delta.ledger import Ledger
from copy_core.connectors.delta.merge import Arrivals
from copy_core.connectors.delta.parquet import Written
from copy_core.connectors.delta.protocol import takes_files
from copy_core.connectors.delta.rows import DataFile, Rows, Span
from copy_core.connectors.delta.scan import Scan
from copy_core.connectors.delta.storage import Lake
from copy_core.errors import CopyJobError, TransientError
from copy_core.job import WriteMode
from copy_core.model import Commit, Published

# A publisher that others keep overtaking gives way after so many attempts; the run tries again. Of
# eight that upsert all the time, some lose twelve times in a row. A pause that grew would have
# those lose again that have lost most.
_ATTEMPTS = 40
_PAUSE_S = 0.1
_BATCH = 65_536


class Publisher:
    """Publishes one commit.

    The commit carries the ledger's `txn` action. delta-rs rebases a commit onto those that others
    made meanwhile, but never onto one with the same transaction id. What depends on the rows of
    the table (any overwrite, upsert, its creation) is not rebased at all: it is done again.

    Nothing is removed after a failure: a commit whose answer got lost may have succeeded.
    """

    def __init__(
        self, lake: Lake, ledger: Ledger, commit: Commit, properties: Mapping[str, str]
    ) -> None:
        """A commit, and the properties of the table if it has to be made."""
        self._lake, self._ledger, self._commit = lake, ledger, commit
        self._properties = properties
        self._target = commit.target
        self._files = lake.files(self._target.object)
        self._stem = staging.stem(ledger, self._target.sequence, "upsert")
        self._arrivals: Arrivals | None = None
        self._newest_files: list[Written] = []

    def run(self) -> Published:
        """Publishes, or returns the record of the attempt that did."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._attempt()
            except TransientError as e:
                if e.code != "commit-conflict" or attempt == _ATTEMPTS:
                    raise
            time.sleep(_PAUSE_S * random.random())
        raise AssertionError

    def _attempt(self) -> Published:
        """Publishes into the table as it is now."""
        target, ledger = self._target, self._ledger
        table = self._lake.open(target.object)
        if table is not None and ledger.sequence(table) >= target.sequence:
            return ledger.record(table)
        shape = fit(target, table)
        staged = staging.check(self._files, self._commit, shape)
        if table is not None and shape.added:
            table = self._widened(table, shape.added)
        arriving = self._newest(staged, shape)
        published = self._record(arriving)
        ledger.note(published, -1 if table is None else table.version())
        if target.truncate:
            # The newest row of each key is chosen: nothing of what is there has to be merged with.
            target = target.model_copy(update={"write": "overwrite"})
        # Only a plain append holds whatever others have written meanwhile.
        appends = table is not None and target.write == "append"
        how = commits.How(
            commit_properties=ledger.properties(published, retries=None if appends else 0),
            post_commithook_properties=self._lake.hooks,
        )
        if table is None:
            commits.create(self._lake, target, shape.schema, self._properties, arriving, how)
        elif takes_files(table, target.write):
            removed, kept = self._replaced(table, target.write, arriving)
            commits.files(table, target.write, [*arriving, *kept], removed, how)
        else:
            commits.rows(table, target, self._batches(arriving, shape.schema), how)
        return published

    def _widened(self, table: DeltaTable, fields: list[pa.Field]) -> DeltaTable:
        """The table with new columns, added here or by somebody who was faster."""
        try:
            commits.add_columns(table, fields, self._lake.hooks)
        except CopyJobError:
            table = self._lake.open(self._target.object) or table
            if not {field.name for field in fields} <= {f.name for f in table.schema().fields}:
                raise
        return table

    def _newest(self, staged: list[Written], shape: Fit) -> list[Written]:
        """The files to make visible: those staged, for an upsert with the newest rows only."""
        if self._target.write != "upsert":
            return staged
        if self._arrivals is None:
            self._arrivals = Arrivals(self._files, staged, shape, self._target)
            self._newest_files = self._arrivals.written(self._stem)
        return self._newest_files

    def _replaced(
        self, table: DeltaTable, write: WriteMode, arriving: list[Written]
    ) -> tuple[list[DataFile], list[Written]]:
        """The files that are replaced, and what an upsert keeps of them."""
        if not arriving or write not in ("upsert", "overwrite_partitions"):
            return [], []
        scan = Scan(self._lake, self._target.object, table)
        if self._arrivals is not None:
            return self._arrivals.rewrite(scan, f"{self._stem}-{table.version()}")
        touched = {frozenset(file.partition.items()) for file in arriving}
        there = ((file, partitions.as_logged(file.partition)) for file in scan.files)
        return [file for file, values in there if frozenset(values.items()) in touched], []

    def _batches(self, files: list[Written], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        rows = Rows(self._files, self._target.object, schema)
        spans = map(Span, staging.data_files(self._files, files, schema))
        yield from rows.read(spans, schema.names, _BATCH)

    def _record(self, arriving: list[Written]) -> Published:
        return self._commit.published(
            rows=sum(file.rows for file in arriving),
            superseded=self._arrivals.superseded if self._arrivals else 0,
            files=len(arriving),
            bytes=sum(file.size for file in arriving),
        )
