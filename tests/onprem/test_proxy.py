"""Where a server reaches the cloud by a proxy alone, everything that goes there asks the proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests import servers

KEY = servers.Azurite.key
STORAGE = f"DefaultEndpointsProtocol=https;AccountName=onprem;AccountKey={KEY}"
PRINCIPAL = {
    "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
    "AZURE_TENANT_ID": "4a3f5f4e-6f0a-4b0c-9a53-3a2d9a9b7f10",
    "AZURE_CLIENT_ID": "9d0c5b1e-2f43-4a51-8f34-0d6fd2a5a3b7",
}
LOGIN = "login.microsoftonline.com:443"
CONNECTIONS = """\
connections:
  blob:
    type: azure_blob
    account_url: https://onprem.blob.core.windows.net
    container: c
    account_key: ${env:KEY}
  s3:
    type: s3
    bucket: onprem
    region: eu-central-1
    access_key_id: ${env:KEY}
    secret_access_key: ${env:KEY}
  lake:
    type: delta
    root: az://c/lake
    storage: {account_name: onprem, account_key: "${env:KEY}"}
  lake_s3:
    type: delta
    root: s3://onprem/lake
    storage:
      region: eu-central-1
      aws_access_key_id: ${env:KEY}
      secret_access_key: ${env:KEY}
  fabric:
    type: fabric_lakehouse
    workspace: w
    lakehouse: l
    schemas: true
"""


@pytest.fixture
def asked() -> Iterator[tuple[str, Queue[str]]]:
    """A proxy that lets nobody through: its address, and the hosts that it was asked for."""
    hosts: Queue[str] = Queue()

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            hosts.put(self.path)
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", hosts
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file, as `az ad sp create-for-rbac` makes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "copyjob")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("principal") / "azure.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + made.public_bytes(pem))
    return file


BY_KEY = ("--jobs", "blobs:${env:STORAGE}", "--state", "here.db")
STATE = ("--jobs", ".", "--state", "tables:${env:STORAGE}")
BY_IDENTITY = ("--jobs", ".", "--state", "https://onprem.table.core.windows.net")


ASKED = {
    ("serve", *BY_KEY): "onprem.blob.core.windows.net:443",
    ("serve", *STATE): "onprem.table.core.windows.net:443",
    ("serve", *BY_IDENTITY): LOGIN,
    ("doctor", "blob"): "onprem.blob.core.windows.net:443",
    ("doctor", "s3"): "onprem.s3.eu-central-1.amazonaws.com:443",
    ("doctor", "lake"): "onprem.blob.core.windows.net:443",
    ("doctor", "lake_s3"): "s3.eu-central-1.amazonaws.com:443",
    ("doctor", "fabric"): LOGIN,
}
HOSTS = set(ASKED.values())


@pytest.mark.parametrize("command", ASKED, ids=" ".join)
def test_what_leaves_the_machine_asks_the_proxy(
    command: tuple[str, ...], certificate: Path, asked: tuple[str, Queue[str]], tmp_path: Path
) -> None:
    proxy, hosts = asked
    (tmp_path / "connections.yaml").write_text(CONNECTIONS, "utf-8")
    clean = {k: v for k, v in os.environ.items() if "proxy" not in k.casefold()}
    environment = {**clean, **PRINCIPAL, "STORAGE": STORAGE, "KEY": KEY, "HTTPS_PROXY": proxy}
    environment["AZURE_CLIENT_CERTIFICATE_PATH"] = str(certificate)
    with subprocess.Popen(
        [sys.executable, "-m", "copy_core.cli", *command],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(servers.HERE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        # What it would try next is none of our business; the test's own limit ends a vain wait.
        assert hosts.get() == ASKED[command]
        with suppress(ProcessLookupError):
            process.kill()
