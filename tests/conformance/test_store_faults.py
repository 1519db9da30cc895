"""Whole jobs while a network breaks and a service is busy: a finished copy, or a clear error after
which the next run finishes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from azure.core.pipeline.transport import HttpTransport
from botocore.retries.standard import ExponentialBackoff

from copy_core import flow
from copy_core.connectors.files import parcel
from copy_core.connectors.files.stores import azure_upload, local
from tests.conformance.faulty_copies import FILES, PIECE, Copies, Setting
from tests.crash.places import TABLE
from tests.crash.store_places import Kind, written
from tests.servers import Azurite, LocalStack
from tests.store_proxy import (
    Exchange,
    Fault,
    Outage,
    Proxy,
    Rule,
    answering,
    damaged,
    half_answered,
    half_sent,
    lost,
    proxy,
    refused,
    shortened,
    truncated,
)

SETTINGS = [
    Setting("s3", "source", "parquet", "append"),
    Setting("s3", "source", "binary", "append"),
    Setting("s3", "destination", "parquet", "append"),
    Setting("s3", "destination", "binary", "overwrite"),
    Setting("azure_blob", "source", "parquet", "append"),
    Setting("azure_blob", "source", "binary", "append"),
    Setting("azure_blob", "destination", "parquet", "overwrite"),
    Setting("azure_blob", "destination", "binary", "append"),
]
BUSY = {"s3": "SlowDown", "azure_blob": "ServerBusy"}
EXPIRED = {
    "s3": answering(400, "ExpiredToken"),
    "azure_blob": answering(403, "AuthenticationFailed"),
}
ALWAYS = 1_000_000
FAULTS: dict[str, dict[str, tuple[Fault, int]]] = {
    service: {
        "busy": (answering(503, BUSY[service], retry_after=1), ALWAYS),
        # Only the flow tries again after this one, four times.
        "too many": (answering(429, "TooManyRequests"), 4),
        "broken": (answering(500, "InternalError"), ALWAYS),
        "refused": (refused, ALWAYS),
        "half sent": (half_sent, ALWAYS),
        "lost": (lost, ALWAYS),
        "half answered": (half_answered, ALWAYS),
        "truncated": (truncated, ALWAYS),
    }
    for service in BUSY
}
"""The faults of a store, and how often they come in a run."""
READS = [setting for setting in SETTINGS if setting.role == "source"]
WRITES = [setting for setting in SETTINGS if setting.role == "destination"]
BINARY = [setting for setting in SETTINGS if setting.form == "binary"]
FULL = [setting._replace(write="overwrite") for setting in BINARY if setting in READS]
CHANGED = {
    "parquet": ("1.parquet", written([(i, i, -i) for i in range(700, 900)], "parquet")),
    "binary": ("large", bytes(reversed(range(256))) * (2 * PIECE // 256) + b"another end"),
}
"""The name of a file in each format, and what it is replaced with."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before another try; objects of some KiB count as large."""
    monkeypatch.setattr(flow, "backoff", lambda *_: 0.0)
    monkeypatch.setattr(parcel.Parcel, "_pause", lambda *_: None)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(HttpTransport, "sleep", lambda *_: None)
    for module, name in ((parcel, "PIECE"), (local, "_PART_BYTES"), (azure_upload, "_LEAST")):
        monkeypatch.setattr(module, name, PIECE)


@pytest.fixture(scope="module")
def s3(localstack: LocalStack) -> Iterator[Proxy]:
    with proxy(localstack.endpoint) as found:
        yield found


@pytest.fixture(scope="module")
def azure_blob(azurite: Azurite) -> Iterator[Proxy]:
    with proxy(azurite.blob_origin) as found:
        yield found


def made(request: pytest.FixtureRequest, setting: Setting, folder: Path) -> Copies:
    server = request.getfixturevalue("localstack" if setting.service == "s3" else "azurite")
    endpoint = server.endpoint if setting.service == "s3" else server.blob_endpoint
    kind = Kind(setting.service, setting.form, endpoint, f"faults-{uuid.uuid4()}")
    before: Proxy = request.getfixturevalue(setting.service)
    before.reset()
    return Copies(setting, kind, before, folder)


@pytest.fixture(params=SETTINGS, ids="-".join)
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Copies:
    return made(request, request.param, tmp_path)


@pytest.mark.parametrize("name", FAULTS["s3"])
def test_faults_all_the_time(copies: Copies, name: str) -> None:
    """Each fifth request fails; two of the five ways to count them, other ones for each fault."""
    fault, times = FAULTS[copies.setting.service][name]
    begin = list(FAULTS["s3"]).index(name)
    for first in (begin % 5, (begin + 2) % 5):
        copy = copies.new()
        copies.proxy.reset(Rule(fault, first=first, every=5, times=times))
        assert copy.run() is None
        assert copies.proxy.hits
        copy.check()


