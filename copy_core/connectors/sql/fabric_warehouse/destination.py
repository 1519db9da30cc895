"""Writes tables of a Warehouse: files that wait in a container, COPY INTO, then one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from copy_core.connectors.base import Destination, DestinationCapabilities, check_keys
from copy_core.connectors.files.connector import store_of
from copy_core.connectors.sql.fabric_warehouse import files, ledger, places, publish, tables
from copy_core.connectors.sql.fabric_warehouse.types import narrowed
from copy_core.connectors.sql.mssql import target_table
from copy_core.connectors.sql.mssql.db import Database
from copy_core.errors import CopyJobError
from copy_core.model import Published, Staged

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.files.store import Store
    from copy_core.connectors.warehouse_options import FabricWarehouseOptions
    from copy_core.model import Commit, Target


class WarehouseDestination(Destination):
    """Tables of a Warehouse. Staging tables and ledgers lie in the schema of their table."""

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite"}), runs_sql=True
    )

    def __init__(self, options: FabricWarehouseOptions) -> None:
        self._options = options
        self._store_options = places.storage(options)

    @cached_property
    def _db(self) -> Database:
        return Database(places.endpoint(self._options))

    @cached_property
    def _store(self) -> Store:
        return store_of(self._store_options)

    def close(self) -> None:
        for name in ("_db", "_store"):
            if (held := self.__dict__.pop(name, None)) is not None:
                held.close()

    def prepare(self, target: Target) -> pa.Schema:
        try:
            return self._prepare(narrowed(target))
        except CopyJobError as e:
            raise e.at(table=target.object) from None

    def _prepare(self, target: Target) -> pa.Schema:
        tables.check_place(self._db, tables.named(self._db, target.object))
        name, table, layout = tables.look(self._db, target)
        check_keys(target, layout.schema)
        # Creating the ledger also shows whether tables may be created.
        ledger.ensure(self._db, name)
        if table is not None:
            tables.grow(self._db, name, layout.added, target)
        return layout.schema

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        layout = tables.look(self._db, narrowed(target)).layout
        size = places.staging(self._options).file_mb
        return files.write(self._store, self._options, target, part, layout.staged, batches, size)

    def publish(self, commit: Commit) -> Published:
        return publish.publish(self._db, self._store, self._options, commit)

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        found = target_table.spelled(self._db, name)
        return ledger.of(self._db, job, table, found).newest() if found else None

    def clean(self, target: Target) -> None:
        tables.clean(self._db, target, tables.named(self._db, target.object).schema)
        files.clean(self._store, self._options, target)
