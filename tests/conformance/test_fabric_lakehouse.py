"""The tables of a Fabric lakehouse, against tables that delta-rs makes and reads by itself.

OneLake cannot be had here; `onelake` tells what stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from copy_core.connectors.options import FabricLakehouseOptions
from tests.conformance import kit
from tests.conformance.onelake import OneLake, onelake
from tests.conformance.test_delta import Azure, DeltaDestinationRig, RemoteSourceRig
from tests.servers import Azurite

# What Fabric registers tables of, and what its SQL endpoint shows.
TABLES = ("select", "MixedCase")
COLUMNS = ('dou"ble', "apo'strophe", "[bracket]", "select", "percent%41%s", "question?:name")


@pytest.fixture(scope="module", autouse=True)
def fabric(azurite: Azurite) -> Iterator[OneLake]:
    with onelake(azurite) as lake:
        yield lake


class Lakehouse(Azure):
    """A lakehouse with schemas, in a workspace of its own."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        workspace = self.path.partition("/")[0]
        self.path = f"{workspace}/sales.Lakehouse/Tables"
        self.options = FabricLakehouseOptions(
            type="fabric_lakehouse",
            workspace=workspace,
            lakehouse="sales",
            schemas=True,
            auth="managed_identity",
        )

    def folder(self, name: str) -> str:
        schema, dot, table = name.partition(".")
        return f"{schema}/{table}" if dot else f"dbo/{name}"


class LakehouseSourceRig(RemoteSourceRig):
    place = Lakehouse

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        """Sources list tables with their schemas."""
        return super().create(f"dbo.{name}", rows, keys)


class LakehouseDestinationRig(DeltaDestinationRig):
    place = Lakehouse
    odd_tables = TABLES
    odd_columns = COLUMNS


TestSource = kit.source(LakehouseSourceRig, values=False)
TestDestination = kit.destination(LakehouseDestinationRig, values=False)
