"""The Delta connector, against tables that delta-rs makes and reads by itself.

In a folder, in Azure storage (Azurite) and in S3 (LocalStack).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs
import pytest
from azure.storage.blob import ContainerClient
from deltalake import DeltaTable, write_deltalake

from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
)
from copy_core.connectors.options import DeltaOptions, FabricLakehouseOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.model import Staged
from tests.conformance import kit
from tests.conformance.destination_kit import aim, load
from tests.conformance.rigs import DestinationRig, SourceRig
from tests.conformance.samples import ODD_NAMES, VALUES, typed

# Delta has no unsigned integers, no time of day, and a naive time is written as UTC.
OTHERS = {
    "uint8": "int16",
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "decimal(20,0)",
    "timestamp": "timestamp_utc",
}
WRITTEN: Mapping[str, str] = {name: OTHERS.get(name, name) for name in VALUES if name != "time"}
READ: Mapping[str, str] = {name: name for name in WRITTEN if not name.startswith("uint")}
# delta-rs 1.6 panics over brackets in a table's path, and decodes a percent sign twice.
TABLES: Sequence[str] = [name for name in ODD_NAMES if not set(name) & set("[]%")]


class Place:
    """Where some Delta tables lie: here, a folder."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        del request
        self.files: pyarrow.fs.FileSystem = pyarrow.fs.LocalFileSystem()
        self.path = str(folder / "lake")
        self.storage: dict[str, str] = {}
        self.options: DeltaOptions | FabricLakehouseOptions = DeltaOptions(
            type="delta", root=self.path
        )
        Path(self.path).mkdir()

    def folder(self, name: str) -> str:
        """A table's folder below the path."""
        return name

    def url(self, name: str) -> str:
        """Where a table is, for delta-rs."""
        return f"{self.path}/{self.folder(name)}"

    def table(self, name: str) -> DeltaTable:
        return DeltaTable(self.url(name), storage_options=self.storage)

    def has(self, name: str) -> bool:
        return DeltaTable.is_deltatable(self.url(name), storage_options=self.storage)

    def write(self, name: str, rows: pa.Table, mode: Any = "error") -> None:
        write_deltalake(self.url(name), rows, mode=mode, storage_options=self.storage)

    def below(self) -> Iterator[str]:
        selector = pyarrow.fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        for found in self.files.get_file_info(selector):
            if found.is_file:
                yield found.path.removeprefix(self.path).lstrip("/")

    def remove(self, file: str) -> None:
        """Removes a file below the path."""
        self.files.delete_file(f"{self.path}/{file}")

    def unowned(self) -> list[str]:
        """The files that no commit of a table has ever added."""
        files = list(self.below())
        owned = set()
        for log in (f for f in files if "/_delta_log/" in f and f.endswith(".json")):
            with self.files.open_input_stream(f"{self.path}/{log}") as stream:
                actions = [json.loads(line) for line in stream.read().splitlines()]
            folder = log.split("/_delta_log/")[0]
            owned |= {f"{folder}/{unquote(a['add']['path'])}" for a in actions if "add" in a}
        return [f for f in files if "/_delta_log/" not in f and f not in owned]


class DeltaSourceRig(SourceRig):
    capabilities = SourceCapabilities(incremental=True, splits=True)
    types = READ
    odd_tables = TABLES
    knows_keys = False
    corrupts = True
    place = Place

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.lake = self.place(folder, request)

    def open(self) -> Source:
        return open_source(self.lake.options)

    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        del keys
        self.lake.write(name, rows)
        return name

    def insert(self, name: str, rows: pa.Table) -> None:
        self.lake.write(name, rows, "append")

    def delete(self, name: str, ids: Sequence[int]) -> None:
        self.lake.table(name).delete(f"id in ({', '.join(map(str, ids))})")

    def corrupt(self, name: str) -> None:
        for file in self.lake.below():
            if file.startswith(f"{self.lake.folder(name)}/") and file.endswith(".parquet"):
                with self.lake.files.open_output_stream(f"{self.lake.path}/{file}") as stream:
                    stream.write(b"no Parquet")


