"""Objects that the service fetches from another store by itself.

The emulator cannot. Before it stands a gate that can: asked for a block from an address, it gets
the bytes there and hands the emulator the block. It copies nothing in one step, as an account
behind a firewall.
"""

from __future__ import annotations

import http.client
import random
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import ContainerClient

from copy_core.connectors.file_options import S3Options
from copy_core.connectors.files.store import Entry, Properties, Store
from copy_core.connectors.files.stores import azure_fetch
from copy_core.errors import Cancelled, TransientError
from tests.s3 import s3_client
from tests.servers import Azurite, LocalStack
from tests.store_proxy import proxy
from tests.unit.test_azure_store import refused, serving, signature, store_of

THREADS = 8
KEY = "from/Größe +%2F"
FULL = Properties(
    content_type="text/csv", content_encoding="gzip", metadata={"n": "ü"}, tags={"a": "b"}
)


@pytest.fixture
def container(azurite: Azurite) -> Iterator[ContainerClient]:
    name = f"copies-{uuid.uuid4()}"
    with ContainerClient(azurite.blob_endpoint, name, azurite.key) as client:
        client.create_container()
        yield client


@pytest.fixture(params=["azure", "s3"])
def source(request: pytest.FixtureRequest) -> Store:
    if request.param == "azure":
        azurite: Azurite = request.getfixturevalue("azurite")
        container: ContainerClient = request.getfixturevalue("container")
        return store_of(
            azurite.blob_endpoint,
            container.container_name,
            prefix="source",
            account_key=azurite.key,
        )
    from copy_core.connectors.files.stores.s3 import S3Store

    server: LocalStack = request.getfixturevalue("localstack")
    bucket = f"copies-{uuid.uuid4()}"
    s3_client(server.endpoint).create_bucket(Bucket=bucket)
    return S3Store(
        S3Options.model_construct(  # not checked: these secrets are public
            type="s3",
            bucket=bucket,
            region=server.region,
            endpoint_url=server.endpoint,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
        )
    )


Asked = Callable[[str], None]


