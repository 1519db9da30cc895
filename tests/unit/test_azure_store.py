"""What the store of Azure has of its own; what every store does is in the conformance kit."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import pytest
from azure.core.pipeline.transport import HttpTransport
from azure.storage.blob import (
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    generate_container_sas,
)
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.file_options import AzureStorageOptions
from copy_core.connectors.files.store import NOTHING, Entry, Properties, Store
from copy_core.connectors.files.stores import azure_copy
from copy_core.connectors.files.stores.azure import AzureStore
from copy_core.connectors.files.stores.azure_listing import by_bytes, slashed
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from tests.servers import Azurite
from tests.store_proxy import Rule, damaged, proxy
from tests.store_proxy import refused as broken

RACERS = 8


def store_of(url: str, container: str, **options: Any) -> AzureStore:
    kind: Literal["azure_blob"] = options.pop("type", "azure_blob")
    return AzureStore(
        AzureStorageOptions.model_construct(  # not checked: these secrets are public
            type=kind, account_url=url, container=container, **options
        )
    )


@pytest.fixture
def client(azurite: Azurite) -> Iterator[ContainerClient]:
    name = f"azure-{uuid.uuid4()}"
    with ContainerClient(azurite.blob_endpoint, name, azurite.key) as client:
        client.create_container()
        yield client


@pytest.fixture
def store(azurite: Azurite, client: ContainerClient) -> Store:
    return store_of(
        azurite.blob_endpoint, client.container_name, prefix="root", account_key=azurite.key
    )


def signature(client: ContainerClient, azurite: Azurite, rights: str, hours: int = 1) -> str:
    return generate_container_sas(
        azurite.account,
        client.container_name,
        azurite.key,
        permission=ContainerSasPermissions.from_string(rights),
        start=datetime.now(UTC) - timedelta(days=2),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )


# The order of a listing

letters = st.sampled_from("a-./0\ufff0\U0001f680")
names = st.sets(
    st.text(letters, min_size=1, max_size=5).filter(
        lambda name: all(step for step in name.split("/"))
    )
)


def utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


@given(names, st.sampled_from([str, utf16]))
def test_names_come_in_the_order_of_their_bytes(found: set[str], order: Callable[..., Any]) -> None:
    assert list(by_bytes(iter(sorted(found, key=order)))) == sorted(found)


@given(names, st.sampled_from([str, utf16]), st.booleans())
def test_folders_come_where_their_slash_does(
    found: set[str], order: Callable[..., Any], by_steps: bool
) -> None:
    level = {name.partition("/")[0] + "/" * ("/" in name) for name in found}
    level -= {name for name in level if f"{name}/" in level}
    listed = sorted(level, key=lambda name: order(name.rstrip("/") if by_steps else name))
    assert list(by_bytes(slashed(iter(listed)))) == sorted(level)


def test_marks_of_folders_are_no_objects(client: ContainerClient, azurite: Azurite) -> None:
    client.upload_blob("below/a", b"", metadata={"hdi_isfolder": "true"})
    client.upload_blob("below/a/b", b"1", metadata={"Other": "x"})
    client.upload_blob("below/c/", b"")
    for kind in ("azure_blob", "adls_gen2"):
        store = store_of(
            azurite.blob_endpoint,
            client.container_name,
            prefix="/below/",
            type=kind,
            account_key=azurite.key,
        )
        assert [entry.key for entry in store.list()] == ["a/b"]
        assert store.stat("a") is None


# Signing in


def test_marks_of_folders_are_where_names_that_go_on_are_too(
    client: ContainerClient, store: Store
) -> None:
    for name in ("d/", "d-old/1", "d.csv", "d/1", "d 2/1", "dd"):
        client.upload_blob(f"root/{name}", b"")
    assert [each.key for each in store.list()] == ["d 2/1", "d-old/1", "d.csv", "d/1", "dd"]


def test_a_data_lake_address_is_turned_into_one_of_blobs() -> None:
    store = store_of("https://acc.dfs.core.windows.net", "c", prefix="p/q/", auth="anonymous")
    assert store.label == "https://acc.blob.core.windows.net/c/p/q"


@pytest.mark.parametrize("auth", ["default", "managed_identity", "service_principal"])
def test_nobody_is_asked_before_something_is_needed(auth: str) -> None:
    who = {"tenant_id": "t", "client_id": "i", "client_secret": "s"}
    given = who if auth == "service_principal" else {}
    store_of("https://acc.blob.core.windows.net", "c", auth=auth, **given).close()


def test_a_signature_lets_in_as_far_as_it_goes(client: ContainerClient, azurite: Azurite) -> None:
    may_all = signature(client, azurite, "rwdl")
    store = store_of(azurite.blob_endpoint, client.container_name, sas=f"?{may_all}")
    store.put("a b/ü", b"123")
    store.move("a b/ü", "y")
    entry = store.stat("y")
    assert entry is not None
    assert store.read(entry, 1, 2) == b"23"
    store.remove(["y", "y"])
    assert list(store.list()) == []
    may_read = signature(client, azurite, "rl")
    refused(
        lambda: store_of(azurite.blob_endpoint, client.container_name, sas=may_read).put("x", b""),
        ConfigError,
        "no-right",
        "Storage Blob Data Contributor",
    )


def test_a_key_that_is_none_is_told(client: ContainerClient, azurite: Azurite) -> None:
    bad = store_of(azurite.blob_endpoint, client.container_name, account_key="no-key")
    caught = refused(lambda: list(bad.list()), ConfigError, "login-failed")
    assert "no-key" not in str(caught)


def test_an_account_that_has_no_name_takes_no_key() -> None:
    refused(
        lambda: store_of("https://files.example.com", "c", account_key="a2V5"),
        ConfigError,
        "login-failed",
        "ACCOUNT.blob.core.windows.net",
    )


# What the service answers

Answer = tuple[int, dict[str, str]]


@contextmanager
def answering(status: int, code: str, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A service that has one answer; with the address it gives the requests that came."""
    came: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            came.append(self.requestline)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            given = {"x-ms-error-code": code, "Content-Length": "0", **headers}
            for name, value in given.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        do_PUT = do_HEAD = do_DELETE = do_POST = do_GET  # noqa: N815 - as the base class has them

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as url:
        yield f"{url}/account", came


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refused(
    use: Callable[[], object], kind: type[CopyJobError], code: str, word: str = ""
) -> CopyJobError:
    with pytest.raises(kind) as caught:
        use()
    assert caught.value.code == code
    assert word in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "ours", "word"),
    [
        (404, "ContainerNotFound", ConfigError, "root-missing", "container"),
        (409, "ContainerBeingDeleted", ConfigError, "root-missing", "container"),
        (404, "BlobNotFound", TransientError, "file-moved", ""),
        (412, "ConditionNotMet", TransientError, "file-changed", ""),
        (416, "InvalidRange", TransientError, "short-read", ""),
        (401, "InvalidAuthenticationInfo", ConfigError, "login-failed", "clock"),
        (403, "AuthenticationFailed", ConfigError, "login-failed", "expires"),
        (403, "KeyBasedAuthenticationNotPermitted", ConfigError, "login-failed", "auth"),
        (403, "AuthorizationFailure", ConfigError, "no-right", "firewall"),
        (403, "AuthorizationPermissionMismatch", ConfigError, "no-right", "Data Reader"),
        (409, "BlobArchived", TerminalError, "archived", "archive tier"),
        (409, "BlobBeingRehydrated", TerminalError, "archived", "hours"),
        (412, "LeaseIdMissing", TerminalError, "leased", "lease"),
        (409, "InvalidBlobType", TerminalError, "blob-type", "Delete"),
        (400, "InvalidResourceName", ConfigError, "bad-name", "1,024"),
        (400, "Md5Mismatch", TransientError, "checksum", ""),
        (400, "InvalidBlockList", TransientError, "upload-lost", ""),
        (429, "TooManyRequests", TransientError, "storage-unreachable", ""),
        (400, "InvalidMetadata", TerminalError, "storage-refused", ""),
    ],
)
def test_an_answer_is_told_by_what_to_do(
    status: int, code: str, kind: type[CopyJobError], ours: str, word: str
) -> None:
    with answering(status, code) as (url, _):
        store = store_of(url, "c", auth="anonymous")
        entry = Entry("a/x", 5, 0, "0x1")
        caught = refused(lambda: store.read(entry, 1, 2), kind, ours, word)
        assert caught.where["file"] == "a/x"


