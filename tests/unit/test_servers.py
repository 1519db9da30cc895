"""The storage servers of the tests: they work, and they never outlive their session."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError
from azure.data.tables import TableServiceClient, UpdateMode
from deltalake import DeltaTable, write_deltalake
from pyarrow.fs import AzureFileSystem

from tests import servers

ROWS = pa.table({"id": [1, 2, 3]})


def _serving(port: int) -> psutil.Process:
    """The process that listens there."""
    mine = ("127.0.0.1", port), psutil.CONN_LISTEN
    [pid] = [c.pid for c in psutil.net_connections("tcp4") if (c.laddr, c.status) == mine]
    return psutil.Process(pid)


@pytest.fixture
def name() -> str:
    """Of a table, container or bucket, used by nobody else."""
    return f"t{uuid.uuid4().hex}"


def test_azurite_tables_refuse_a_stale_etag(azurite: servers.Azurite, name: str) -> None:
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        table = service.create_table(name)
        table.create_entity({"PartitionKey": "p", "RowKey": "r", "n": 1})
        first = table.get_entity("p", "r")
        table.update_entity({**first, "n": 2}, mode=UpdateMode.REPLACE)
        with pytest.raises(ResourceModifiedError):
            table.update_entity(
                {**first, "n": 3},
                mode=UpdateMode.REPLACE,
                etag=first.metadata["etag"],
                match_condition=MatchConditions.IfNotModified,
            )
        assert table.get_entity("p", "r")["n"] == 2


def test_azurite_holds_a_delta_table(azurite: servers.Azurite, name: str) -> None:
    authority = azurite.blob_origin.removeprefix("http://")
    AzureFileSystem(
        account_name=azurite.account,
        account_key=azurite.key,
        blob_storage_authority=authority,
        blob_storage_scheme="http",
        dfs_storage_authority=authority,
        dfs_storage_scheme="http",
    ).create_dir(name)
    url = f"az://{name}/table"
    write_deltalake(url, ROWS, storage_options=azurite.storage_options)
    table = DeltaTable(url, storage_options=azurite.storage_options)
    assert table.to_pyarrow_table().equals(ROWS)


def test_localstack_returns_what_was_put(localstack: servers.LocalStack, name: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", localstack.port, timeout=60)
    try:
        for method, path, body in [("PUT", "", None), ("PUT", "/k", b"v"), ("GET", "/k", None)]:
            connection.request(method, f"/{name}{path}", body)
            response = connection.getresponse()
            assert response.status == http.HTTPStatus.OK
            answer = response.read()
        assert answer == b"v"
    finally:
        connection.close()
    url = f"s3://{name}/table"
    write_deltalake(url, ROWS, storage_options=localstack.storage_options)
    table = DeltaTable(url, storage_options=localstack.storage_options)
    assert table.to_pyarrow_table().equals(ROWS)
    elsewhere = Path("/tmp/localstack-s3-storage")  # where any LocalStack keeps parts by itself
    assert not (elsewhere / name).exists(), "it shares a folder with others, and leaves files"
    at_home = Path(_serving(localstack.port).cwd()) / "plux"  # which plugins it has
    assert at_home.exists(), "it reads at its start what others may just be writing"


HOLDER = """
import sys, time
from pathlib import Path
from tests import servers
with servers.session(Path(sys.argv[1])):
    print(servers.azurite(Path(sys.argv[1])).blob_port, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a session of its own, with a server in it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "session")],
        cwd=servers.HERE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_a_server_dies_with_a_killed_session(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    assert holder.stdout is not None
    port = int(holder.stdout.readline())
    socket.create_connection(("127.0.0.1", port)).close()
    server = _serving(port)
    os.kill(holder.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (tmp_path / "session").exists():
        assert time.monotonic() < deadline, "the killed session's server still runs"
        time.sleep(0.02)
    # Not whether nobody answers there: others may have been given the port by now.
    assert not server.is_running()


def test_a_missing_server_names_the_command_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(servers, "AZURITE", tmp_path / "nothing")
    with pytest.raises(servers.ServerError, match="make setup"):
        servers.azurite(tmp_path)


def test_a_server_that_does_not_start_says_why_and_takes_nothing_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = tmp_path / "session"
    with servers.session(root):
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tmp_path))  # Azurite does not find its node
            with pytest.raises(servers.ServerError, match="node"):
                servers.azurite(root)
        port = servers.azurite(root).blob_port
        socket.create_connection(("127.0.0.1", port)).close()


def test_nobody_is_given_a_port_that_a_server_has_yet_to_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def command(_folder: Path, ports: list[int]) -> list[str]:
        for port in ports:
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
        return ["sh", "-c", "echo no luck; exit 3"]

    late = servers._Server(2, command, lambda _folder, _ports: {})
    monkeypatch.setitem(servers._SERVERS, "late", late)
    servers.keep("late", tmp_path)
    assert "no luck" in capsys.readouterr().out
