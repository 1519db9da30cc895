"""Storage events: what a store says of an object that appeared starts the jobs that watch for it.

For the web layer: give the body of a POST to `parse`. It returns a `Handshake`, whose `answer` is
sent back as JSON, or what was created, which goes to `received`; that done, any 2xx. `parse`
raises `ConfigError` (code `event`) for a body that is no event: answer 400, and the sender does
not come again. `received` raises `TransientError` when the state does not answer: answer 503, and
the sender comes again, which does no harm. An OPTIONS request, by which CloudEvents ask whether
they may be sent, is answered 200 with the headers that `permission` gives.

Understood are Azure Storage in both schemas of Event Grid (its own, and CloudEvents 1.0), and S3
as notifications, wrapped by SNS too, and through EventBridge.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, unquote_plus, urlsplit

from copy_core.errors import ConfigError, CopyJobError, TransientError
from copy_core.logs import log, within
from copy_core.model import RunRequest
from copy_core.service import waiting
from copy_core.service.ticker import report

if TYPE_CHECKING:
    from copy_core.service.service import Service

_BLOB_CREATED = "Microsoft.Storage.BlobCreated"
_BLOB_RENAMED = "Microsoft.Storage.BlobRenamed"
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


class Created(NamedTuple):
    """An object that was created, or replaced.

    Attributes:
        url: `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`, or `s3://BUCKET/KEY`; plain
            text, nothing in it is percent-encoded.
        path: `CONTAINER/PATH`, or `BUCKET/KEY`.
        etag: the object's etag; "" where the event does not tell it.
        event_id: the sender's name for the event; the same when it is sent again.
        time: when it happened, in UTC.
    """

    url: str
    path: str
    etag: str
    event_id: str
    time: datetime


class Handshake(NamedTuple):
    """Event Grid asks whether somebody is here who wants its events.

    Attributes:
        code: what proves it.
    """

    code: str

    @property
    def answer(self) -> dict[str, str]:
        """The JSON to answer with."""
        return {"validationResponse": self.code}


def permission(origin: str) -> dict[str, str]:
    """The headers that allow CloudEvents to be sent here at any rate.

    Args:
        origin: who asks: the header `WebHook-Request-Origin`.
    """
    # https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md, 4.2
    return {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}


def parse(body: bytes) -> list[Created] | Handshake:
    """What a sender of storage events says.

    Args:
        body: the body of its request.

    Returns:
        What was created; empty when it tells of something else, such as deleted objects.

    Raises:
        ConfigError: it is no storage event (code `event`).
    """
    said = _json(body)
    events = said if isinstance(said, list) else [said]
    for event in events:
        if isinstance(event, dict) and event.get("eventType") == _VALIDATION:
            return Handshake(_text(event, "data", "validationCode"))
    found: list[Created] = []
    wrong: list[ConfigError] = []
    for event in events:
        try:
            found += _created(event)
        except ConfigError as e:
            wrong.append(e)
    if wrong and not found:
        raise wrong[0]
    for error in wrong:
        # Refused as a whole, the others would not be sent again.
        log.warning("an event among others is passed over: %s", error)
    return found


async def received(service: Service, events: Sequence[Created]) -> list[RunRequest]:
    """Has every job run that watches for one of these objects; events for others do nothing.

    A job that is being run, or about to begin, runs once more afterwards. Several events of one
    job are one run. An event that is sent again starts nothing again.

    Args:
        service: the service.
        events: what was created.

    Returns:
        The runs that were started, or wait until their job is free.

    Raises:
        TransientError: what was to be started could not be remembered for every job; the same
            events must be given again.
    """
    jobs = await asyncio.to_thread(lambda: list(service.catalog.loaded()))
    requests: list[RunRequest] = []
    again: TransientError | None = None
    for name, loaded in jobs:
        if isinstance(loaded, TransientError):
            again = loaded  # it may be the one that watches
        elif isinstance(loaded, CopyJobError):
            report(name, loaded)
            if await asyncio.to_thread(_may_watch, service, name):
                again = TransientError(
                    f"the job {name} cannot be read, and it may watch for this",
                    fix="Mend it; events that are sent again then start it",
                    code="job-unreadable",
                    job=name,
                )
        elif seen := [event for event in events if watches(loaded.job.watch, event)]:
            with within(job=name):
                try:
                    requests.append(await _run(service, name, seen))
                except TransientError as e:
                    again = e
    if again:
        raise again
    return requests


def _may_watch(service: Service, job: str) -> bool:
    """Whether a job that cannot be loaded has something to watch, as far as its text shows."""
    try:
        return "watch" in service.catalog.document(job).text
    except CopyJobError:
        return True


def watches(patterns: Iterable[str], event: Created) -> bool:
    """Whether an object is among those that a job watches for."""
    return any(
        _matches(pattern, event.url if "://" in pattern else event.path) for pattern in patterns
    )


async def _run(service: Service, job: str, events: Sequence[Created]) -> RunRequest:
    """Has a job run because of events: remembers the run, then starts it if the job is free."""
    latest = max(events, key=lambda event: (event.time, event.event_id))
    name = waiting.run_id(job, latest.time, latest.event_id, latest.url, latest.etag)
    request = RunRequest(run_id=name, job=job, trigger="event")

    def remembered(agenda: waiting.Agenda) -> waiting.Agenda:
        if agenda.waiting and agenda.waiting.patient:
            return agenda  # it will see what was created before it starts
        return agenda.with_waiting(request, patient=True)

    agenda = await asyncio.to_thread(waiting.change, service.store, job, remembered)
    try:
        await waiting.settle(service, job, datetime.now(UTC))
    except CopyJobError as e:
        report(job, e)  # it is remembered: the next tick starts it
    return agenda.waiting.request if agenda.waiting else request


def _matches(glob: str, name: str) -> bool:
    """Level by level, in a time that no glob can blow up."""
    levels, steps = name.split("/"), glob.split("/")
    if steps[-1] == "**":
        steps.append("*")
    ends = {0}  # of how many levels the steps so far may have made out
    for step in steps:
        if step == "**":
            ends = set(range(min(ends), len(levels)))
        else:
            ends = {n + 1 for n in ends if n < len(levels) and _level(step).match(levels[n])}
        if not ends:
            return False
    return len(levels) in ends


@lru_cache(maxsize=1024)
def _level(step: str) -> re.Pattern[str]:
    # Only the star is special here.
    return re.compile(translate(re.sub(r"[\[?]", r"[\g<0>]", step)))


def _created(event: Any) -> Iterator[Created]:
    """What one event tells, in whatever schema."""
    if not isinstance(event, dict):
        raise _unknown("an event must be a JSON object")
    if isinstance(event.get("Records"), list):
        for record in event["Records"]:
            yield from _s3(record)
    elif "detail-type" in event:
        yield from _event_bridge(event)
    elif event.get("Type") == "Notification":
        yield from _created(_json(_text(event, "Message")))
    elif event.get("Type") == "SubscriptionConfirmation":
        # To open an address that a request gives would let anybody send us anywhere.
        raise _unknown(
            "SNS asks to confirm a subscription",
            "Open the SubscribeURL of this request yourself, or use EventBridge",
        )
    elif event.get("Event") == "s3:TestEvent":
        return
    elif "eventType" in event:
        yield from _azure(event, _text(event, "eventType"), "eventTime")
    elif "specversion" in event:
        yield from _azure(event, _text(event, "type"), "time")
    else:
        raise _unknown("the body is no storage event")


def _azure(event: dict[str, Any], kind: str, time: str) -> Iterator[Created]:
    """https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage."""
    if kind not in (_BLOB_CREATED, _BLOB_RENAMED):
        return
    data = event.get("data")
    if not isinstance(data, dict):
        raise _missing("data")
    if data.get("api") == "CreateFile" and not data.get("contentLength"):
        return  # a data lake's file before it is written: another event follows the last flush
    # The subject has the path too, but loses characters outside the basic plane.
    address = _text(data, "url" if kind == _BLOB_CREATED else "destinationUrl")
    try:
        url = urlsplit(address)
    except ValueError as e:
        raise _unknown(f"'{address[:200]}' is no address") from e
    path = unquote(url.path).strip("/")
    host = url.netloc.lower().replace(".dfs.", ".blob.")
    if url.scheme not in ("https", "http") or not host or "/" not in path:
        raise _unknown(f"'{address[:200]}' is no address of a blob")
    etag = data.get("eTag")
    yield Created(
        f"https://{host}/{path}",
        path,
        etag if isinstance(etag, str) else "",
        _text(event, "id"),
        _time(event, time),
    )


def _s3(record: Any) -> Iterator[Created]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html."""
    if not isinstance(record, dict):
        raise _unknown("a record must be a JSON object")
    if not _text(record, "eventName").removeprefix("s3:").startswith("ObjectCreated:"):
        return
    yield _object(record, "s3", unquote_plus(_text(record, "s3", "object", "key")), "eventTime")


