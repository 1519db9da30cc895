"""Writes Delta tables: Parquet files out of sight, then one commit that makes them visible."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyarrow import fs as pafs

from copy_core.connectors.base import Destination, DestinationCapabilities, check_keys
from copy_core.connectors.delta import staging
from copy_core.connectors.delta.columns import fit
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.ledger import Ledger
from copy_core.connectors.delta.parquet import write
from copy_core.connectors.delta.publish import Publisher
from copy_core.connectors.delta.storage import Lake
from copy_core.connectors.options import DeltaOptions
from copy_core.model import Commit, Published, Staged, Target


class DeltaDestination(Destination):
    """Delta tables below a root. Parts may be staged by many processes at once.

    A table that does not exist is made by the first commit. Times without zone are written as UTC
    (see `columns.storable`). Partitioned and constrained tables are written by delta-rs itself,
    from the staged files, with the memory that it takes.
    """

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite"}), parallel_stage=True, counts_files=True
    )

    def __init__(self, options: DeltaOptions) -> None:
        self._lake = Lake(options)

    def prepare(self, target: Target) -> pa.Schema:
        with faults(table=target.object):
            schema = fit(target, self._lake.open(target.object)).schema
            check_keys(target, schema)
            self._lake.check_writable(target.object)
            return schema

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        with faults(table=target.object):
            schema = fit(target, self._lake.open(target.object)).schema
            files, ledger = self._place(target)
            stem = staging.stem(ledger, target.sequence, str(part))
        # An error of `batches` is not this table's: it goes through as it is.
        written = write(files, stem, schema, batches)
        return Staged(
            part=part,
            rows=sum(file.rows for file in written),
            bytes=sum(file.size for file in written),
            ref=staging.reference(written, schema),
        )

    def publish(self, commit: Commit) -> Published:
        with faults(table=commit.target.object):
            _, ledger = self._place(commit.target)
            return Publisher(self._lake, ledger, commit).run()

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        with faults(table=name):
            found = self._lake.open(name)
            ledger = Ledger(self._lake.files(name), job, table)
            return ledger.record(found) if found and ledger.sequence(found) else None

    def clean(self, target: Target) -> None:
        with faults(table=target.object):
            files, ledger = self._place(target)
            staging.clean(files, ledger, self._lake.open(target.object), target.sequence)

    def _place(self, target: Target) -> tuple[pafs.FileSystem, Ledger]:
        files = self._lake.files(target.object)
        return files, Ledger(files, target.job, target.table)