def test_a_busy_service_says_how_long_to_wait() -> None:
    with answering(503, "ServerBusy", Retry_After="7") as (url, came):
        store = store_of(url, "c", auth="anonymous")
        caught = refused(
            lambda: store.put("x", b"1", NOTHING), TransientError, "storage-unreachable"
        )
        assert isinstance(caught, TransientError)
        assert caught.retry_after == 7.0
        # A second try of a conditional put could be refused because of the first.
        assert len(came) == 1


def test_a_service_that_is_away_may_come_back() -> None:
    with answering(200, "") as (url, _):
        pass
    store = store_of(url, "c", auth="anonymous")
    refused(lambda: store.put("x", b"1", NOTHING), TransientError, "storage-unreachable")


# Its clock


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpTransport, "sleep", lambda *_: None)


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_breaks_once_does_not_stop_the_clock(
    client: ContainerClient, azurite: Azurite
) -> None:
    with proxy(azurite.blob_origin) as between:
        store = store_of(
            f"{between.origin}/{azurite.account}", client.container_name, account_key=azurite.key
        )
        between.reset(Rule(broken, times=1))
        assert abs(store.now() - time.time_ns()) < 60 * 10**9
        assert between.hits == 1


@pytest.mark.usefixtures("impatient")
def test_nobody_waits_for_ever_for_the_clock(client: ContainerClient, azurite: Azurite) -> None:
    with proxy(azurite.blob_origin) as between:
        store = store_of(
            f"{between.origin}/{azurite.account}", client.container_name, account_key=azurite.key
        )
        # The SDK tries again, with success, and tells nothing of the answer.
        between.reset(Rule(broken, every=2))
        refused(store.now, TransientError, "storage-unreachable", "network")
    # Now nothing is there at all.
    refused(store.now, TransientError, "storage-unreachable")


