"""Azurite and LocalStack for tests: started by the first who asks, shared by all, never leaked.

A *session* is a folder and a lock on a file in it, held by one process (under pytest-xdist: the
controller). Each server runs under a *keeper*, a process of its own that waits for that lock. The
kernel gives it the lock when the session's process ends, however it ends, and the keeper then
stops its server and removes its files. So a server outlives the worker that started it, and
nothing outlives the session, not even after kill -9.
"""

import ctypes
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.planted import planted, planted_key
from tests.ports import ports_of_ones_own

HERE = Path(__file__).resolve().parents[1]
AZURITE = HERE / ".tools/azurite/node_modules/.bin/azurite"
LOCALSTACK = HERE / ".tools/localstack/bin/python"
START_SECONDS = 60.0
# Opened here: between fork and exec a child must not wait for a lock that another thread held.
_LIBC = ctypes.CDLL(None)


class ServerError(RuntimeError):
    """A server is not installed, or did not start."""


@dataclass(frozen=True)
class Azurite:
    """Blob, queue and table storage of Azure, with the account that every Azurite has."""

    blob_port: int
    queue_port: int
    table_port: int

    account = "devstoreaccount1"
    key = planted_key(64)
    # delta-rs signs with the account's other key, and finds the port in the environment variable
    # BLOB_URL_VARIABLE; the fixture sets it. Naming account, key and endpoint instead breaks at a
    # table's third commit.
    storage_options = {"use_emulator": "true"}
    BLOB_URL_VARIABLE = "AZURITE_BLOB_STORAGE_URL"

    @property
    def blob_origin(self) -> str:
        return f"http://127.0.0.1:{self.blob_port}"

    @property
    def blob_endpoint(self) -> str:
        return f"{self.blob_origin}/{self.account}"

    @property
    def queue_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.queue_port}/{self.account}"

    @property
    def table_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.table_port}/{self.account}"

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.blob_endpoint};QueueEndpoint={self.queue_endpoint};"
            f"TableEndpoint={self.table_endpoint};"
        )


@dataclass(frozen=True)
class LocalStack:
    """S3 of AWS. It takes any credentials, and requests without a signature."""

    port: int

    access_key = "test"
    secret_key = planted("secret-of-aws")
    region = "us-east-1"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage_options(self) -> dict[str, str]:
        """What delta-rs needs to read and write `s3://bucket/path` here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
            "aws_conditional_put": "etag",
        }


@contextmanager
def session(root: Path) -> Iterator[None]:
    """Servers started below `root` live until this ends, or the process does."""
    root.mkdir(parents=True, exist_ok=True)
    with _opened(root / "keepers.lock") as keepers:
        try:
            with _opened(root / "session.lock") as alive:
                fcntl.lockf(alive, fcntl.LOCK_EX)
                yield
        finally:
            fcntl.lockf(keepers, fcntl.LOCK_EX)  # each keeper shares this one until it is done
    shutil.rmtree(root, ignore_errors=True)


def azurite(root: Path) -> Azurite:
    """The session's Azurite, started if nobody has yet."""
    return Azurite(*_ports(root, "azurite", AZURITE))


def localstack(root: Path) -> LocalStack:
    """The session's LocalStack, started if nobody has yet."""
    return LocalStack(*_ports(root, "localstack", LOCALSTACK))


def _ports(root: Path, name: str, program: Path) -> list[int]:
    if not program.exists():
        raise ServerError(f"{name} is not installed: run `make setup`")
    answer = root / f"{name}.json"
    with _opened(root / f"{name}.lock") as starting:
        fcntl.lockf(starting, fcntl.LOCK_EX)
        if not answer.exists():
            answer.write_text(json.dumps(_start_keeper(root, name)))
        ports: list[int] = json.loads(answer.read_text())
        return ports


def _start_keeper(root: Path, name: str) -> list[int]:
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.servers", name, str(root)],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the tests, which may still need the server
        text=True,
    )
    keeper.returncode = 0  # nobody waits for it: it outlives us, which is no ResourceWarning
    assert keeper.stdout is not None
    with keeper.stdout:
        said = json.loads(keeper.stdout.readline() or '"its keeper died"')
    if isinstance(said, str):
        raise ServerError(f"{name} did not start: {said}")
    ports: list[int] = said
    return ports


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file to lock; closing it unlocks it.

    The locks are POSIX locks, since a forked child does not inherit them: it would hold on to a
    session that is over. Their price: no process may open one file twice.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


