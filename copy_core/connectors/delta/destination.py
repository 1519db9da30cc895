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
from copy_core.connectors.delta.names import Rule, legal, renames
from copy_core.connectors.delta.onelake import lake_of
from copy_core.connectors.delta.protocol import check_makeable
from copy_core.connectors.delta.publish import Publisher
from copy_core.connectors.delta.upkeep import look_after
from copy_core.connectors.delta.writing import write
from copy_core.connectors.delta_options import DeltaOptions, FabricLakehouseOptions
from copy_core.connectors.delta_table_options import TableOptions
from copy_core.model import Commit, Published, Staged, Target


class DeltaDestination(Destination):
    """Delta tables below a root. Parts may be staged by many processes at once.

    A table that does not exist is made by the first commit. Times without zone are written as UTC
    (see `columns.storable`). Partitioned and constrained tables are written by delta-rs itself,
    from the staged files, with the memory that it takes.
    """

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite", "overwrite_partitions"}),
        parallel_stage=True,
        counts_files=True,
        partitions=True,
    )

    def __init__(self, options: DeltaOptions | FabricLakehouseOptions) -> None:
        self._lake = lake_of(options)
        self._options: TableOptions = options
        self._names: Rule = "any" if isinstance(options, DeltaOptions) else options.names

    def prepare(self, target: Target) -> pa.Schema:
        with faults(table=target.object):
            self._lake.check_writable(target.object)
            named = legal(target, self._names)
            table = self._lake.open(target.object)
            if table is None:
                check_makeable(self._options.made_with, target.object, target.write)
            schema = fit(named, table).schema
            check_keys(named, schema)
            called = {
                new[0]: old[0] for new, old in zip(named.columns, target.columns, strict=True)
            }
            return pa.schema([field.with_name(called[field.name]) for field in schema])

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        with faults(table=target.object):
            named = legal(target, self._names)
            shape = fit(named, self._lake.open(target.object))
            files, ledger = self._place(target)
            stem = staging.stem(ledger, target.sequence, str(part))
        # An error of `batches` is not this table's: it goes through as it is.
        if named is not target:
            called = renames(target, named)
            batches = (b.rename_columns([called[n] for n in b.schema.names]) for b in batches)
        written = write(files, stem, shape.schema, batches, shape.by)
        return Staged(
            part=part,
            rows=sum(file.rows for file in written),
            bytes=sum(file.size for file in written),
            ref=staging.reference(files, stem, written, shape),
        )

    def publish(self, commit: Commit) -> Published:
        with faults(table=commit.target.object):
            _, ledger = self._place(commit.target)
            named = commit.model_copy(update={"target": legal(commit.target, self._names)})
            return Publisher(self._lake, ledger, named, self._options.made_with).run()

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        with faults(table=name):
            found = self._lake.open(name)
            ledger = Ledger(self._lake.files(name), job, table)
            return ledger.record(found) if found and ledger.sequence(found) else None

    def clean(self, target: Target) -> None:
        with faults(table=target.object):
            files, ledger = self._place(target)
            staging.clean(files, ledger, self._lake.open(target.object), target.sequence)
            look_after(self._lake, target.object, self._options)

    def _place(self, target: Target) -> tuple[pafs.FileSystem, Ledger]:
        files = self._lake.files(target.object)
        return files, Ledger(files, target.job, target.table)
