"""Jobs with `delete_source`, from services whose objects change at the very last moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conditional_s3 import Conditions
from tests.conformance.faulty_copies import FILES, Copies, Setting
from tests.crash.places import TABLE
from tests.crash.store_places import Kind
from tests.servers import Azurite, LocalStack
from tests.store_proxy import Exchange, Fault, Rule, proxy

SERVICES = ["azure_blob", "adls_gen2", "s3"]
CHANGED = f"{TABLE}/deep/é +%20"


def removes(method: str, path: str) -> bool:
    """Whether a request removes several objects."""
    question = path.partition("?")[2]
    return method == "POST" and ("comp=batch" in question or question.startswith("delete"))


def heeding(service: str, before: Callable[[], object]) -> Fault:
    """The service as it is at home, and what happens just before it removes objects."""
    if service == "s3":
        return Conditions(before=before)

    def fault(exchange: Exchange) -> None:
        if removes(exchange.method, exchange.path):
            before()
        exchange.reply(exchange.forward())

    return fault


@pytest.mark.parametrize("service", SERVICES)
def test_an_object_that_is_replaced_at_the_last_moment_goes_with_the_next_window(
    localstack: LocalStack, azurite: Azurite, tmp_path: Path, service: str
) -> None:
    origin, endpoint = azurite.blob_origin, azurite.blob_endpoint
    if service == "s3":
        origin = endpoint = localstack.endpoint
    with proxy(origin) as before:
        kind = Kind(service, "binary", endpoint, f"discards-{uuid.uuid4()}")
        copies = Copies(Setting(service, "source", "binary", "append"), kind, before, tmp_path)
        copy, source = copies.new(), copies.container
        changes: list[bytes] = [b"new"]

        def replace() -> None:
            while changes:
                source.put(CHANGED, changes.pop())

        before.reset(Rule(heeding(service, replace)))
        assert copy.run(delete_source=True) is None
        assert not changes
        assert list(source.keys()) == [CHANGED]
        assert source.get(CHANGED) == b"new"
        assert copy.found()["deep/é +%20"] == FILES["binary"]["deep/é +%20"]
        assert copy.run(delete_source=True) is None
        assert list(source.keys()) == []
        copy.check({"deep/é +%20": b"new"})
