"""The records of orchestrations: how one begins, asks for tasks, and ends."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Sequence

from tests.durable.host.activities import Activities, Work
from tests.durable.host.events import Event, Kind, event, iso
from tests.durable.host.inbox import Inbox
from tests.durable.host.replay import Wish
from tests.durable.host.sdk import Turn
from tests.durable.host.store import OF_INSTANCE, Store

TERMINAL = ("Completed", "Failed", "Terminated")

Parent = tuple[str | None, int | None, int | None]
"""The instance that waits for another, the number of the task, and its generation."""


class AlreadyRunningError(Exception):
    """An instance of this id has not ended yet."""


class Instances:
    """All instances of a host.

    Args:
        store: where they are.
        inbox: their messages.
        activities: what runs activities.
    """

    def __init__(self, store: Store, inbox: Inbox, activities: Activities) -> None:
        self._store, self._inbox, self._activities = store, inbox, activities

    def get(self, instance: str) -> sqlite3.Row | None:
        """An instance's row."""
        return self._store.one("SELECT * FROM instances WHERE id=?", instance)

    def all(self) -> list[sqlite3.Row]:
        """Every instance's row, oldest first."""
        return self._store.all("SELECT * FROM instances ORDER BY created")

    def history(self, instance: str) -> list[Event]:
        """The events of an instance since it last began."""
        rows = self._store.all("SELECT event FROM history WHERE id=? ORDER BY seq", instance)
        return [json.loads(each["event"]) for each in rows]

    def start(self, name: str, instance: str | None, raw: str | None) -> str:
        """Starts an instance, as a client asks for it; one that has ended is replaced.

        Raises:
            AlreadyRunningError: there is an instance of this id that has not ended.
        """
        instance = instance or uuid.uuid4().hex
        with self._store.transaction() as db:
            old = self.get(instance)
            if old and old["status"] not in TERMINAL:
                raise AlreadyRunningError(
                    f"An Orchestration instance with the status {old['status']} already exists."
                )
            self._create(db, name, instance, raw)
        return instance

    def purge(self, instances: Sequence[str]) -> int:
        """Forgets instances; how many there were."""
        purged = 0
        with self._store.transaction() as db:
            for instance in instances:
                self._empty(db, instance)
                purged += db.execute("DELETE FROM instances WHERE id=?", (instance,)).rowcount
        return purged

    def commit(
        self, row: sqlite3.Row, messages: list[sqlite3.Row], news: list[Event], turn: Turn
    ) -> None:
        """Takes an instance one step further, all or nothing.

        Args:
            row: the instance.
            messages: what the step has taken from its inbox.
            news: the events of the step.
            turn: what came of its replay.
        """
        with self._store.transaction() as db:
            self._inbox.remove(db, messages)
            events = [*news]
            events += [self._schedule(db, row, number, wish) for number, wish in turn.asked]
            if turn.status in TERMINAL:
                events.append(
                    event(
                        Kind.EXECUTION_COMPLETED,
                        Result=turn.output,
                        OrchestrationStatus=turn.status,
                    )
                )
                self._tell_parent(db, row, turn)
            events.append(event(Kind.ORCHESTRATOR_COMPLETED))
            self._write(db, row, events, turn)
            if turn.next_input is not None:
                self._begin(db, row, turn.next_input, row["generation"] + 1)

    def _write(
        self, db: sqlite3.Connection, row: sqlite3.Row, events: list[Event], turn: Turn
    ) -> None:
        instance = row["id"]
        length = db.execute("SELECT COUNT(*) FROM history WHERE id=?", (instance,)).fetchone()[0]
        values = [(instance, length + n, json.dumps(each)) for n, each in enumerate(events)]
        db.executemany("INSERT INTO history VALUES(?, ?, ?)", values)
        db.execute(
            "UPDATE instances SET status=?, output=?, custom=?, updated=?, actions=?, longest=?"
            " WHERE id=?",
            (
                turn.status,
                turn.output,
                row["custom"] if turn.custom is None else turn.custom,
                time.time(),
                turn.actions,
                max(row["longest"], length + len(events)),
                instance,
            ),
        )

    def _create(
        self,
        db: sqlite3.Connection,
        name: str,
        instance: str,
        raw: str | None,
        parent: Parent = (None, None, None),
    ) -> None:
        old, now = self.get(instance), time.time()
        db.execute(
            "INSERT OR REPLACE INTO instances(id, name, status, created, updated, parent,"
            " parent_task, parent_generation) VALUES(?, ?, 'Pending', ?, ?, ?, ?, ?)",
            (instance, name, now, now, *parent),
        )
        row = self.get(instance)
        assert row is not None
        self._begin(db, row, raw, old["generation"] + 1 if old else 1)

    def _begin(
        self, db: sqlite3.Connection, row: sqlite3.Row, raw: str | None, generation: int
    ) -> None:
        """Starts a generation: the history is empty, and answers to an older one are lost."""
        instance, parent = row["id"], None
        self._empty(db, instance)
        db.execute(
            "UPDATE instances SET input=?, generation=?, actions='[]' WHERE id=?",
            (raw, generation, instance),
        )
        if row["parent"]:
            parent = {
                "Name": "",
                "Version": "",
                "TaskScheduleId": row["parent_task"],
                "OrchestrationInstance": {"InstanceId": row["parent"]},
            }
        started = event(
            Kind.EXECUTION_STARTED,
            OrchestrationInstance={"InstanceId": instance, "ExecutionId": f"{generation:032x}"},
            ParentInstance=parent,
            Name=row["name"],
            Version="",
            Input=raw,
            Tags=None,
        )
        self._inbox.post(db, instance, generation, started)

    def _schedule(self, db: sqlite3.Connection, row: sqlite3.Row, number: int, wish: Wish) -> Event:
        instance, generation = row["id"], row["generation"]
        if wish.kind == Kind.TASK_SCHEDULED:
            work = Work(instance, generation, number, wish.name, wish.input)
            self._activities.schedule(db, work)
            said = json.dumps([wish.input])
            return event(Kind.TASK_SCHEDULED, number, Name=wish.name, Version="", Input=said)
        if wish.kind == Kind.TIMER_CREATED:
            at = iso(wish.due)
            fired = event(Kind.TIMER_FIRED, at=wish.due, TimerId=number, FireAt=at)
            self._inbox.post(db, instance, generation, fired, wish.due)
            return event(Kind.TIMER_CREATED, number, FireAt=at)
        child, raw = (
            wish.instance or f"{instance}:{generation}:{number:04x}",
            json.dumps(wish.input),
        )
        self._create(db, wish.name, child, raw, (instance, number, generation))
        return event(
            Kind.SUB_CREATED, number, Name=wish.name, Version="", InstanceId=child, Input=raw
        )

    def _tell_parent(self, db: sqlite3.Connection, row: sqlite3.Row, turn: Turn) -> None:
        if row["parent"] is None:
            return
        at = {"TaskScheduledId": row["parent_task"]}
        if turn.status == "Completed":
            answer = event(Kind.SUB_COMPLETED, **at, Result=turn.output)
        else:
            reason = f"The sub-orchestrator function '{row['name']}' failed: {turn.output}"
            answer = event(Kind.SUB_FAILED, **at, Reason=reason, Details="")
        self._inbox.post(db, row["parent"], row["parent_generation"], answer)

    @staticmethod
    def _empty(db: sqlite3.Connection, instance: str) -> None:
        for table in OF_INSTANCE:
            db.execute(f"DELETE FROM {table} WHERE id=?", (instance,))
