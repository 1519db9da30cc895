"""One replay of an orchestrator by the real SDK, and what the host makes of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from azure.functions import OrchestrationContext

from tests.durable.host.events import Event
from tests.durable.host.replay import NonDeterministicError, Simulation, Wish

_STATE_IN_ERROR = "\n\n$OutOfProcData$:"
_SCHEMA = 2
Handle = Callable[[OrchestrationContext], str]


@dataclass(frozen=True)
class Turn:
    """What came of a replay.

    Attributes:
        asked: tasks to schedule, each with its number.
        status: of the instance from now on.
        output: its output, or its error, as JSON; None while it runs.
        custom: its custom status as JSON; None to leave it as it is.
        next_input: what it continues as new with, as JSON; None when it does not.
        actions: all actions so far, as JSON.
    """

    asked: list[tuple[int, Wish]] = field(default_factory=list)
    status: str = "Running"
    output: str | None = None
    custom: str | None = None
    next_input: str | None = None
    actions: str = "[]"


def failed(instance: sqlite3.Row, error: object) -> Turn:
    """The turn of an orchestrator that fails."""
    text = f"Orchestrator function '{instance['name']}' failed: {error}"
    return Turn(status="Failed", output=json.dumps(text), actions=instance["actions"])


def replay(handle: Handle, instance: sqlite3.Row, past: list[Event], news: list[Event]) -> Turn:
    """Replays an orchestrator.

    Args:
        handle: the orchestrator, as the SDK registered it.
        instance: its row in the store.
        past: its history.
        news: what has happened since.

    Raises:
        NonDeterministicError: what it asks for does not go with its history.
    """
    state = _state(handle, instance, past, news)
    if len(state["actions"]) != 1:
        raise NonDeterministicError("the SDK speaks a replay schema that this host does not know")
    actions = state["actions"][0]
    seen = Simulation([*past, *news], actions)
    turn: dict[str, Any] = {
        "asked": [(number, seen.wishes[number]) for number in seen.new],
        "custom": json.dumps(state["customStatus"]) if "customStatus" in state else None,
        "actions": json.dumps(actions),
    }
    if not seen.settled:
        return Turn(**turn)  # the extension looks no further while it waits for an action
    if "error" in state:
        return Turn(**turn | {"status": "Failed", "output": json.dumps(state["error"])})
    if seen.next_input is not None:
        return Turn(**turn | {"next_input": json.dumps(seen.next_input[0])})
    if state.get("isDone"):
        return Turn(**turn | {"status": "Completed", "output": json.dumps(state.get("output"))})
    return Turn(**turn)


def strictly(handle: Handle, instance: sqlite3.Row, past: list[Event], news: list[Event]) -> Turn:
    """Replays an orchestrator twice, and compares with what it asked for before.

    Raises:
        NonDeterministicError: two replays of one history differ, or the past has changed.
    """
    turn, again = (replay(handle, instance, past, news) for _ in range(2))
    if turn != again:
        raise NonDeterministicError(f"two replays of one history differ: {turn} and {again}")
    before, now = json.loads(instance["actions"]), json.loads(turn.actions)
    for number, action in enumerate(before):
        if now[number : number + 1] != [action]:
            became = now[number] if number < len(now) else "nothing"
            raise NonDeterministicError(f"action {number} was {action}, and now is {became}")
    return turn


def _state(
    handle: Handle, instance: sqlite3.Row, past: list[Event], news: list[Event]
) -> dict[str, Any]:
    played = [{**each, "IsPlayed": True} for each in past]
    body = {
        "history": [*played, *news],
        "input": None if instance["input"] is None else json.loads(instance["input"]),
        "instanceId": instance["id"],
        "isReplaying": bool(past),
        "parentInstanceId": instance["parent"],
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": _SCHEMA,
        "maximumShortTimerDuration": "6.00:00:00",
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }
    try:
        text = handle(OrchestrationContext(json.dumps(body)))
    except Exception as e:
        # The SDK raises what the orchestrator raised, with the state behind the message.
        _, label, text = str(e).partition(_STATE_IN_ERROR)
        if not label:
            raise
    state: dict[str, Any] = json.loads(text)
    return state
