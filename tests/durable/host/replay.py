"""What an orchestrator has asked for, from its history and the actions that the SDK returns.

A pure function, in the way of the extension's OutOfProcOrchestrationShim: the actions are taken in
order and each is awaited before the next is looked at, tasks get numbers in the order in which they
are asked for, and the history answers them. Mind what follows from that: the SDK leaves tasks that
were scheduled before out of a `task_any`, so the host waits for the new ones among them, and asks
for nothing more until one of those has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from tests.durable.host.events import ANSWERS, SCHEDULING, Event, Kind, seconds_of

Action = dict[str, Any]


class NonDeterministicError(Exception):
    """The orchestrator does not do again what its history says it did."""


class Act(IntEnum):
    """`ActionType` of the SDK, as far as it is used here."""

    CALL_ACTIVITY = 0
    CALL_SUB_ORCHESTRATOR = 2
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WHEN_ANY = 11
    WHEN_ALL = 12


@dataclass
class Task:
    """Something that an orchestrator waits for: one task, or several.

    Attributes:
        need: how many of its children must end before it ends; 1 for a task without children.
        parent: whom its end is told to.
        done: whether it has ended.
    """

    need: int = 1
    parent: Task | None = None
    done: bool = False

    def end(self) -> None:
        """Ends it, and whoever waits for it alone."""
        if self.done:
            return
        self.done = True
        if self.parent is not None:
            self.parent.need -= 1
            if self.parent.need <= 0:
                self.parent.end()


@dataclass(frozen=True)
class Wish:
    """A task that the orchestrator asked for.

    Attributes:
        kind: the event that records it.
        name: the activity or orchestrator to call; empty for a timer.
        input: what it is given: the JSON of an activity's input, a sub-orchestration's as it is.
        instance: the id that a sub-orchestration is to have; None for one of the host's choice.
        due: when a timer fires, epoch seconds.
    """

    kind: Kind
    name: str = ""
    input: Any = None
    instance: str | None = None
    due: float = 0.0


@dataclass
class Simulation:
    """Follows an orchestrator through its history.

    Attributes:
        wishes: all that it asked for; the place in the list is the number of the task.
        new: the numbers of what the history does not have yet.
        next_input: what it continues as new with, in a list; None when it does not.
    """

    history: list[Event]
    actions: list[Action]
    wishes: list[Wish] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    next_input: list[Any] | None = None
    _tasks: list[Task] = field(default_factory=list)
    _taken: int = 0
    _current: Task | None = None

    def __post_init__(self) -> None:
        recorded: dict[int, Event] = {}
        for each in self.history:
            if each["EventType"] in SCHEDULING:
                recorded[each["EventId"]] = each
            self._feed(each)
        self._compare(recorded)
        self.new = [n for n in range(len(self.wishes)) if n not in recorded]

    @property
    def settled(self) -> bool:
        """Whether every action was awaited; only then does the extension look at the result."""
        return self._taken == len(self.actions) and (self._current is None or self._current.done)

    def _compare(self, recorded: dict[int, Event]) -> None:
        for number, was in recorded.items():
            history = f"{Kind(was['EventType']).name} {was.get('Name', '')}".strip()
            if number >= len(self.wishes):
                raise NonDeterministicError(f"task {number} was {history}, and is not asked for")
            wish = self.wishes[number]
            if wish.kind != was["EventType"] or wish.name != was.get("Name", ""):
                now = f"{wish.kind.name} {wish.name}".strip()
                raise NonDeterministicError(f"task {number} was {history}, and now is {now}")

    def _feed(self, each: Event) -> None:
        kind = each["EventType"]
        if kind == Kind.EXECUTION_STARTED:
            self._advance()
        elif kind in ANSWERS and each[ANSWERS[kind]] < len(self._tasks):
            # An answer that came twice, or to nobody, is passed over, as the extension does.
            self._tasks[each[ANSWERS[kind]]].end()
            self._advance()

    def _advance(self) -> None:
        while self._taken < len(self.actions) and (self._current is None or self._current.done):
            self._current = self._start(self.actions[self._taken])
            self._taken += 1

    def _start(self, action: Action) -> Task:
        match action["actionType"]:
            case Act.WHEN_ALL:
                return self._several(action["compoundActions"], everyone=True)
            case Act.WHEN_ANY:
                return self._several(action["compoundActions"], everyone=False)
            case Act.CONTINUE_AS_NEW:
                self.next_input = [action.get("input")]
                return Task(done=True)
            case Act.CREATE_TIMER:
                timer = self._ask(Wish(Kind.TIMER_CREATED, due=seconds_of(action["fireAt"])))
                timer.done = bool(action.get("isCanceled"))
                return timer
            case Act.CALL_ACTIVITY:
                wish = Wish(Kind.TASK_SCHEDULED, action["functionName"], action.get("input"))
                return self._ask(wish)
            case Act.CALL_SUB_ORCHESTRATOR:
                name, raw, instance = (
                    action.get(k) for k in ("functionName", "input", "instanceId")
                )
                return self._ask(Wish(Kind.SUB_CREATED, str(name), raw, instance))
            case other:
                raise ValueError(f"this host knows no action of type {other}")

    def _ask(self, wish: Wish) -> Task:
        self.wishes.append(wish)
        self._tasks.append(Task())
        return self._tasks[-1]

    def _several(self, actions: Iterable[Action], *, everyone: bool) -> Task:
        children = [self._start(each) for each in actions]
        ended = sum(child.done for child in children)
        both = Task(need=(len(children) if everyone else min(1, len(children))) - ended)
        both.done = both.need <= 0
        for child in children:
            child.parent = both
        return both