@pytest.mark.parametrize(
    ("status", "code", "kind", "ours"),
    [
        (404, "ContainerNotFound", ConfigError, "root-missing"),
        (403, "AuthorizationFailure", ConfigError, "no-right"),
        (503, "ServerBusy", TransientError, "storage-unreachable"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_clock_that_may_not_be_asked(
    status: int, code: str, kind: type[CopyJobError], ours: str
) -> None:
    with answering(status, code) as (url, _):
        refused(store_of(url, "c", auth="anonymous").now, kind, ours)


# Objects that others wrote


def test_packed_bytes_stay_packed(client: ContainerClient, store: Store) -> None:
    settings = ContentSettings(content_encoding="gzip")
    client.upload_blob("root/x", b"\x1f\x8b not gzip at all", content_settings=settings)
    entry = store.stat("x")
    assert entry is not None
    assert store.read(entry, 0, entry.size) == b"\x1f\x8b not gzip at all"


def test_bytes_are_held_against_the_md5_that_is_known(
    client: ContainerClient, store: Store
) -> None:
    client.upload_blob("root/x", b"123")
    wrong = ContentSettings(content_md5=bytearray(16))
    client.get_blob_client("root/x").set_http_headers(wrong)
    entry = store.stat("x")
    assert entry is not None
    refused(lambda: store.read(entry, 0, 3), TransientError, "checksum", "Content-MD5")
    assert store.read(entry, 1, 2) == b"23"


@pytest.mark.parametrize("md5", [None, hashlib.md5(b"123").digest()])
def test_bytes_that_change_on_their_way_are_refused(
    azurite: Azurite, client: ContainerClient, store: Store, md5: bytes | None
) -> None:
    with proxy(azurite.blob_origin) as between:
        url = azurite.blob_endpoint.replace(azurite.blob_origin, between.origin)
        through = store_of(url, client.container_name, prefix="root", account_key=azurite.key)
        between.reset(Rule(damaged, times=1))
        properties = Properties(md5=md5)
        refused(lambda: through.put("x", b"123", properties=properties), TransientError, "checksum")
    assert store.stat("x") is None


@pytest.mark.parametrize("kind", ["append", "page"])
def test_other_kinds_of_blobs_are_read(client: ContainerClient, store: Store, kind: str) -> None:
    blob = client.get_blob_client("root/x")
    if kind == "append":
        blob.create_append_blob()
        blob.append_block(b"1" * 512)
    else:
        blob.create_page_blob(512)
        blob.upload_page(b"1" * 512, 0, 512)
    entry = store.stat("x")
    assert entry is not None
    assert store.read(entry, 0, 512) == b"1" * 512


def test_metadata_is_fitted_to_the_service(store: Store) -> None:
    odd = {"my-key": "1", "my_key": "2", "9": "=?UTF-8?B?eA==?=", "hdi_isfolder": "true", "e": ""}
    tags = {"good": "a/b", "bad!": "x", "long": "y" * 257}
    entry = store.put("x", b"1", properties=Properties(metadata=odd, tags=tags))
    found = store.properties(entry)
    assert found.metadata == {"my_key": "1", "_9": "=?UTF-8?B?eA==?=", "e": ""}
    assert found.tags == {"good": "a/b"}


def test_a_backslash_is_refused(store: Store) -> None:
    refused(lambda: store.put("a\\..\\..\\b", b""), ConfigError, "bad-name", "backslash")


def test_parts_that_lack_are_missed(store: Store) -> None:
    upload = store.upload("x")
    upload.put(1, bytes(upload.part_bytes))
    refused(upload.complete, TerminalError, "part-missing")
    assert store.stat("x") is None


def test_of_two_uploads_at_once_one_is_told_to_begin_again(store: Store) -> None:
    first, second = store.upload("x"), store.upload("x")
    data = bytes(first.part_bytes)
    for upload in (first, second):
        upload.put(0, data)
        upload.put(1, b"1")
    first.complete()
    refused(second.complete, TransientError, "upload-lost")
    entry = store.stat("x")
    assert entry is not None
    assert entry.size == len(data) + 1


# Large moves


def test_a_large_object_is_moved_by_many_as_by_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_copy, "AT_ONCE", 0)
    kept = Properties(content_type="a/b", metadata={"a": "1"}, tags={"t": "2"})
    for there in (False, True):
        data = str(there).encode() * 1000
        store.put("x", data, properties=kept)
        with ThreadPoolExecutor(RACERS) as pool:
            list(pool.map(lambda _: store.move("x", "y"), range(RACERS)))
        entry = store.stat("y")
        assert entry is not None
        assert [each.key for each in store.list()] == ["y"]
        assert store.read(entry, 0, entry.size) == data
        found = store.properties(entry)
        assert (found.content_type, found.metadata, found.tags) == ("a/b", {"a": "1"}, {"t": "2"})