def _event_bridge(event: dict[str, Any]) -> Iterator[Created]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html; its keys are plain."""
    if event.get("source") == "aws.s3" and event["detail-type"] == "Object Created":
        yield _object(event, "detail", _text(event, "detail", "object", "key"), "time")


def _object(event: dict[str, Any], inner: str, key: str, time: str) -> Created:
    bucket = _text(event, inner, "bucket", "name")
    known = event[inner]["object"]
    etag, version = (str(known.get(name) or "") for name in ("etag", "sequencer"))
    # A notification has no name of its own; the sequencer tells two writes of a key apart.
    name = str(event.get("id") or version)
    path = f"{bucket}/{key}"
    return Created(f"s3://{path}", path, etag, name, _time(event, time))


def _json(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise _unknown("the body is no JSON") from e


def _text(event: dict[str, Any], *keys: str) -> str:
    found: Any = event
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise _missing(".".join(keys))
    return found


def _time(event: dict[str, Any], key: str) -> datetime:
    try:
        time = datetime.fromisoformat(_text(event, key))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise _unknown(f"the event's `{key}` is no time") from e


def _missing(key: str) -> ConfigError:
    return _unknown(f"the event has no `{key}`")


def _unknown(
    what: str,
    fix: str = "Send events of Azure Storage (Event Grid schema or CloudEvents 1.0), or of S3",
) -> ConfigError:
    return ConfigError(what, fix=fix, code="event")
