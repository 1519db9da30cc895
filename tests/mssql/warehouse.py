"""What stands for a Fabric Warehouse in tests: a live T-SQL server, and Azurite.

No Warehouse can be had for tests. What is replaced is what the server lacks: COPY INTO, whose files
are loaded by bulk copy here; the sign-in by Entra ID; and the collation in UTF-8. All else is what
a Warehouse is sent, in transactions under snapshot isolation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerClient

from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
)
from copy_core.connectors.files.connector import store_of
from copy_core.connectors.options import FabricWarehouseOptions, MssqlOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.connectors.sql.fabric_warehouse import catalog, copy_into, places, types
from copy_core.connectors.sql.fabric_warehouse.files import StagedFiles
from copy_core.connectors.sql.mssql import bulk
from copy_core.connectors.sql.mssql.db import Database as Connection
from copy_core.connectors.sql.mssql.names import ObjectName, parse
from copy_core.connectors.warehouse_options import StagingOptions
from copy_core.model import Staged
from copy_core.secrets import resolve
from tests.conformance.rigs import DestinationRig, SourceRig
from tests.conformance.samples import ODD_NAMES
from tests.mssql import tables
from tests.mssql.server import Database, Databases, named
from tests.servers import Azurite

TABLE_NAMES = [name for name in ODD_NAMES if not name.startswith("#")]  # those are temporary
KEY_VARIABLE = "COPYJOB_TEST_WAREHOUSE_KEY"
_containers = itertools.count()


def options(database: Database, files: ContainerClient) -> FabricWarehouseOptions:
    """The connection of a job file to that database and that container."""
    return FabricWarehouseOptions.model_validate(
        {
            "type": "fabric_warehouse",
            "server": database.options.server,
            "database": database.name,
            "staging": {
                "account_url": files.url.removesuffix(f"/{files.container_name}"),
                "container": files.container_name,
                "prefix": "waiting/here",
                "account_key": f"${{env:{KEY_VARIABLE}}}",
            },
        }
    )


def container(database: Database, account_url: str) -> ContainerClient:
    """A new container of Azurite for the files of a database."""
    name = f"{database.name.replace('_', '-')}-{next(_containers)}"
    made = ContainerClient(account_url, name, credential=Azurite.key)
    made.create_container()
    return made


class Warehouse:
    """A database that stands for a Warehouse, and a container for what waits.

    Attributes:
        database: the database, as other programs use it.
        options: the connection.
        files: the container.
    """

    def __init__(self, database: Database, azurite: Azurite) -> None:
        self.database = database
        self.files = container(database, azurite.blob_endpoint)
        self.options = options(database, self.files)

    def staged(self) -> list[str]:
        """Files and tables that wait."""
        waiting = [n for n in self.database.tables() if n.startswith("_copyjob_stage_")]
        return [*waiting, *self.files.list_blob_names()]

    def close(self) -> None:
        self.files.delete_container()
        self.files.close()


@pytest.fixture
def stand_in(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts what the server has in the place of what it lacks. A module of tests that opens a
    `warehouse` imports it.
    """
    del databases  # which must be up
    put_in_place(monkeypatch)


def put_in_place(patch: pytest.MonkeyPatch) -> None:
    """The same, for as long as `patch` lasts."""
    patch.setenv(KEY_VARIABLE, Azurite.key)
    patch.setattr(places, "endpoint", _endpoint)
    patch.setattr(copy_into, "load", bulk_load)
    patch.setattr(types, "KEY_COLLATION", "Latin1_General_100_BIN2")


def _endpoint(options: FabricWarehouseOptions) -> MssqlOptions:
    server = named()
    assert server is not None
    meant = server.options(options.database)
    return meant.model_copy(update={"password": resolve(meant.password or "")})


def bulk_load(
    db: Connection,
    into: ObjectName,
    columns: Sequence[str],
    files: StagedFiles,
    place: StagingOptions,
) -> None:
    """Loads the files that COPY INTO would load, into the columns that it would fill."""
    table = catalog.find_table(db, into)
    assert table is not None
    assert [column.name for column in table.columns] == list(columns)
    # Text of the server is in this code page.
    found = [replace(c, type=replace(c.type, codepage=1252)) for c in table.columns]
    options = FabricWarehouseOptions.model_construct(staging=place, auth="default")
    with store_of(places.storage(options)) as store:
        for key in files.keys:
            entry = store.stat(key)
            assert entry is not None
            with store.open(entry) as raw:
                rows = pq.read_table(raw)
            assert rows.schema.names == list(columns)
            bulk.load(db.options, into, found, iter(rows.to_batches()))


def warehouse(request: pytest.FixtureRequest, purpose: str) -> Warehouse:
    request.getfixturevalue("stand_in")
    made: Databases = request.getfixturevalue("databases")
    return Warehouse(made.take(purpose), request.getfixturevalue("azurite"))


class WarehouseSourceRig(SourceRig):
    capabilities = SourceCapabilities(incremental=True, splits=True, queries=True)
    types = tables.TYPES
    odd_tables = TABLE_NAMES
    uncopyable = None

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.warehouse = warehouse(request, "wh_source")
        self.database = self.warehouse.database

    def open(self) -> Source:
        return open_source(self.warehouse.options)

    def close(self) -> None:
        self.warehouse.close()

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        made = ObjectName(self.database.schema, name)
        tables.create(self.database, made, rows, keys)
        asked = "SELECT name FROM sys.tables WHERE object_id = OBJECT_ID(?)"
        [(spelt,)] = self.database.rows(asked, made.quoted)
        return made._replace(table=spelt).text

    def insert(self, name: str, rows: pa.Table) -> None:
        tables.insert(self.database, parse(name, self.database.schema), rows)

    def delete(self, name: str, ids: Sequence[int]) -> None:
        tables.delete(self.database, parse(name, self.database.schema), ids)


class WarehouseDestinationRig(DestinationRig):
    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite"}), runs_sql=True
    )
    types = {**tables.TYPES, "uint8": "int16", "timestamp_utc": "timestamp"}
    odd_tables = [*(name for name in TABLE_NAMES if name != "dot.ted"), "[dot.ted]"]

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.warehouse = warehouse(request, "wh_target")
        self.database = self.warehouse.database

    def open(self) -> Destination:
        return open_destination(self.warehouse.options)

    def close(self) -> None:
        self.warehouse.close()

    def create(self, name: str, rows: pa.Table) -> None:
        tables.create(self.database, parse(name, self.database.schema), rows)

    def read(self, name: str) -> pa.Table | None:
        return tables.read(self.database, parse(name, self.database.schema))

    def staged(self) -> list[str]:
        return self.warehouse.staged()

    def lose(self, staged: Staged) -> None:
        for name in self.warehouse.files.list_blob_names():
            if staged.ref["folder"] in name:
                self.warehouse.files.delete_blob(name)
