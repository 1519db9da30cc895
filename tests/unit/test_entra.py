"""Who signs in with Entra ID: the identity that AZURE_CLIENT_ID names, or a connection its own.

A server plays the endpoint that App Service and Azure Functions have for managed identities:
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pytest
from azure.core.exceptions import ClientAuthenticationError

from copy_core.azure_errors import no_sign_in
from copy_core.connectors.delta.onelake import lake_of
from copy_core.connectors.file_options import AzureStorageOptions
from copy_core.connectors.files.stores.azure_login import Login
from copy_core.connectors.files.stores.s3_login import entra_token
from copy_core.connectors.options import DeltaOptions, FabricLakehouseOptions, MssqlOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.connectors.sql.mssql import login
from copy_core.errors import ConfigError, TransientError
from copy_core.model import Slice
from copy_core.service.jobs_blob import BlobJobs
from copy_core.state.azure_tables import AzureTablesStateStore
from tests.conformance.onelake import onelake
from tests.planted import planted
from tests.servers import Azurite
from tests.unit.delta_lake import aim, batches, commit, numbers

THE_APP = "0c9f2a1e-0000-4000-8000-00000000beef"
ANOTHER = "0c9f2a1e-0000-4000-8000-00000000cafe"
HEADER = planted("only-for-this-app")
CONTAINER = {
    "type": "azure_blob",
    "account_url": "https://shop.blob.core.windows.net",
    "container": "c",
}
DATABASE = {"type": "azure_sql", "server": "s", "database": "d"}
LAKEHOUSE = {"type": "fabric_lakehouse", "workspace": "w", "lakehouse": "l", "schemas": False}
# Nobody listens there. The SDK asks for a token first.
NOWHERE = "https://127.0.0.1:1/shop"


def of(identity: str) -> str:
    """The token of an identity."""
    return planted(f"token-of-{identity}")


class Endpoint(ThreadingHTTPServer):
    """Gives out tokens.

    Attributes:
        asked: the query of each request.
        refusal: the status and message that it answers with instead.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []
        self.refusal: tuple[int, str] | None = None

    @property
    def clients(self) -> list[str | None]:
        """Whom tokens were asked for; None is the system-assigned identity."""
        return [query.get("client_id") for query in self.asked]


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        self.server.asked.append(query)
        right = self.headers.get("X-IDENTITY-HEADER") == HEADER
        status, message = self.server.refusal or ((200, "") if right else (401, "not the header"))
        said: dict[str, Any] = {"statusCode": status, "message": message}
        if status == 200:
            said = {
                "access_token": of(query.get("client_id", "the-system")),
                "expires_on": str(int(time.time()) + 3600),
                "resource": query["resource"],
                "token_type": "Bearer",
            }
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine signs in."""
    for name in (
        "CLIENT_ID", "TENANT_ID", "CLIENT_SECRET", "CLIENT_CERTIFICATE_PATH", "TOKEN_CREDENTIALS",
        "FEDERATED_TOKEN_FILE",
    ):  # fmt: skip
        monkeypatch.delenv(f"AZURE_{name}", raising=False)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The endpoint of an app that has identities."""
    with Endpoint() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        yield server
        server.shutdown()
        thread.join()


# Each signs in as one that names nobody, or as the identity that it is given.


def blobs(**named: str) -> str | None:
    return Login(AzureStorageOptions.model_validate({**CONTAINER, **named})).token()


def database(**named: str) -> str | None:
    return login.token(MssqlOptions.model_validate({**DATABASE, **named}))


def lakehouse(**named: str) -> str | None:
    options = FabricLakehouseOptions.model_validate({**LAKEHOUSE, **named})
    return (lake_of(options).storage or {})["bearer_token"]


def delta(**named: str) -> str | None:
    named = {name: value for name, value in named.items() if name != "auth"}
    options = DeltaOptions(
        type="delta", root="az://box/lake", storage={"account_name": "me"} | named
    )
    return (lake_of(options).storage or {})["bearer_token"]


WAYS = [blobs, database, lakehouse, delta]
Way = Callable[..., str | None]