@contextmanager
def gate(
    azurite: Azurite, container: ContainerClient, asked: Asked = lambda _: None
) -> Iterator[Store]:
    """A store behind the gate, which tells of each address before it fetches from there."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k != "Host"}
            if "x-ms-requires-sync" in headers:
                self.refuse(403)
                return
            here = f"http://{self.headers['Host']}"
            address = headers.pop("x-ms-copy-source", "").replace(here, azurite.blob_origin)
            if address and "comp=block&" not in self.path:
                headers["x-ms-copy-source"] = address
            elif address:
                asked(address)
                wanted = {"Range": headers.pop("x-ms-source-range")}
                status, _, body = sent(address, "GET", wanted)
                if status != 206:
                    self.refuse(status)
                    return
                headers["Content-Length"] = str(len(body))
            url = f"http://127.0.0.1:{azurite.blob_port}{self.path}"
            status, answer, content = sent(url, self.command, headers, body)
            self.send_response(status)
            for name, value in answer.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.get("content-length", str(len(content))))
            self.end_headers()
            self.wfile.write(content)

        def refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("x-ms-error-code", "CannotVerifyCopySource")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_HEAD = do_DELETE = do_POST = do_GET  # noqa: N815 - as the base class has them

        def log_message(self, *_: object) -> None: ...

    rights = signature(container, azurite, "rwdlt")
    with serving(Handler) as url:
        yield store_of(
            f"{url}/{azurite.account}", container.container_name, prefix="target", sas=rights
        )


def sent(
    url: str, method: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body or None, headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def put(source: Store, size: int) -> tuple[bytes, Entry]:
    data = random.Random(size).randbytes(size)
    source.put(KEY, data)
    entry = source.stat(KEY)
    assert entry is not None
    return data, entry


@pytest.mark.parametrize("size", [1, (1 << 20) + 1, 3 << 20])
def test_the_service_fetches_an_object(
    azurite: Azurite,
    container: ContainerClient,
    source: Store,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(azure_fetch, "BLOCK", 1 << 20)
    data, entry = put(source, size)
    addresses: list[str] = []
    with gate(azurite, container, addresses.append) as target:
        done = target.copied(source, entry, "to/ü", FULL)
        assert done is not None
        assert done == target.stat("to/ü")
        assert target.read(done, 0, size) == data
        kept = target.properties(done)
    assert (kept.content_type, kept.metadata, kept.tags) == (
        FULL.content_type,
        FULL.metadata,
        FULL.tags,
    )
    assert len(addresses) == -(-size // (1 << 20))


def test_an_object_that_changes_meanwhile_does_not_appear(
    azurite: Azurite, container: ContainerClient, source: Store
) -> None:
    _, entry = put(source, 100)

    def change(_: str) -> None:
        source.put(KEY, bytes(100))

    with gate(azurite, container, change) as target:
        refused(
            lambda: target.copied(source, entry, "x", Properties()), TransientError, "file-changed"
        )
        assert list(target.list()) == []


def test_an_object_that_must_not_appear_any_more_does_not(
    azurite: Azurite, container: ContainerClient, source: Store
) -> None:
    _, entry = put(source, 100)

    def stopped() -> None:
        raise Cancelled("the run was asked to stop")

    with gate(azurite, container) as target:
        with pytest.raises(Cancelled):
            target.copied(source, entry, "x", Properties(), stopped)
        assert list(target.list()) == []


def test_what_the_service_cannot_fetch_it_is_not_asked_for_again(
    azurite: Azurite, container: ContainerClient, source: Store
) -> None:
    _, entry = put(source, 100)
    target = store_of(
        azurite.blob_endpoint, container.container_name, prefix="target", account_key=azurite.key
    )
    assert target.copied(source, entry, "x", Properties()) is None
    source.remove([KEY])  # so it would be an error now, if it were tried
    assert target.copied(source, entry, "x", Properties()) is None
    assert list(target.list()) == []


def test_of_many_at_once_one_finds_out_that_the_service_cannot(
    azurite: Azurite, container: ContainerClient, source: Store
) -> None:
    _, entry = put(source, 100)
    with proxy(azurite.blob_origin) as before, ThreadPoolExecutor(THREADS) as pool:
        target = store_of(
            f"{before.origin}/{azurite.account}",
            container.container_name,
            prefix="target",
            account_key=azurite.key,
        )
        keys = [f"{n}" for n in range(2 * THREADS)]
        done = list(pool.map(lambda key: target.copied(source, entry, key), keys))
        assert done == [None] * len(keys)
        assert len(before.requests) == 1


def test_many_objects_are_fetched_at_once(
    azurite: Azurite, container: ContainerClient, source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_fetch, "BLOCK", 1 << 20)
    data = random.Random(1).randbytes((2 << 20) + 1)
    entry = source.put(KEY, data, properties=FULL)
    with gate(azurite, container) as target, ThreadPoolExecutor(THREADS) as pool:
        keys = [f"{n}" for n in range(THREADS)]
        done = list(pool.map(lambda key: target.copied(source, entry, key), keys))
        for each in done:
            assert each is not None
            assert target.read(each, 0, len(data)) == data
            assert target.properties(each).metadata == FULL.metadata


def test_an_object_that_went_away_says_nothing_of_the_others(
    azurite: Azurite, container: ContainerClient, source: Store
) -> None:
    _, entry = put(source, 100)
    with gate(azurite, container) as target:
        source.remove([KEY])
        assert target.copied(source, entry, "x") is None
        data, other = put(source, 200)
        done = target.copied(source, other, "x")
        assert done is not None
        assert target.read(done, 0, 200) == data


def test_nothing_is_fetched_where_there_is_nothing(
    azurite: Azurite, container: ContainerClient, source: Store
) -> None:
    _, entry = put(source, 0)
    with gate(azurite, container, pytest.fail) as target:
        assert target.copied(source, entry, "x", Properties()) is None


def test_a_move_is_made_where_no_copy_in_one_step_is(
    azurite: Azurite, container: ContainerClient
) -> None:
    with gate(azurite, container) as target:
        target.put("x", b"123", properties=replace(FULL, content_encoding=""))
        target.put("y", b"old")
        target.move("x", "y")
        target.move("x", "y")
        (entry,) = target.list()
        assert entry.key == "y"
        assert target.read(entry, 0, 3) == b"123"
        assert target.properties(entry).metadata == FULL.metadata