# The keeper's side: `python servers.py NAME ROOT`


def keep(name: str, root: Path) -> None:
    """Start a server, say its ports, wait for the session's end, stop the server."""
    with (
        _opened(root / "keepers.lock") as keepers,
        _opened(root / "session.lock") as session_end,
    ):
        fcntl.lockf(keepers, fcntl.LOCK_SH)
        try:
            with _running(_SERVERS[name], Path(tempfile.mkdtemp(dir=root))) as ports:
                print(json.dumps(ports), flush=True)
                fcntl.lockf(session_end, fcntl.LOCK_SH)
        except ServerError as error:
            print(json.dumps(str(error)), flush=True)
        finally:
            # Not while the session lives: its other servers, and those to come, need the files.
            with suppress(BlockingIOError):
                fcntl.lockf(session_end, fcntl.LOCK_SH | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)


@dataclass(frozen=True)
class _Server:
    ports: int
    command: Callable[[Path, list[int]], list[str]]
    environment: Callable[[Path, list[int]], dict[str, str]]
    health: str | None = None


def _azurite_command(folder: Path, ports: list[int]) -> list[str]:
    command = [str(AZURITE), "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    command += ["--location", str(folder)]
    for service, port in zip(("blob", "queue", "table"), ports, strict=True):
        command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
        # After five seconds it would break off connections, even one with a request on the way.
        command += [f"--{service}KeepAliveTimeout", "3600"]
    return command


# By Microsoft, for the emulators: no secret. delta-rs knows this one alone.
_PUBLISHED = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

# LocalStack 4.9 listens on all interfaces, whatever GATEWAY_LISTEN says, and keeps what is uploaded
# in parts where every LocalStack of the machine does; here it is told otherwise.
_AT_HOME = """
import os
from localstack.services.s3 import provider
from twisted.internet import endpoints
provider.DEFAULT_S3_TMP_DIR = os.path.join(os.environ["FILESYSTEM_ROOT"], "s3")
class AtHome(endpoints.TCP4ServerEndpoint):
    def __init__(self, reactor, port):
        super().__init__(reactor, port, interface="127.0.0.1")
endpoints.TCP4ServerEndpoint = AtHome
from localstack.runtime.main import main
main()
"""


def _localstack_environment(folder: Path, ports: list[int]) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": f"127.0.0.1:{ports[0]}",
        "SERVICES": "s3",
        "STRICT_SERVICE_LOADING": "1",
        "EAGER_SERVICE_LOADING": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        # All its files in our folder: in a container it would take /var/lib/localstack.
        "OVERRIDE_IN_DOCKER": "0",
        "FILESYSTEM_ROOT": str(folder),
        # Where it notes which plugins it has. Another's note may be half written, or empty for ever
        # when that one was killed, and with it none starts.
        "XDG_CACHE_HOME": str(folder),
    }


_SERVERS = {
    "azurite": _Server(
        3,
        _azurite_command,
        lambda _folder, _ports: {
            "AZURITE_ACCOUNTS": f"{Azurite.account}:{_PUBLISHED}:{Azurite.key}"
        },
    ),
    "localstack": _Server(
        1,
        lambda _folder, _ports: [str(LOCALSTACK), "-c", _AT_HOME],
        _localstack_environment,
        health="/_localstack/health",
    ),
}


@contextmanager
def _running(server: _Server, folder: Path) -> Iterator[list[int]]:
    """Start a server; its ports, once it answers there, are nobody else's while it lives."""
    deadline = time.monotonic() + START_SECONDS
    with (
        ports_of_ones_own(server.ports) as ports,
        (folder / "log").open("ab") as log,
        subprocess.Popen(
            server.command(folder, ports),
            cwd=folder,
            env=os.environ | server.environment(folder, ports),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # a keeper has one thread
        ) as process,
    ):
        try:
            while not all(_answers(port, server.health) for port in ports):
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (folder / "log").read_text(errors="replace")[-2000:]
                    raise ServerError(said or "it said nothing")
                time.sleep(0.05)
            yield ports
        finally:
            process.kill()


def die_with_parent() -> None:
    """On Linux, end this process when its parent ends, however that ends."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        _LIBC.prctl(set_parent_death_signal, signal.SIGKILL)


def _answers(port: int, health: str | None) -> bool:
    try:
        if health is None:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", health)
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]))
