"""The connector on a live server, against tables made and read through pyodbc."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest

from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
)
from copy_core.connectors.registry import open_destination, open_source
from copy_core.connectors.sql.mssql.names import ObjectName, parse
from copy_core.errors import TerminalError
from copy_core.model import Staged
from tests.conformance import kit
from tests.conformance.destination_kit import DestinationSuite, aim, check, load
from tests.conformance.rigs import DestinationRig, SourceRig
from tests.conformance.samples import ODD_NAMES
from tests.mssql import tables
from tests.mssql.server import Database, Databases

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(900)

TABLE_NAMES = [name for name in ODD_NAMES if not name.startswith("#")]  # those are temporary


def database(request: pytest.FixtureRequest, purpose: str, *, versioned: bool) -> Database:
    made: Databases = request.getfixturevalue("databases")
    return made.take(purpose, versioned=versioned)


class MssqlSourceRig(SourceRig):
    capabilities = SourceCapabilities(incremental=True, splits=True, queries=True)
    types = tables.TYPES
    odd_tables = TABLE_NAMES
    uncopyable = None
    versioned: ClassVar[bool] = True

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.database = database(request, "source", versioned=self.versioned)

    def open(self) -> Source:
        return open_source(self.database.options)

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        made = ObjectName(self.database.schema, name)
        tables.create(self.database, made, rows, keys)
        # A server may keep names in small letters.
        asked = "SELECT name FROM sys.tables WHERE object_id = OBJECT_ID(?)"
        [(spelt,)] = self.database.rows(asked, made.quoted)
        return made._replace(table=spelt).text

    def insert(self, name: str, rows: pa.Table) -> None:
        tables.insert(self.database, parse(name, self.database.schema), rows)

    def delete(self, name: str, ids: Sequence[int]) -> None:
        tables.delete(self.database, parse(name, self.database.schema), ids)


class MssqlDestinationRig(DestinationRig):
    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite"}), parallel_stage=True, runs_sql=True
    )
    types = tables.TYPES
    # A dot divides schema and table: a name that has one is written in brackets.
    odd_tables = [*(name for name in TABLE_NAMES if name != "dot.ted"), "[dot.ted]"]
    versioned: ClassVar[bool] = True

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.database = database(request, "target", versioned=self.versioned)

    def open(self) -> Destination:
        return open_destination(self.database.options)

    def create(self, name: str, rows: pa.Table) -> None:
        tables.create(self.database, parse(name, self.database.schema), rows)

    def read(self, name: str) -> pa.Table | None:
        return tables.read(self.database, parse(name, self.database.schema))

    def staged(self) -> list[str]:
        ours = [name for name in self.database.tables() if name.startswith("_copyjob_")]
        return [name for name in ours if name != "_copyjob_ledger"]

    def lose(self, staged: Staged) -> None:
        name = parse(staged.ref["table"], self.database.schema)
        self.database.run(f"DROP TABLE {name.quoted}")


class LockingSourceRig(MssqlSourceRig):
    """A database whose readers wait for writers."""

    versioned = False


class LockingDestinationRig(MssqlDestinationRig):
    """A database whose readers wait for writers."""

    versioned = False


def keys_are_compared_as_exactly_as_the_server_can(_: object, rig: MssqlDestinationRig) -> None:
    """SQL Server takes `key` and `key ` for one, under every collation."""
    asked = "SELECT COUNT(*) WHERE N'key' = N'key ' COLLATE Latin1_General_100_BIN2"
    keys = ["key", "KEY", "key ", "ke\u0301y", "kéy", "", "1", "01"]
    if rig.database.rows(asked) == [(1,)]:
        rows = pa.table({"k": keys, "v": list(range(8))})
        with pytest.raises(TerminalError) as refused:
            load(rig, aim(rows, 1, "upsert", keys=("k",)), rows)
        assert refused.value.code == "duplicate-key"
        keys.remove("key ")
    for sequence in (2, 3):
        rows = pa.table({"k": keys, "v": [10 * sequence + n for n in range(len(keys))]})
        load(rig, aim(rows, sequence, "upsert", keys=("k",)), rows)
    check(rig, rows)


def destination(rig: type[MssqlDestinationRig], *, values: bool = True) -> type[DestinationSuite]:
    ours = {"test_keys_are_compared_exactly": keys_are_compared_as_exactly_as_the_server_can}
    return type(f"Test{rig.__name__}", (kit.destination(rig, values=values),), ours)


TestSource = kit.source(MssqlSourceRig)
TestDestination = destination(MssqlDestinationRig)
TestLockingSource = kit.source(LockingSourceRig, values=False)
TestLockingDestination = destination(LockingDestinationRig, values=False)
