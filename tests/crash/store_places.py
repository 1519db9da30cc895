"""Buckets and containers as the crash tests put files into them and look at what lies there, with
the services' own libraries.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient

from copy_core import entra
from copy_core.connectors import onelake
from copy_core.connectors.options import (
    AzureStorageOptions,
    DeltaOptions,
    FabricLakehouseFilesOptions,
    S3Options,
)
from tests.crash import lakes
from tests.crash.places import SCHEMA, TABLE, Row, batch
from tests.s3 import s3_client
from tests.servers import Azurite, LocalStack

SECRET_VARIABLE = "COPYJOB_TEST_STORE_SECRET"
# LocalStack takes any; "test" would be blanked out of every message that has the word.
_ANY_SECRET = "copyjob-any-secret"
# Before any process is started that inherits them.
os.environ.setdefault(SECRET_VARIABLE, Azurite.key)
os.environ.setdefault(f"{SECRET_VARIABLE}_S3", _ANY_SECRET)
TYPES = dict.fromkeys(SCHEMA.names, "int64")
Options = S3Options | AzureStorageOptions | FabricLakehouseFilesOptions


class Kind(NamedTuple):
    """A container of a service, and the format of its files; `text` is what `places` calls it.

    Attributes:
        service: s3, azure_blob, adls_gen2 or fabric_lakehouse_files.
        form: parquet, csv, jsonl or binary; delta for a lake of tables.
        endpoint: the service's address; "" for OneLake, which has but one.
        name: the bucket, container or workspace.
    """

    service: str
    form: str
    endpoint: str
    name: str

    @property
    def text(self) -> str:
        return "|".join(self)

    @classmethod
    def of(cls, text: str) -> Kind:
        return cls(*text.split("|"))


def connection(kind: Kind) -> Options | DeltaOptions:
    """The connection of a job file to what that container is."""
    return lakes.options(kind) if kind.form == "delta" else options(kind)


def options(kind: Kind) -> Options:
    """The connection of a job file to the files of that container."""
    secret = f"${{env:{SECRET_VARIABLE}}}"
    shared: dict[str, Any] = {"type": kind.service, "format": kind.form}
    if kind.form in ("csv", "jsonl"):
        shared["types"] = TYPES
    if kind.service == "s3":
        return S3Options.model_validate(
            {
                **shared,
                "bucket": kind.name,
                "endpoint_url": kind.endpoint,
                "region": LocalStack.region,
                "access_key_id": LocalStack.access_key,
                "secret_access_key": f"${{env:{SECRET_VARIABLE}_S3}}",
            }
        )
    if kind.service == "fabric_lakehouse_files":
        given = {"workspace": kind.name, "lakehouse": "shop", "auth": "managed_identity"}
        return FabricLakehouseFilesOptions.model_validate({**shared, **given})
    return AzureStorageOptions.model_validate(
        {
            **shared,
            "container": kind.name,
            "account_url": kind.endpoint,
            "account_key": secret,
        }
    )


class Bucket:
    """A bucket, through boto3."""

    def __init__(self, given: S3Options) -> None:
        self._name = given.bucket
        self._client = _s3(given.endpoint_url or "")

    def create(self) -> None:
        self._client.create_bucket(Bucket=self._name)

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self._name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return bytes(self._client.get_object(Bucket=self._name, Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self._name, Key=key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._name, Prefix=prefix
        )
        for page in pages:
            yield from (found["Key"] for found in page.get("Contents", []))

    def unfinished(self) -> list[str]:
        """The keys of uploads that were begun, and neither completed nor given up."""
        found = self._client.list_multipart_uploads(Bucket=self._name)
        return [upload["Key"] for upload in found.get("Uploads", [])]


class Container:
    """A container, through azure-storage-blob."""

    def __init__(self, given: AzureStorageOptions) -> None:
        self._client = _blobs(given.account_url, given.container)

    def create(self) -> None:
        self._client.create_container()

    def put(self, key: str, data: bytes) -> None:
        self._client.upload_blob(key, data, overwrite=True)

    def get(self, key: str) -> bytes:
        return bytes(self._client.download_blob(key).readall())

    def delete(self, key: str) -> None:
        self._client.delete_blob(key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        yield from (str(name) for name in self._client.list_blob_names(name_starts_with=prefix))

    def unfinished(self) -> list[str]:
        """Blocks without a blob go by themselves after a week."""
        return []


class LakehouseFiles:
    """The files of a lakehouse, through azure-storage-blob."""

    def __init__(self, given: FabricLakehouseFilesOptions) -> None:
        identity = entra.identity(given.auth, None, None, None)
        self._client = ContainerClient(
            onelake.BLOBS, given.workspace, identity, api_version=onelake.VERSION
        )
        self._root = f"{onelake.item(given)}/Files/"

    def create(self) -> None:
        raise AssertionError("only Fabric makes workspaces and lakehouses")

    def put(self, key: str, data: bytes) -> None:
        self._client.upload_blob(self._root + key, data, overwrite=True)

    def get(self, key: str) -> bytes:
        return bytes(self._client.download_blob(self._root + key).readall())

    def delete(self, key: str) -> None:
        self._client.delete_blob(self._root + key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        with suppress(ResourceNotFoundError):  # no such folder
            for name in self._client.list_blob_names(name_starts_with=self._root + prefix):
                yield str(name).removeprefix(self._root)

    def unfinished(self) -> list[str]:
        """Blocks without a blob go by themselves."""
        return []


def container(given: Options) -> Bucket | Container | LakehouseFiles:
    """The container that a connection leads to."""
    if isinstance(given, FabricLakehouseFilesOptions):
        return LakehouseFiles(given)
    return Bucket(given) if isinstance(given, S3Options) else Container(given)


def source_of(kind: Kind) -> StoredFiles | lakes.DeltaLake:
    """The empty table `t` in that container."""
    return lakes.DeltaLake(lakes.options(kind)) if kind.form == "delta" else StoredFiles(kind)


class StoredFiles:
    """A folder of a container to which files are added, and never changed."""

    updates = deletes = False

    def __init__(self, kind: Kind) -> None:
        self.options = options(kind)
        self._container, self._form, self._numbers = container(self.options), kind.form, count()
        self.insert([])

    def insert(self, rows: Sequence[Row]) -> None:
        name = f"{TABLE}/{next(self._numbers):06}.{self._form}"
        self._container.put(name, written(rows, self._form))

    def update(self, row: Row) -> None:
        raise AssertionError(f"files are never changed: {row}")

    def delete(self, number: int) -> None:
        raise AssertionError(f"files are never changed: {number}")


def written(rows: Sequence[Row], form: str) -> bytes:
    """Rows as a file of a format."""
    if form == "parquet":
        sink = io.BytesIO()
        pq.write_table(batch(rows), sink)
        return sink.getvalue()
    if form == "csv":
        text = io.StringIO(newline="")
        csv.writer(text).writerows([SCHEMA.names, *rows])
        return text.getvalue().encode()
    dicts = [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]
    return "".join(f"{json.dumps(each)}\n" for each in dicts).encode()


def waiting(given: Options) -> list[str]:
    """What was staged, and is neither published nor cleared away."""
    found = container(given)
    staged = [key for key in found.keys(f"{TABLE}/_copyjob/") if "/staging/" in key]
    return sorted(staged + found.unfinished())


@cache
def _s3(endpoint: str) -> Any:
    return s3_client(endpoint)


@cache
def _blobs(account_url: str, name: str) -> ContainerClient:
    service = BlobServiceClient(account_url, credential=Azurite.key)
    return service.get_container_client(name)