@pytest.mark.parametrize("copies", WRITES, ids="-".join, indirect=True)
@pytest.mark.parametrize("begin", range(3))
def test_an_outage_from_any_write_on(copies: Copies, begin: int) -> None:
    """A write is done and not answered, and the run ends: the next one goes on from there."""
    for writes in count(begin, 3):
        copy, outage = copies.new(), Outage(writes)
        copies.proxy.reset(Rule(outage))
        error = copy.run(retries=0)
        copies.proxy.reset()
        if not outage.begun:
            break
        assert error is None or error["recovery"] == "transient"
        assert copy.run() is None
        copy.check()
    assert error is None
    assert writes > 3
    copy.check()


def test_expired_credentials(copies: Copies) -> None:
    for first in range(1, 30, 7):
        copy = copies.new()
        copies.proxy.reset(Rule(EXPIRED[copies.setting.service], first=first))
        error = copy.run()
        copies.proxy.reset()
        if error is not None:
            assert (error["recovery"], error["code"]) == ("config", "login-failed")
            assert error["fix"]
        else:  # only what was left over could not be cleared away
            assert first > 1
        assert copy.run() is None
        copy.check()


def test_a_container_that_does_not_exist(copies: Copies) -> None:
    field = "bucket" if copies.setting.service == "s3" else "container"
    copies.through = copies.through.model_copy(update={field: "faults-nowhere"})
    error = copies.new().run()
    assert error is not None
    assert (error["recovery"], error["code"]) == ("config", "root-missing")
    assert field in error["fix"]


@pytest.mark.parametrize("copies", FULL, ids="-".join, indirect=True)
def test_a_name_that_leads_elsewhere(copies: Copies) -> None:
    """Not every service would take such a name; this one lists it all the same."""
    outside = f"{TABLE}/../../outside"

    def rename(exchange: Exchange) -> None:
        answer = exchange.forward()
        body = answer.body.replace(f">{TABLE}/a<".encode(), f">{outside}<".encode())
        exchange.reply(answer._replace(body=body))

    copy = copies.new()
    copies.proxy.reset(Rule(rename, meets=lambda _, path: "prefix=" in path))
    error = copy.run()
    assert error is not None
    assert (error["recovery"], error["code"]) == ("config", "path-outside")
    assert error["where"]["file"] == outside
    assert not list(copies.folder.rglob("outside"))


@pytest.mark.parametrize("copies", READS, ids="-".join, indirect=True)
def test_objects_that_come_short(copies: Copies) -> None:
    copy = copies.new()
    copies.proxy.reset(Rule(shortened, times=4, meets=whole("GET")))
    assert copy.run() is None
    assert copies.proxy.hits == 4
    copy.check()


@pytest.mark.parametrize(
    "copies", [s for s in SETTINGS if s.form == "binary"], ids="-".join, indirect=True
)
def test_bytes_that_change_on_their_way(copies: Copies) -> None:
    copy = copies.new()
    method = "GET" if copies.setting.role == "source" else "PUT"
    copies.proxy.reset(Rule(damaged, times=4, meets=whole(method)))
    assert copy.run() is None
    assert copies.proxy.hits == 4
    copy.check()


@pytest.mark.parametrize("copies", [*READS, *FULL], ids="-".join, indirect=True)
def test_an_object_that_changes_while_it_is_read(copies: Copies) -> None:
    form = copies.setting.form
    name, new = CHANGED[form]
    for reads in (0, 1) if form == "parquet" else (0, 2):
        copies.container.put(f"{TABLE}/{name}", FILES[form][name])
        copy = copies.new()

        def change(exchange: Exchange) -> None:
            copies.container.put(f"{TABLE}/{name}", new)
            exchange.reply(exchange.forward())

        meets = whole("GET", name)
        copies.proxy.reset(Rule(change, first=reads, times=1, meets=meets))
        error = copy.run()
        assert copies.proxy.hits
        assert error is None or error["code"] == "source-changed"
        if form == "binary":
            assert error is None
            assert copy.found().get(name, new) == new
        assert copy.run() is None
        copy.check({name: new})


@pytest.mark.parametrize("fault", [lost, half_sent, answering(503, "SlowDown")])
def test_a_large_object_in_parts(
    request: pytest.FixtureRequest, tmp_path: Path, fault: Fault
) -> None:
    """S3 takes no parts that are as small as those of the other tests."""
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    large = bytes(range(256)) * (17 << 12) + b"end"
    monkeypatch.setitem(FILES["binary"], "large", large)
    monkeypatch.setattr(parcel, "PIECE", 8 << 20)
    copies = made(request, Setting("s3", "destination", "binary", "overwrite"), tmp_path)
    for first in range(2):
        copy = copies.new()
        copies.proxy.reset(Rule(fault, first=first, every=2, times=3, meets=in_parts))
        assert copy.run() is None
        assert copies.proxy.hits == 3
        copy.check()


def whole(method: str, name: str = "") -> Callable[[str, str], bool]:
    """Picks requests of a method for objects of the table, or one of them."""

    def meets(asked: str, path: str) -> bool:
        key, _, question = path.partition("?")
        return asked == method and f"/{TABLE}/{name}" in key and "tagging" not in question

    return meets


def in_parts(method: str, path: str) -> bool:
    return method != "GET" and "upload" in path.partition("?")[2]
