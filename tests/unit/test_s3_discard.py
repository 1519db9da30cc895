"""Objects of S3 that go once they are copied: services heed etags, overlook them, or refuse."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from copy_core.connectors.file_options import S3Options
from copy_core.connectors.files.stores.s3 import S3Store
from copy_core.errors import ConfigError, CopyJobError
from tests.conditional_s3 import Conditions
from tests.s3 import s3_client
from tests.servers import LocalStack
from tests.store_proxy import Answer, Exchange, Proxy, Rule, answering, proxy


@pytest.fixture(scope="module")
def service(localstack: LocalStack) -> Iterator[Proxy]:
    with proxy(localstack.endpoint) as found:
        yield found


@pytest.fixture
def bucket(localstack: LocalStack) -> str:
    name = f"discard-{uuid.uuid4()}"
    s3_client(localstack.endpoint).create_bucket(Bucket=name)
    return name


def opened(bucket: str, endpoint: str) -> S3Store:
    return S3Store(
        S3Options.model_construct(  # not checked: these secrets are public
            type="s3",
            bucket=bucket,
            prefix="with prefix",
            region="us-east-1",
            endpoint_url=endpoint,
            access_key_id="test",
            secret_access_key="test",
        )
    )


@pytest.fixture
def direct(localstack: LocalStack, bucket: str) -> S3Store:
    return opened(bucket, localstack.endpoint)


@pytest.fixture
def store(service: Proxy, bucket: str) -> S3Store:
    service.reset()
    return opened(bucket, service.origin)


def filled(store: S3Store, *more: str) -> list[tuple[str, str]]:
    names = [*(f"a/{n:03}" for n in range(40)), *more]
    return [(key, store.put(key, b"1").etag) for key in names]


def keys(store: S3Store) -> list[str]:
    return [entry.key for entry in store.list()]


def asked(service: Proxy, method: str) -> int:
    return sum(each == method for each, _ in service.requests)


def test_many_go_with_one_request(store: S3Store, service: Proxy) -> None:
    copied = filled(store, "umlaut ü <&>")
    service.reset(Rule(Conditions()))
    store.discard(copied[:-1])
    assert keys(store) == [copied[-1][0]]
    assert asked(service, "POST") == 3  # two of them tried how the service takes etags
    assert asked(service, "HEAD") <= 16
    service.requests.clear()
    store.discard(copied[-1:])
    assert keys(store) == []
    assert (asked(service, "POST"), asked(service, "HEAD")) == (1, 0)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"quoted": True},
        {"together": False},
        {"together": False, "quoted": True},
    ],
    ids=str,
)
def test_what_is_replaced_at_the_last_moment_stays(
    direct: S3Store, store: S3Store, service: Proxy, conditions: dict[str, Any]
) -> None:
    """The service learns of it between its answer to a look and the removal."""
    copied = filled(direct, "tab\there", "z")
    store.discard([])
    late = [key for key, _ in copied[20:21] + copied[-1:]]

    def replace() -> None:
        for key in late:
            direct.put(key, b"new")

    service.reset(Rule(Conditions(before=replace, **conditions)))
    store.discard(copied)
    assert keys(direct) == late
    assert all(direct.read(entry, 0, entry.size) == b"new" for entry in direct.list())
    store.discard(copied)
    assert keys(direct) == late


@pytest.mark.parametrize(
    "conditions",
    [
        {"together": False, "singly": False},
        # It takes etags only as we do not write them: then no object would ever go.
        {"quoted": False},
    ],
    ids=str,
)
def test_a_service_that_heeds_no_etag_of_ours_is_asked_for_each_object(
    direct: S3Store,
    store: S3Store,
    service: Proxy,
    conditions: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    copied = filled(direct)
    direct.put("a/007", b"new")
    service.reset(Rule(Conditions(**conditions)))
    for some in (copied[:20], copied, copied):
        store.discard(some)
    assert keys(direct) == ["a/007"]
    assert caplog.text.count("heeds no etag") == 1


@pytest.mark.parametrize("code", ["NotImplemented", "MethodNotAllowed", "MalformedXML"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_service_that_refuses_a_way_is_asked_in_another(
    direct: S3Store, store: S3Store, service: Proxy, method: str, code: str
) -> None:
    copied = filled(direct)
    direct.put("a/007", b"new")
    conditions = Conditions()

    def refuse(exchange: Exchange) -> None:
        by_etag = exchange.method == "POST" or "If-Match" in exchange.headers
        if exchange.method == method and by_etag:
            answering(400, code)(exchange)
        else:
            conditions(exchange)

    service.reset(Rule(refuse))
    for _ in range(2):
        store.discard(copied)
        assert keys(direct) == ["a/007"]


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [(403, "AccessDenied", "no-right"), (409, "ConditionalRequestConflict", "store-busy")],
)
@pytest.mark.parametrize("key", ["plain", "tab\there"], ids=ascii)
def test_what_else_it_refuses_is_told(
    store: S3Store, service: Proxy, key: str, status: int, code: str, ours: str
) -> None:
    copied = [(key, store.put(key, b"1").etag)]
    meets = {"plain": "POST"}.get(key, "DELETE")
    service.reset(Rule(answering(status, code), meets=lambda method, _: method == meets))
    with pytest.raises(CopyJobError) as raised:
        store.discard(copied)
    assert raised.value.code == ours
    assert keys(store) == [key]


def test_one_that_is_refused_among_others_is_named(
    direct: S3Store, store: S3Store, service: Proxy
) -> None:
    copied = filled(direct)
    conditions = Conditions()
    tried: list[None] = []

    def refuse(exchange: Exchange) -> None:
        if exchange.method == "POST" and len(tried) == 2:
            body = b"<DeleteResult><Error><Key>with prefix/a/030</Key><Code>AccessDenied</Code>"
            exchange.reply(_answer(body + b"<Message>no</Message></Error></DeleteResult>"))
            return
        tried.extend([None] * (exchange.method == "POST"))
        conditions(exchange)

    service.reset(Rule(refuse))
    with pytest.raises(ConfigError) as raised:
        store.discard(copied)
    assert (raised.value.code, raised.value.where["file"]) == ("no-right", "a/030")


def test_nothing_that_is_gone_is_asked_for_twice(
    direct: S3Store, store: S3Store, service: Proxy
) -> None:
    copied = filled(direct)
    direct.remove(key for key, _ in copied)
    service.reset()
    store.discard(copied)
    methods: set[str] = {method for method, path in service.requests if "/a/" in path}
    assert methods == {"HEAD"}
    assert asked(service, "HEAD") == len(copied)
    assert asked(service, "POST") == asked(service, "DELETE") == 0


def _answer(body: bytes) -> Answer:
    return Answer(200, {"Content-Type": "application/xml"}, body)
