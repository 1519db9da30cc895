"""The connectors of files on the object stores: the formats' own rigs, with their files elsewhere.

What a format makes of values is the same everywhere, so each is tried on one store, and Parquet
on all.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from azure.storage.blob import ContainerClient

from copy_core.connectors.files.connector import Options
from copy_core.connectors.options import AzureStorageOptions, S3Options
from tests.conformance import kit
from tests.conformance.local_files import FilesRig
from tests.conformance.test_local_files import ParquetDestinationRig, ParquetSourceRig
from tests.conformance.test_text_files import (
    CsvDestinationRig,
    CsvSourceRig,
    JsonDestinationRig,
    JsonSourceRig,
)
from tests.s3 import s3_client

PREFIX = "a prefix/lake"


class InS3(FilesRig):
    """Files in a bucket of its own; `root` is where they are made and looked at."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.server = request.getfixturevalue("localstack")
        self.bucket = f"rows-{uuid.uuid4()}"
        self.client: Any = s3_client(self.server.endpoint)
        self.client.create_bucket(Bucket=self.bucket)

    def close(self) -> None:
        self.client.close()

    @property
    def options(self) -> Options:
        return S3Options.model_construct(  # not checked: these secrets are public
            type="s3",
            bucket=self.bucket,
            prefix=PREFIX,
            region=self.server.region,
            endpoint_url=self.server.endpoint,
            access_key_id=self.server.access_key,
            secret_access_key=self.server.secret_key,
            **self.connection,
        )

    def sent(self, path: Path) -> None:
        key = f"{PREFIX}/{path.relative_to(self.root).as_posix()}"
        self.client.put_object(Bucket=self.bucket, Key=key, Body=path.read_bytes())

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        found = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return [key.removeprefix(f"{PREFIX}/") for key in found]

    def fetched(self, key: str) -> Path:
        found = self.client.get_object(Bucket=self.bucket, Key=f"{PREFIX}/{key}")
        return looked_at(self.folder, key, found["Body"].read())

    def drop(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"{PREFIX}/{key}")


class InBlob(FilesRig):
    """Files in a container of its own; `root` is where they are made and looked at."""

    service: ClassVar[Literal["azure_blob", "adls_gen2"]] = "azure_blob"

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.server = request.getfixturevalue("azurite")
        self.client = ContainerClient(
            self.server.blob_endpoint, f"rows-{uuid.uuid4()}", self.server.key
        )
        self.client.create_container()

    def close(self) -> None:
        self.client.close()

    @property
    def options(self) -> Options:
        return AzureStorageOptions.model_construct(  # not checked: this secret is public
            type=self.service,
            account_url=self.server.blob_endpoint,
            container=self.client.container_name,
            prefix=PREFIX,
            account_key=self.server.key,
            **self.connection,
        )

    def sent(self, path: Path) -> None:
        key = f"{PREFIX}/{path.relative_to(self.root).as_posix()}"
        self.client.upload_blob(key, path.read_bytes(), overwrite=True)

    def keys(self) -> list[str]:
        return [name.removeprefix(f"{PREFIX}/") for name in self.client.list_blob_names()]

    def fetched(self, key: str) -> Path:
        found = self.client.download_blob(f"{PREFIX}/{key}").readall()
        return looked_at(self.folder, key, found)

    def drop(self, key: str) -> None:
        self.client.delete_blob(f"{PREFIX}/{key}")


class InAdls(InBlob):
    service = "adls_gen2"


def looked_at(folder: Path, key: str, data: bytes) -> Path:
    """The bytes of an object as a file."""
    path = folder / "looked at" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class S3ParquetSourceRig(ParquetSourceRig, InS3):
    pass


class S3ParquetDestinationRig(ParquetDestinationRig, InS3):
    pass


class BlobParquetSourceRig(ParquetSourceRig, InBlob):
    pass


class BlobParquetDestinationRig(ParquetDestinationRig, InBlob):
    pass


class AdlsParquetDestinationRig(ParquetDestinationRig, InAdls):
    pass


class S3CsvSourceRig(CsvSourceRig, InS3):
    pass


class S3CsvDestinationRig(CsvDestinationRig, InS3):
    pass


class BlobJsonSourceRig(JsonSourceRig, InBlob):
    pass


class BlobJsonDestinationRig(JsonDestinationRig, InBlob):
    pass


TestS3Source = kit.source(S3ParquetSourceRig, values=False)
TestS3Destination = kit.destination(S3ParquetDestinationRig, values=False)
TestBlobSource = kit.source(BlobParquetSourceRig, values=False)
TestBlobDestination = kit.destination(BlobParquetDestinationRig, values=False)
TestAdlsDestination = kit.destination(AdlsParquetDestinationRig, values=False)
TestS3CsvSource = kit.source(S3CsvSourceRig, values=False)
TestS3CsvDestination = kit.destination(S3CsvDestinationRig, values=False)
TestBlobJsonSource = kit.source(BlobJsonSourceRig, values=False)
TestBlobJsonDestination = kit.destination(BlobJsonDestinationRig, values=False)
