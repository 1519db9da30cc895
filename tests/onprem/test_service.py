"""`copyjob serve` under a service manager: what it tells, and how it fails to start."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.planted import planted
from tests.ports import ports_of_ones_own
from tests.web.served import Served

TOKEN = planted("token")


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    folder = tmp_path / "jobs"
    folder.mkdir()
    return folder


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Where a service manager listens, as NOTIFY_SOCKET says it, and its socket."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        yield name, listening


def test_a_service_manager_is_told_when_it_answers_and_when_it_stops(
    manager: tuple[str, socket.socket], jobs: Path
) -> None:
    name, told = manager
    with Served(jobs, NOTIFY_SOCKET=name, COPYJOB_TOKEN=TOKEN) as server:
        assert told.recv(100) == b"READY=1"
        assert server.client.get("/api/runs").status_code == 200
        assert server.stop() == 0
        assert told.recv(100) == b"STOPPING=1"


def test_a_service_manager_that_is_gone_stops_nothing(jobs: Path, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    with Served(jobs, NOTIFY_SOCKET=gone, COPYJOB_TOKEN=TOKEN) as server:
        assert server.client.get("/api/health").status_code == 200
        assert "cannot be told READY=1" in server.log


def start(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COPYJOB_")}
    return subprocess.run(
        [sys.executable, "-m", "copy_core.cli", "serve", "--port", "0", *options],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(servers.HERE), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_service_shows_no_fresh_token_in_a_log(jobs: Path, tmp_path: Path) -> None:
    done = start(jobs, NOTIFY_SOCKET=str(tmp_path / "gone"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Set COPYJOB_TOKEN" in done.stderr


PRINCIPAL = {
    "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
    "AZURE_TENANT_ID": "4a3f5f4e-6f0a-4b0c-9a53-3a2d9a9b7f10",
    "AZURE_CLIENT_ID": "9d0c5b1e-2f43-4a51-8f34-0d6fd2a5a3b7",
    "AZURE_CLIENT_SECRET": planted("principal"),
}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--jobs", "blobs:${env:STORAGE}", "--state", "state.db"), "does not answer"),
        (("--jobs", ".", "--state", "tables:${env:STORAGE}"), "does not answer"),
        # Nobody is asked for the state before there is a token.
        (("--jobs", ".", "--state", "https://onprem.table.core.windows.net"), "Unable to connect"),
    ],
    ids=["jobs", "state", "sign-in"],
)
def test_what_cannot_be_reached_at_the_start_ends_it_as_a_failure(
    options: tuple[str, ...], says: str, jobs: Path
) -> None:
    # With the code for what passes by itself.
    with ports_of_ones_own(3) as ports:
        nobody = servers.Azurite(*ports)
        nowhere = {"STORAGE": nobody.connection_string, "HTTPS_PROXY": nobody.blob_origin}
        done = start(jobs, *options, **PRINCIPAL, **nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("error:") == 1
    assert says in done.stderr
    assert planted("principal") not in done.stderr
    assert servers.Azurite.key not in done.stderr
