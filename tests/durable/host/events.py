"""The events of an orchestration's history, as the Durable extension gives them to the SDK."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

Event = dict[str, Any]


class Kind(IntEnum):
    """`HistoryEventType` of the SDK, as far as it is used here."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_CREATED = 7
    SUB_COMPLETED = 8
    SUB_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13


SCHEDULING = {Kind.TASK_SCHEDULED, Kind.SUB_CREATED, Kind.TIMER_CREATED}
"""Events that say what an orchestrator has asked for."""

ANSWERS = {
    Kind.TASK_COMPLETED: "TaskScheduledId",
    Kind.TASK_FAILED: "TaskScheduledId",
    Kind.SUB_COMPLETED: "TaskScheduledId",
    Kind.SUB_FAILED: "TaskScheduledId",
    Kind.TIMER_FIRED: "TimerId",
}
"""Events that answer a task, and the field that says which."""


def event(kind: Kind, event_id: int = -1, at: float | None = None, **fields: Any) -> Event:
    """A new event.

    Args:
        kind: what happened.
        event_id: the number of the task that it schedules; -1 for other events.
        at: when, epoch seconds; now when None.
        **fields: what else belongs to its kind.
    """
    stamp = iso(time.time() if at is None else at)
    return {"EventType": kind, "EventId": event_id, "IsPlayed": False, "Timestamp": stamp, **fields}


def iso(seconds: float) -> str:
    """A moment as .NET writes it, with seven digits."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def seconds_of(text: str) -> float:
    """Epoch seconds of a moment in UTC, as `iso` or the SDK writes it."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(head).replace(tzinfo=UTC).timestamp()
    return whole + float(f"0.{fraction or 0}")
