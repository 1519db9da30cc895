"""What stands for a Warehouse as the crash tests put rows into it and read them back."""

from __future__ import annotations

from azure.storage.blob import ContainerClient

from copy_core.connectors.options import FabricWarehouseOptions
from copy_core.connectors.sql.fabric_warehouse import ledger
from copy_core.connectors.sql.mssql.names import ObjectName
from tests.crash.places import TABLE
from tests.mssql import warehouse
from tests.mssql.places import MssqlTable
from tests.mssql.server import Database, opened
from tests.servers import Azurite


def kind(database: Database, account_url: str) -> str:
    """What `tests.crash.places` calls a Warehouse: a database, and a new container."""
    made = warehouse.container(database, account_url)
    return f"warehouse:{database.name},{account_url},{made.container_name}"


def options(kind: str) -> FabricWarehouseOptions:
    """How a job gets there."""
    name, account_url, container = kind.removeprefix("warehouse:").split(",")
    return warehouse.options(opened(name), ContainerClient(account_url, container))


def table(kind: str) -> MssqlTable:
    """The empty table there."""
    given = options(kind)
    return MssqlTable(given.database, given)


def waiting(options: FabricWarehouseOptions) -> list[str]:
    """What lies beside the table and its ledger, and in the container."""
    database, place = opened(options.database), options.staging
    assert place is not None
    assert place.account_url is not None
    assert place.container is not None
    own = {TABLE, ledger.ledger_of(ObjectName(database.schema, TABLE)).table}
    with ContainerClient(place.account_url, place.container, credential=Azurite.key) as files:
        return [*(n for n in database.tables() if n not in own), *files.list_blob_names()]
