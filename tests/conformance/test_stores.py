"""The object stores, by the kit; and what each has of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from azure.storage.blob import ContainerClient

from copy_core.connectors.file_options import AzureStorageOptions, S3Options
from copy_core.connectors.files.store import Store
from copy_core.connectors.files.stores.azure import AzureStore
from copy_core.connectors.files.stores.azure_onelake import OneLakeStore
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.files.stores.s3 import S3Store
from copy_core.connectors.lakehouse_options import FabricLakehouseFilesOptions
from tests.conformance.onelake import OneLake, onelake
from tests.conformance.store_kit import OpenStore, ServiceKit, StoreKit
from tests.s3 import s3_client
from tests.servers import Azurite, LocalStack


class TestLocal(StoreKit):
    keeps = frozenset()
    knows_md5 = False

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return lambda name: LocalStore(str(tmp_path / name))


class TestS3(ServiceKit):
    copies = True
    tells_unfinished = True

    @pytest.fixture
    def bucket(self, localstack: LocalStack) -> str:
        name = f"files-{uuid.uuid4()}"
        s3_client(localstack.endpoint).create_bucket(Bucket=name)
        return name

    @pytest.fixture
    def open_store(self, localstack: LocalStack, bucket: str) -> OpenStore:
        return lambda name: s3_store(localstack, bucket, f"with prefix/{name}")

    @pytest.fixture
    def nowhere(self, localstack: LocalStack) -> Store:
        return s3_store(localstack, f"none-{uuid.uuid4()}", "p")


def s3_store(server: LocalStack, bucket: str, prefix: str) -> Store:
    return S3Store(
        S3Options.model_construct(  # not checked: these secrets are public
            type="s3",
            bucket=bucket,
            prefix=prefix,
            region=server.region,
            endpoint_url=server.endpoint,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
        )
    )


class TestAzureBlob(ServiceKit):
    one_upload_a_key = True
    many = 1_500  # Azurite is slow at small ones
    unfit = frozenset({"a\\b"})
    service: Literal["azure_blob", "adls_gen2"] = "azure_blob"

    @pytest.fixture
    def container(self, azurite: Azurite) -> str:
        name = f"files-{uuid.uuid4()}"
        with ContainerClient(azurite.blob_endpoint, name, azurite.key) as client:
            client.create_container()
        return name

    @pytest.fixture
    def open_store(self, azurite: Azurite, container: str) -> OpenStore:
        return lambda name: self.opened(azurite, container, f"with prefix/{name}")

    @pytest.fixture
    def nowhere(self, azurite: Azurite) -> Store:
        return self.opened(azurite, f"none-{uuid.uuid4()}", "p")

    def opened(self, server: Azurite, container: str, prefix: str) -> Store:
        return AzureStore(
            AzureStorageOptions.model_construct(  # not checked: this secret is public
                type=self.service,
                account_url=server.blob_endpoint,
                container=container,
                prefix=prefix,
                account_key=server.key,
            )
        )


class TestAdlsGen2(TestAzureBlob):
    many = 600
    service = "adls_gen2"


@pytest.fixture(scope="module")
def lake(azurite: Azurite) -> Iterator[OneLake]:
    with onelake(azurite) as lake:
        yield lake


class TestLakehouseFiles(ServiceKit):
    copies = True
    one_upload_a_key = True
    many = 100  # each is removed by itself
    unfit = frozenset({"a\\b"})
    keeps = StoreKit.keeps - {"tags"}

    @pytest.fixture
    def open_store(self, lake: OneLake) -> OpenStore:
        workspace = f"files-{uuid.uuid4()}"
        lake.create(workspace)
        return lambda name: lakehouse_files(workspace, prefix=f"with prefix/{name}")

    @pytest.fixture(params=["workspace", "lakehouse"])
    def nowhere(self, request: pytest.FixtureRequest, lake: OneLake) -> Store:
        if request.param == "workspace":
            return lakehouse_files(f"none-{uuid.uuid4()}")
        workspace = f"files-{uuid.uuid4()}"
        lake.create(workspace)
        return lakehouse_files(workspace, lakehouse="nowhere")

    # It lists as `adls_gen2` does, which tries every place.

    @pytest.mark.parametrize(("prefix", "after"), [("", "a"), ("a", "a/b.c"), ("a/b", "a/b")])
    def test_it_goes_on_after_a_key(self, store: Store, prefix: str, after: str) -> None:
        super().test_it_goes_on_after_a_key(store, prefix, after)

    # As every store of Azure: what is empty or gone is left to be streamed.

    @pytest.mark.parametrize("size", [1, 9 << 20])
    def test_the_service_copies_by_itself(self, store: Store, other: Store, size: int) -> None:
        super().test_the_service_copies_by_itself(store, other, size)

    @pytest.mark.parametrize("change", ["file-changed"])
    def test_what_changed_is_not_copied(self, store: Store, other: Store, change: str) -> None:
        super().test_what_changed_is_not_copied(store, other, change)


def lakehouse_files(workspace: str, **more: str) -> Store:
    given = {"workspace": workspace, "lakehouse": "shop", "auth": "managed_identity", **more}
    return OneLakeStore(
        FabricLakehouseFilesOptions.model_validate({"type": "fabric_lakehouse_files", **given})
    )
