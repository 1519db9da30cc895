"""What is counted while the app works: storage requests by kind, and what Durable was asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.durable.host.events import ANSWERS, Event, Kind, seconds_of

Request = tuple[str, str]
"""Method and path of a request, as the proxies note them."""


@dataclass(frozen=True)
class Durable:
    """What orchestrations did, from their histories.

    Attributes:
        started: orchestrations that the app started.
        children: orchestrations that orchestrations started.
        activities: activities that ran.
        messages: messages to orchestrations: a start, an answer, a timer that fired. Each is one
            execution of an orchestrator at most, since several may be taken together.
        executions: how many executions of orchestrators they were on the test host.
        unused: timers that nobody waited for any more.
    """

    started: int = 0
    children: int = 0
    activities: int = 0
    messages: int = 0
    executions: int = 0
    unused: int = 0


@dataclass(frozen=True)
class Seconds:
    """Time in which functions executed; depends on the machine.

    Attributes:
        packed: from the first execution's start to the last one's end: billed so if what lies
            between is so short that an instance counts as active all the time.
        apart: each stretch without a pause billed by itself, which is a second at least.
    """

    packed: float = 0.0
    apart: float = 0.0


@dataclass(frozen=True)
class Counted:
    """What one scenario took.

    Attributes:
        ticks: how many times the timer's function ran.
        requests: storage requests of the app, by whose they are and of what kind.
        durable: what Durable was asked for.
        seconds: how long functions of the Durable group executed.
        gigabytes: of Parquet files at the source, where files were copied; else 0.
    """

    ticks: int
    requests: dict[str, int]
    durable: Durable = field(default_factory=Durable)
    seconds: Seconds = field(default_factory=Seconds)
    gigabytes: float = 0.0

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """What `to_json` made."""
        durable, seconds = Durable(**stored["durable"]), Seconds(**stored["seconds"])
        return cls(**{**stored, "durable": durable, "seconds": seconds})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def table_requests(seen: Iterable[Request]) -> Counter[str]:
    """Requests to the state, which is the one table that the app has."""
    return Counter("state.read" if method == "GET" else "state.write" for method, _ in seen)


def blob_requests(seen: Iterable[Request]) -> Counter[str]:
    """Requests to containers, by the container's name up to the first dash, and by what is billed:
    `list`, `write`, `read` (which a look at an object costs as well), `delete` (which is free).
    """
    return Counter(_blob_kind(*each) for each in seen)


def _blob_kind(method: str, path: str) -> str:
    parts = urlsplit(path)
    container = parts.path.split("/")[2].partition("-")[0]
    if method == "GET" and parse_qs(parts.query).get("comp") == ["list"]:
        return f"{container}.list"
    kinds = {"GET": "read", "HEAD": "read", "DELETE": "delete"}
    return f"{container}.{kinds.get(method, 'write')}"


def durable(histories: Sequence[Sequence[Event]]) -> Durable:
    """Counts what orchestrations did.

    Args:
        histories: the events of each; none of them may have continued as new.
    """
    kinds = Counter(event["EventType"] for events in histories for event in events)
    answers = sum(kinds[kind] for kind in ANSWERS)
    return Durable(
        started=len(histories) - kinds[Kind.SUB_CREATED],
        children=kinds[Kind.SUB_CREATED],
        activities=kinds[Kind.TASK_SCHEDULED],
        messages=kinds[Kind.EXECUTION_STARTED] + answers,
        executions=kinds[Kind.ORCHESTRATOR_STARTED],
        unused=kinds[Kind.TIMER_CREATED] - kinds[Kind.TIMER_FIRED],
    )


def seconds(histories: Sequence[Sequence[Event]]) -> Seconds:
    """Adds up for how long an instance executed functions, if all ran on one."""
    busy = sorted(span for events in histories for span in _spans(events))
    if not busy:
        return Seconds()
    stretches = [busy[0]]
    for start, end in busy[1:]:
        first, last = stretches[-1]
        if start <= last:
            stretches[-1] = (first, max(last, end))
        else:
            stretches.append((start, end))
    return Seconds(
        packed=billed(stretches[-1][1] - busy[0][0]),
        apart=round(sum(billed(end - start) for start, end in stretches), 1),
    )


def billed(active: float) -> float:
    """Seconds that are billed for an active period: one at least, then tenths.

    https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#billing
    """
    return max(1.0, ceil(round(active * 10, 3)) / 10)


def _spans(events: Sequence[Event]) -> Iterable[tuple[float, float]]:
    """When an orchestrator and its activities were at work; what waits does not."""
    asked: dict[int, float] = {}
    turn = 0.0
    for event in events:
        at = seconds_of(event["Timestamp"])
        match event["EventType"]:
            case Kind.ORCHESTRATOR_STARTED:
                turn = at
            case Kind.ORCHESTRATOR_COMPLETED:
                yield turn, at
            case Kind.TASK_SCHEDULED:
                asked[event["EventId"]] = at
            case Kind.TASK_COMPLETED | Kind.TASK_FAILED:
                yield asked[event["TaskScheduledId"]], at


def dump(counted: dict[str, Counted]) -> str:
    """Scenarios as they are stored."""
    return json.dumps({name: each.to_json() for name, each in counted.items()}, indent=1) + "\n"


def parse(text: str) -> dict[str, Counted]:
    """What `dump` made."""
    return {name: Counted.from_json(stored) for name, stored in json.loads(text).items()}