@pytest.mark.parametrize("way", WAYS)
def test_the_identity_of_the_app_signs_in(
    way: Way, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", THE_APP)
    assert way() == of(THE_APP)
    assert way() == of(THE_APP)
    assert endpoint.clients == [THE_APP]


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_asks_for_a_managed_identity_gets_that_of_the_app(
    way: Way, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", THE_APP)
    assert way(auth="managed_identity") == of(THE_APP)
    assert endpoint.clients == [THE_APP]


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_may_name_another_identity(
    way: Way, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", THE_APP)
    assert way(auth="managed_identity", client_id=ANOTHER) == of(ANOTHER)
    assert endpoint.clients == [ANOTHER]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nobody", [None, ""])
def test_without_a_name_it_is_the_system_assigned_one(
    way: Way, nobody: str | None, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nobody is not None:
        monkeypatch.setenv("AZURE_CLIENT_ID", nobody)
    assert way() == of("the-system")
    assert endpoint.clients == [None]


def test_a_role_of_aws_is_assumed_by_the_identity_of_the_app(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", THE_APP)
    assert entra_token("api://aws") == of(THE_APP)
    assert endpoint.asked[0]["resource"] == "api://aws"


def test_state_jobs_and_connections_share_one_token(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", THE_APP)
    with AzureTablesStateStore.from_url(NOWHERE) as state, pytest.raises(TransientError):
        state.get("p", "k")
    with closing(BlobJobs.from_url(NOWHERE)) as jobs, pytest.raises(TransientError):
        jobs.list()
    blobs()
    delta()
    assert endpoint.clients == [THE_APP]


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("name", ["AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"])
def test_the_name_of_an_application_is_none_of_a_managed_identity(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", ANOTHER)
    monkeypatch.setenv(name, "of-the-application")
    assert blobs(auth="managed_identity") == of("the-system")


def test_a_developer_is_asked_once_for_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look of azure-identity starts an `az`."""
    said = {"accessToken": "of-a-developer", "expires_on": int(time.time()) + 3600}
    az = tmp_path / "az"
    az.write_text(
        f"#!/bin/sh\necho asked >>{tmp_path}/asked\ncat <<'END'\n{json.dumps(said)}\nEND\n"
    )
    az.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    assert [delta(), delta(), blobs()] == ["of-a-developer"] * 3
    assert (tmp_path / "asked").read_text().count("asked") == 1


# What fails


def test_an_identity_that_the_app_does_not_have_is_told(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", ANOTHER)
    endpoint.refusal = (400, "No User Assigned Managed Identity found for specified ClientId")
    with pytest.raises(ConfigError) as refused:
        blobs()
    assert refused.value.code == "login-failed"
    assert "No User Assigned Managed Identity found" in refused.value.what
    assert "EnvironmentCredential" not in refused.value.what
    assert "AZURE_CLIENT_ID" in refused.value.fix


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Azure CLI not found on path", "no way of signing in is set up"),
        (
            "Please run 'az login' to set up an account",
            "Please run 'az login' to set up an account",
        ),
        (
            "authentication unavailable, no response from the IMDS endpoint.",
            "no way of signing in is set up",
        ),
        (
            "authentication unavailable. No identity has been assigned to this resource.",
            "No identity has been assigned to this resource.",
        ),
    ],
)
def test_of_all_ways_those_that_are_set_up_are_told(said: str, told: str) -> None:
    way = f"ManagedIdentityCredential: {said}"
    none = "EnvironmentCredential: EnvironmentCredential authentication unavailable."
    error = no_sign_in(ClientAuthenticationError(f"Attempted credentials:\n\t{none}\n\t{way}\nSee"))
    assert told in error.what
    assert "EnvironmentCredential" not in error.what


def test_an_endpoint_that_is_busy_is_asked_again_later(endpoint: Endpoint) -> None:
    endpoint.refusal = (429, "Too many requests")
    with pytest.raises(TransientError, match="Too many requests"):
        blobs()


def test_the_same_of_the_state(endpoint: Endpoint) -> None:
    endpoint.refusal = (400, "Identity not found")
    with (
        AzureTablesStateStore.from_url(NOWHERE) as state,
        pytest.raises(ConfigError, match="Identity not found"),
    ):
        state.get("p", "k")


def test_where_nobody_can_sign_in_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(ConfigError, match="no way of signing in is set up"):
        blobs()


def test_a_way_of_signing_in_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "Passport")
    with pytest.raises(ConfigError, match="nobody can sign in") as refused:
        blobs()
    assert "AZURE_TOKEN_CREDENTIALS" in refused.value.fix


# Delta


@pytest.mark.parametrize(
    "storage",
    [
        {"account_name": "me", "AZURE_STORAGE_ACCOUNT_KEY": "${env:KEY}"},
        {"account_name": "me", "sas_token": "${env:KEY}"},
        {"account_name": "me", "bearer_token": "${env:KEY}"},
        {"client_id": ANOTHER, "client_secret": "${env:KEY}", "tenant_id": "t"},
        {"account_name": "me", "use_azure_cli": "true"},
        {"use_emulator": "true"},
    ],
)
def test_delta_signs_in_by_itself_where_it_is_told_how(storage: dict[str, str]) -> None:
    options = DeltaOptions(
        type="delta", root="abfss://box@me.dfs.core.windows.net", storage=storage
    )
    assert lake_of(options).storage == storage


@pytest.mark.parametrize(
    "name",
    ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET",
     "AZURE_FEDERATED_TOKEN_FILE"],
)  # fmt: skip
def test_delta_signs_in_by_what_it_finds_in_the_environment(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And renews it by itself."""
    monkeypatch.setenv(name, "a2V5")
    assert lake_of(DeltaOptions(type="delta", root="az://box")).storage is None


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AZURE_STORAGE_KEY", "a2V5"),  # that of the Azure CLI
        ("AZURE_STORAGE_KEY_LANDING", "a2V5"),  # of another connection
        ("AZURE_STORAGE_ACCOUNT_KEY", ""),
        ("AZURE_STORAGE_USE_EMULATOR", "false"),
    ],
)
def test_what_delta_does_not_know_does_not_sign_in(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert delta() == of("the-system")


def test_delta_elsewhere_has_no_identity_of_azure() -> None:
    assert lake_of(DeltaOptions(type="delta", root="s3://bucket")).storage is None


def test_delta_tables_are_written_and_read_by_the_identity_of_the_app(azurite: Azurite) -> None:
    """delta-rs by itself asks an endpoint that only virtual machines have."""
    box = f"box-{time.time_ns()}"
    options = DeltaOptions(type="delta", root=f"az://{box}/lake", storage={"account_name": "me"})
    with onelake(azurite) as stand_in:
        stand_in.create(box)
        target = aim(numbers(1))
        with open_destination(options) as to:
            schema = to.prepare(target)
            to.publish(commit(target, [to.stage(target, 0, batches(numbers(3), schema))]))
        with open_source(options) as source:
            read = source.read(Slice(object=target.object, columns=("id",)), 1000)
            assert pa.Table.from_batches(read).num_rows == 3
        assert stand_in.tokens() == 1
