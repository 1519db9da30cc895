"""What a connection to a Fabric Warehouse may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from copy_core.connectors.options import (
    AzureStorageOptions,
    FabricLakehouseFilesOptions,
    FabricWarehouseOptions,
)
from copy_core.connectors.registry import open_destination
from copy_core.connectors.sql.fabric_warehouse import places
from copy_core.connectors.sql.mssql import login
from copy_core.errors import ConfigError

STAGING = {"account_url": "https://account.blob.core.windows.net", "container": "staging"}
ID, OTHER = "6f1d2b1a-0000-4000-8000-00000000000a", "6f1d2b1a-0000-4000-8000-00000000000b"
ONELAKE = {"account_url": None, "container": None, "workspace": ID, "lakehouse": OTHER}
PRINCIPAL = {
    "auth": "service_principal",
    "tenant_id": "t",
    "client_id": "c",
    "client_secret": "${env:WAREHOUSE_SECRET}",
}


def options(staging: dict[str, Any] | None = None, **given: Any) -> FabricWarehouseOptions:
    return FabricWarehouseOptions.model_validate(
        {
            "type": "fabric_warehouse",
            "server": "abc.datawarehouse.fabric.microsoft.com",
            "database": "sales",
            "staging": None if staging is None else STAGING | staging,
            **given,
        }
    )


@pytest.mark.parametrize(
    ("staging", "given", "why"),
    [
        (None, {"auth": "sql"}, "default"),
        (None, {"user": "me"}, "user"),
        (None, {"auth": "service_principal", "client_id": "c"}, "tenant_id and client_secret"),
        (None, {"tenant_id": "t"}, "tenant_id has no use"),
        (None, PRINCIPAL | {"client_secret": "hunter2"}, "write ${env:NAME}"),
        ({"sas": "sv=1&sig=2"}, {}, "write ${env:NAME}"),
        ({"sas": "${env:A}", "account_key": "${env:B}"}, {}, "exclude each other"),
        ({"account_url": "https://a.blob.core.windows.net?sig=x"}, {}, "holds a signature"),
        ({"account_url": "a.blob.core.windows.net"}, {}, "is no address"),
        ({"prefix": "a*b"}, {}, "has a character other"),
        ({"prefix": "a b"}, {}, "has a character other"),
        ({"file_mb": 2048}, {}, "1024"),
        ({"container": None}, {}, "account_url and container, or else workspace and lakehouse"),
        ({"workspace": ID}, {}, "account_url and container, or else workspace and lakehouse"),
        (ONELAKE | {"lakehouse": None}, {}, "or else workspace and lakehouse"),
        (ONELAKE | {"workspace": "sales"}, {}, "by their ids only"),
        (ONELAKE | {"account_key": "${env:B}"}, {}, "neither account_key nor sas"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    staging: dict[str, Any] | None, given: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        options(staging, **given)
    assert why in str(refused.value)


def test_who_signs_in_to_the_warehouse_signs_in_to_its_storage() -> None:
    given = options({"prefix": "/a/b/"}, **PRINCIPAL)
    endpoint, storage = places.endpoint(given), places.storage(given)
    assert isinstance(storage, AzureStorageOptions)
    for signs_in in (endpoint, storage):
        assert signs_in.sign_in == "service_principal"
        assert (signs_in.tenant_id, signs_in.client_id) == ("t", "c")
        assert signs_in.client_secret == PRINCIPAL["client_secret"]
    assert (endpoint.type, endpoint.encrypt, endpoint.user) == ("azure_sql", "yes", None)
    assert (storage.container, storage.prefix) == ("staging", "a/b")


def test_a_lakehouse_is_reached_as_the_warehouse_is() -> None:
    storage = places.storage(options({**ONELAKE, "prefix": "a"}, **PRINCIPAL))
    assert isinstance(storage, FabricLakehouseFilesOptions)
    assert (storage.workspace, storage.lakehouse, storage.prefix) == (ID, OTHER, "a")
    assert (storage.auth, storage.client_secret) == (
        "service_principal",
        PRINCIPAL["client_secret"],
    )


@pytest.mark.parametrize("secret", ["sas", "account_key"])
def test_a_key_or_a_signature_is_for_the_storage_alone(secret: str) -> None:
    given = options({secret: "${env:STORAGE_SECRET}"}, auth="managed_identity")
    assert places.endpoint(given).sign_in == "managed_identity"
    storage = places.storage(given)
    assert isinstance(storage, AzureStorageOptions)
    assert storage.sign_in == secret


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("https://account.dfs.core.windows.net", "adls_gen2"),
        ("https://account.blob.core.windows.net/", "azure_blob"),
    ],
)
def test_the_address_tells_the_service(url: str, service: str) -> None:
    assert places.storage(options({"account_url": url})).type == service


def test_secrets_of_the_staging_are_resolved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_SECRET", raising=False)
    given = options({"account_key": "${env:STORAGE_SECRET}"})
    with pytest.raises(ConfigError) as missing:
        open_destination(given)
    assert missing.value.code == "secret-missing"


def test_without_staging_nothing_is_written() -> None:
    with pytest.raises(ConfigError) as refused:
        open_destination(options())
    assert refused.value.code == "staging-missing"


def test_a_session_asks_for_nothing_that_a_warehouse_lacks() -> None:
    assert login.session(places.endpoint(options())) == "SET XACT_ABORT ON"
    database = options().model_copy(update={"server": "abc.database.fabric.microsoft.com"})
    assert "LOCK_TIMEOUT" in login.session(places.endpoint(database))