class DeltaDestinationRig(DestinationRig):
    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite", "overwrite_partitions"}),
        counts_files=True,
        partitions=True,
    )
    types = WRITTEN
    odd_tables = TABLES
    place = Place

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.lake = self.place(folder, request)

    def open(self) -> Destination:
        return open_destination(self.lake.options)

    def create(self, name: str, rows: pa.Table) -> None:
        self.lake.write(name, rows)

    def read(self, name: str) -> pa.Table | None:
        return self.lake.table(name).to_pyarrow_table() if self.lake.has(name) else None

    def staged(self) -> list[str]:
        return self.lake.unowned()

    def lose(self, staged: Staged) -> None:
        # The files themselves, or the list of them, which begins as they do.
        names = [text.rsplit("/", 1)[-1] for text in _texts(staged.ref) if "/" in text]
        starts = tuple(name.removesuffix(".json") for name in names)
        for file in self.lake.unowned():
            if file.endswith(".parquet") and file.rsplit("/", 1)[-1].startswith(starts):
                self.lake.remove(file)


class Azure(Place):
    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        del folder
        server = request.getfixturevalue("azurite")
        container = f"lake-{uuid.uuid4()}"
        authority = server.blob_origin.removeprefix("http://")
        self._blobs = server.blob_endpoint, server.key
        self.files = pyarrow.fs.AzureFileSystem(
            server.account,
            account_key=server.key,
            blob_storage_authority=authority,
            blob_storage_scheme="http",
            dfs_storage_authority=authority,  # asked for, and not there: so it is flat storage
            dfs_storage_scheme="http",
        )
        self.files.create_dir(container)
        self.path = f"{container}/lake"
        self.storage = server.storage_options
        self.options = DeltaOptions(type="delta", root=f"az://{self.path}", storage=self.storage)

    def remove(self, file: str) -> None:
        # Not by pyarrow 26, which now and then waits for the server to end the connection first.
        container, _, name = f"{self.path}/{file}".partition("/")
        endpoint, key = self._blobs
        with ContainerClient(endpoint, container, key) as client:
            client.delete_blob(name)

    def url(self, name: str) -> str:
        return f"az://{super().url(name)}"


class S3(Place):
    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        del folder
        server = request.getfixturevalue("localstack")
        bucket = f"lake-{uuid.uuid4()}"
        self.files = pyarrow.fs.S3FileSystem(
            access_key=server.access_key,
            secret_key=server.secret_key,
            region=server.region,
            endpoint_override=server.endpoint,
            allow_bucket_creation=True,
        )
        self.files.create_dir(bucket)
        self.path = f"{bucket}/lake"
        self.storage = server.storage_options
        self.options = DeltaOptions.model_construct(  # not checked: these secrets are public
            type="delta", root=f"s3://{self.path}", storage=self.storage
        )

    def url(self, name: str) -> str:
        return f"s3://{super().url(name)}"


def _texts(value: Any) -> Iterator[str]:
    """Every text in a reference, whatever its shape."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    if isinstance(value, str):
        yield value


class RemoteSourceRig(DeltaSourceRig):
    """What depends on the place more than on the files."""

    types = {name: READ[name] for name in ("int64", "string", "timestamp_utc")}
    steps = ("int64", "timestamp_utc", "date", "string")
    odd_tables = ("with space", "select", "a=b", "Zoë 表")
    odd_columns = odd_tables


class AzureSourceRig(RemoteSourceRig):
    place = Azure


class AzureDestinationRig(DeltaDestinationRig):
    place = Azure


class S3SourceRig(RemoteSourceRig):
    place = S3


class S3DestinationRig(DeltaDestinationRig):
    place = S3


TestSource = kit.source(DeltaSourceRig)
TestDestination = kit.destination(DeltaDestinationRig)
TestAzureSource = kit.source(AzureSourceRig, values=False)
TestAzureDestination = kit.destination(AzureDestinationRig, values=False)
TestS3Source = kit.source(S3SourceRig, values=False)
TestS3Destination = kit.destination(S3DestinationRig, values=False)


class TestNaiveTimes:
    def test_they_do_not_vanish_in_fabric(
        self, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        """Its SQL endpoint leaves columns of the type timestamp_ntz out without a word."""
        rig = DeltaDestinationRig(tmp_path, request)
        rows = typed("timestamp")
        load(rig, aim(rows), rows)
        (field,) = [f for f in rig.lake.table("t").schema().fields if f.name == "value"]
        assert str(field.type) == 'PrimitiveType("timestamp")'
