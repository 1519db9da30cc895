"""What storage events say, and what they start."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.errors import ConfigError, TransientError
from copy_core.model import RunRequest
from copy_core.service import events, ticker
from copy_core.service.events import Created, Handshake
from copy_core.service.service import Service
from tests.unit.engine import Died, Place, Watched

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://contoso.blob.core.windows.net/landing/orders/new%20%C3%BC%25.csv"
PATH = "landing/orders/new ü%.csv"
PLAIN = f"https://contoso.blob.core.windows.net/{PATH}"


def blob(url: str = URL, **data: Any) -> dict[str, Any]:
    """An event as Event Grid writes it."""
    return {
        "topic": "/subscriptions/1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/c",
        "subject": "/blobServices/default/containers/landing/blobs/orders/new ü%.csv",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": "831e1650-001e-001b-66ab-eeb76e069631",
        "eventTime": "2026-11-22T11:59:58.1234567Z",
        "data": {"api": "PutBlockList", "eTag": "0x8D4", "contentLength": 3, "url": url, **data},
        "dataVersion": "2",
        "metadataVersion": "1",
    }


def cloud(event: dict[str, Any]) -> dict[str, Any]:
    """The same event as a CloudEvent."""
    return {
        "specversion": "1.0",
        "source": event["topic"],
        "subject": event["subject"],
        "type": event["eventType"],
        "id": event["id"],
        "time": event["eventTime"],
        "data": event["data"],
    }


def s3(key: str = "orders/2026/new+%C3%BC%25.csv", name: str = "ObjectCreated:Put") -> Any:
    """A notification as S3 writes it."""
    thing = {"key": key, "size": 3, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD90281E5"}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventTime": "2026-11-22T11:59:58.123Z",
                "eventName": name,
                "s3": {"bucket": {"name": "bucket"}, "object": thing},
            }
        ]
    }


def parsed(event: Any) -> list[Created]:
    found = events.parse(json.dumps(event).encode())
    assert isinstance(found, list)
    return found


# What is said


@pytest.mark.parametrize("event", [[blob()], blob(), cloud(blob()), [cloud(blob())]])
def test_a_blob_of_either_schema(event: Any) -> None:
    (created,) = parsed(event)
    assert created == Created(
        PLAIN,
        PATH,
        "0x8D4",
        "831e1650-001e-001b-66ab-eeb76e069631",
        datetime(2026, 11, 22, 11, 59, 58, 123456, UTC),
    )


def test_a_file_of_a_data_lake_has_the_address_of_its_blob() -> None:
    flushed = blob(URL.replace(".blob.", ".dfs."), api="FlushWithClose")
    (created,) = parsed([flushed])
    assert (created.url, created.path) == (PLAIN, PATH)


def test_a_file_of_a_data_lake_counts_once_it_is_written() -> None:
    assert parsed([blob(api="CreateFile", contentLength=0)]) == []
    assert len(parsed([blob(api="CreateFile", contentLength=7)])) == 1


def test_a_file_that_was_renamed_is_at_its_new_name() -> None:
    event = blob() | {"eventType": "Microsoft.Storage.BlobRenamed"}
    event["data"] = {
        "api": "RenameFile",
        "sourceUrl": "https://contoso.dfs.core.windows.net/landing/tmp/x",
        "destinationUrl": URL.replace(".blob.", ".dfs."),
    }
    (created,) = parsed([event])
    assert (created.url, created.path, created.etag) == (PLAIN, PATH, "")


def test_a_notification_of_s3() -> None:
    (created,) = parsed(s3())
    assert created.url == "s3://bucket/orders/2026/new ü%.csv"
    assert created.path == "bucket/orders/2026/new ü%.csv"
    assert (created.etag, created.event_id) == ("", "0055AED6DCD90281E5")
    assert created.time == datetime(2026, 11, 22, 11, 59, 58, 123000, UTC)


def test_a_notification_through_sns() -> None:
    envelope = {"Type": "Notification", "MessageId": "1", "Message": json.dumps(s3())}
    assert parsed(envelope) == parsed(s3())


def test_an_event_of_event_bridge() -> None:
    thing = {"key": "orders/a+b %20.csv", "etag": "e1", "sequencer": "00617F08299329D189"}
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-11-22T11:59:58Z",
        "detail": {"bucket": {"name": "bucket"}, "object": thing},
    }
    (created,) = parsed(event)
    assert created == Created(
        "s3://bucket/orders/a+b %20.csv",
        "bucket/orders/a+b %20.csv",
        "e1",
        "17793124-05d4-b198-2fde-7ededc63b103",
        datetime(2026, 11, 22, 11, 59, 58, tzinfo=UTC),
    )
    assert parsed(event | {"detail-type": "Object Deleted"}) == []


@pytest.mark.parametrize(
    "event",
    [
        [],
        blob() | {"eventType": "Microsoft.Storage.BlobDeleted"},
        blob() | {"eventType": "Microsoft.Storage.DirectoryCreated"},
        cloud(blob()) | {"type": "com.example.other"},
        s3(name="ObjectRemoved:Delete"),
        {"Records": []},
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket"},
    ],
)
def test_what_creates_nothing(event: Any) -> None:
    assert parsed(event) == []


def test_event_grid_is_answered_with_its_code() -> None:
    asked = {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2026-11-22T12:00:00Z",
        "data": {"validationCode": "512d38b6", "validationUrl": "https://example.org/"},
    }
    found = events.parse(json.dumps([asked]).encode())
    assert found == Handshake("512d38b6")
    assert isinstance(found, Handshake)
    assert found.answer == {"validationResponse": "512d38b6"}


def test_cloud_events_are_allowed_from_whoever_asks() -> None:
    assert events.permission("eventgrid.azure.net") == {
        "WebHook-Allowed-Origin": "eventgrid.azure.net",
        "WebHook-Allowed-Rate": "*",
    }


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b"[" * 100_000, "the body is no JSON"),
        (b"7", "an event must be a JSON object"),
        (b"[[]]", "an event must be a JSON object"),
        (b"{}", "the body is no storage event"),
        (b'{"Records": [1]}', "a record must be a JSON object"),
        (b'{"Type": "SubscriptionConfirmation"}', "SNS asks to confirm a subscription"),
        (b'{"Type": "Notification"}', "the event has no `Message`"),
        (json.dumps(blob() | {"data": 1}).encode(), "the event has no `data`"),
        (json.dumps(blob() | {"eventTime": "now"}).encode(), "the event's `eventTime` is no time"),
        (json.dumps(blob("landing/x")).encode(), "'landing/x' is no address of a blob"),
        (json.dumps(blob("https://x/landing")).encode(), "'https://x/landing' is no address of"),
        (json.dumps(blob("https://[x/a/b")).encode(), "'https://[x/a/b' is no address"),
        (json.dumps(s3(key="")).encode(), "the event has no `s3.object.key`"),
    ],
)
def test_what_is_no_event(body: bytes, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        events.parse(body)
    assert caught.value.what.startswith(what)
    assert caught.value.code == "event"


_WORDS = """Records eventType specversion type data url id eventTime time detail-type source
detail bucket name object key s3 eventName Type Message eTag"""
_keys = st.sampled_from(_WORDS.split())
_SAID = f"Microsoft.Storage.BlobCreated aws.s3 ObjectCreated:Put Notification {{}} x \ud800 {URL}"
_values = st.sampled_from([*_SAID.split(), "Object Created", "2026-11-22T11:59:58Z"])
_json = st.recursive(
    st.none() | st.integers() | _values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6),
    max_leaves=25,
)


@given(_json)
def test_anything_is_an_event_or_is_refused(body: Any) -> None:
    try:
        events.parse(json.dumps(body).encode())
    except ConfigError as e:
        assert e.code == "event"  # noqa: PT017 - both ends are right, anything else is not


# Who watches


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("landing/orders/*.csv", True),
        ("landing/*/*", True),
        ("landing/**", True),
        ("landing/**/*.csv", True),
        ("landing/orders/**", True),
        ("landing/orders/**/*ü*", True),
        ("**", True),
        ("**/*.csv", True),
        (PATH, True),
        (PLAIN, True),
        ("https://contoso.blob.core.windows.net/landing/**", True),
        ("https://*/landing/**/*.csv", True),
        ("landing/*.csv", False),
        ("landing/*", False),
        ("orders/*.csv", False),
        ("landing/orders/*.CSV", False),
        ("landing/orders/new ü%.csv/**", False),
        ("landing/orders/new ??.csv", False),
        ("landing/orders/[a-z]*.csv", False),
        ("https://other.blob.core.windows.net/landing/**", False),
        ("s3://landing/**", False),
    ],
)
def test_which_patterns_see_a_blob(pattern: str, seen: bool) -> None:
    (created,) = parsed(blob())
    assert events.watches([pattern], created) is seen
    assert events.watches(["no/such", pattern], created) is seen


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("s3://bucket/orders/**", True),
        ("s3://bucket/**/new*", True),
        ("bucket/orders/*/*.csv", True),
        ("s3://bucket/orders/*", False),
        ("https://bucket/orders/**", False),
    ],
)
def test_which_patterns_see_an_object(pattern: str, seen: bool) -> None:
    (created,) = parsed(s3())
    assert events.watches([pattern], created) is seen


def test_no_pattern_takes_long() -> None:
    name = "/".join(["a" * 200] * 20)
    created = Created(f"s3://{name}", name, "", "", NOON)
    assert not events.watches(["**/" * 60 + "*a" * 60 + "b"], created)


# What is started


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    place.job("shop", watch="[landing/orders/*.csv, 's3://bucket/orders/**']")
    yield place
    place.store.close()


def created(n: int = 0, path: str = "landing/orders/a.csv") -> Created:
    url = f"https://contoso.blob.core.windows.net/{path}"
    return Created(url, path, "e", f"event-{n}", NOON + timedelta(seconds=n))


def receive(service: Service, *seen: Created) -> list[RunRequest]:
    return asyncio.run(events.received(service, seen))


def tick(service: Service, minutes: int) -> list[RunRequest]:
    """A tick as many minutes after now."""
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    return asyncio.run(ticker.tick(service, now))


def test_an_event_starts_the_jobs_that_watch_its_path(place: Place) -> None:
    place.job("all", watch="['**']")
    place.job("other", watch="[landing/customers/*]")
    place.job("none")
    started = receive(place.service, *parsed(blob()), created(1))
    assert [(r.job, r.trigger, r.tables) for r in started] == [
        ("all", "event", None),
        ("shop", "event", None),
    ]
    assert place.engine.started == started
    assert all(r.run_id.startswith("20261122T120001-") for r in started)


def test_an_event_that_nobody_watches_starts_nothing(place: Place) -> None:
    assert receive(place.service, created(path="landing/customers/a.csv")) == []
    assert receive(place.service) == []
    assert place.engine.started == []


def test_a_doubled_event_starts_nothing_twice(place: Place) -> None:
    (request,) = receive(place.service, created())
    assert receive(place.service, created()) == [request]
    place.engine.run(request)
    assert receive(place.service, created()) == [request]
    assert tick(place.service, 1) == []
    assert tick(place.service, 2) == []
    assert place.engine.started == [request]


def test_events_while_the_job_is_run_are_one_run_afterwards(place: Place) -> None:
    (request,) = receive(place.service, created())
    place.engine.begin(request)
    for n in range(1, 6):
        receive(place.service, created(n))
    assert tick(place.service, 1) == []
    assert place.engine.started == [request]
    place.engine.end(request)
    (after,) = tick(place.service, 2)
    assert (after.trigger, after.run_id[:15]) == ("event", "20261122T120001")
    place.engine.run(after)
    assert tick(place.service, 3) == []


def test_events_that_come_at_once_are_two_runs_at_most(place: Place) -> None:
    async def all_at_once() -> None:
        services = [place.over(place.store) for _ in range(4)]
        await asyncio.gather(
            *(events.received(services[n % 4], [created(n)]) for n in range(20)),
        )

    asyncio.run(all_at_once())
    (request,) = place.engine.started
    place.engine.run(request)
    # What came while it was being started may not have been seen by it.
    for after in tick(place.service, 1):
        place.engine.run(after)
    assert tick(place.service, 2) == []
    assert len(place.engine.started) <= 2


def test_an_event_whose_job_was_taken_meanwhile_is_not_lost(place: Place) -> None:
    (request,) = receive(place.service, created())
    hand = RunRequest(run_id="by-hand", job="shop")
    asyncio.run(place.engine.start(hand))
    place.engine.begin(hand)
    place.engine.begin(request)  # and ends there
    place.engine.end(hand)
    found = tick(place.service, 1) + tick(place.service, 2)
    assert [r.trigger for r in found] == ["event"]


def test_a_schedule_does_not_drop_an_event_that_waits(place: Place) -> None:
    place.job("shop", watch="['**']", schedules="[{cron: '* * * * *'}]")
    (request,) = tick(place.service, 0)
    place.engine.begin(request)
    receive(place.service, created())
    assert tick(place.service, 1) == []
    assert [run.status for run in place.history("shop")].count("skipped") == 1
    place.engine.end(request)
    (after,) = tick(place.service, 2)
    place.engine.run(after)
    assert len(tick(place.service, 3)) == 1


def test_an_event_is_remembered_while_nothing_can_be_started(place: Place) -> None:
    place.engine.down = True
    (request,) = receive(place.service, created())
    assert place.engine.started == []
    place.engine.down = False
    assert tick(place.service, 1) == [request]


def test_an_event_that_cannot_be_remembered_must_come_again(place: Place) -> None:
    place.job("also", watch="['**']")

    def busy(partition: str) -> None:
        if partition == "also":
            raise TransientError("the server is busy")

    with pytest.raises(TransientError, match="the server is busy"):
        receive(place.over(Watched(place.store, busy)), created())
    assert [r.job for r in place.engine.started] == ["shop"]
    assert [r.job for r in receive(place.service, created())] == ["also", "shop"]
    assert [r.job for r in place.engine.started] == ["shop", "also"]


def test_a_broken_job_does_not_stop_the_others(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    (place.folder / "a.yaml").write_text("name: a\ntables: [")
    assert [r.job for r in receive(place.service, created())] == ["shop"]
    assert "nothing of job a can be started" in caplog.text


def test_an_event_is_asked_for_again_while_a_job_that_may_watch_is_broken(place: Place) -> None:
    (place.folder / "a.yaml").write_text("name: a\nwatch: [")
    with pytest.raises(TransientError, match="job a cannot be read"):
        receive(place.service, created())
    assert [r.job for r in place.engine.started] == ["shop"]


def test_a_bad_event_does_not_take_the_others_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = {**blob(), "data": {}}
    found = events.parse(json.dumps([bad, blob()]).encode())
    assert isinstance(found, list)
    assert len(found) == 1
    assert "passed over" in caplog.text


def test_wherever_it_is_killed_an_event_that_comes_again_starts_one_run(tmp_path: Path) -> None:
    for last_call in count(1):
        folder = tmp_path / str(last_call)
        folder.mkdir()
        place = Place(folder)
        place.job("shop", watch="['**']")
        calls = count(1)

        def die(_: str, calls: count[int] = calls, last: int = last_call) -> None:
            if next(calls) >= last:
                raise Died

        survived = False
        try:
            receive(place.over(Watched(place.store, die)), created())
            survived = True
        except Died:
            pass
        receive(place.service, created())
        tick(place.service, 1)
        (request,) = place.engine.started
        place.engine.run(request)
        assert tick(place.service, 2) == []
        place.store.close()
        if survived:
            assert last_call > 5
            return
