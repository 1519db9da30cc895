"""Runs activities at least once: what was not answered when the host died is delivered again."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import traceback
from collections import Counter
from typing import NamedTuple

from azure.functions import meta
from azure.functions.durable_functions import ActivityTriggerConverter

from tests.durable.host.events import Event, Kind, event
from tests.durable.host.functions import Functions
from tests.durable.host.inbox import Inbox
from tests.durable.host.limits import Limits
from tests.durable.host.options import Options
from tests.durable.host.store import Store

log = logging.getLogger("host")


class Work(NamedTuple):
    """An activity to run.

    Attributes:
        instance: the orchestration that asked for it.
        generation: of the orchestration.
        task: the number under which it is waited for.
        name: the activity.
        input: what it is given, as JSON.
    """

    instance: str
    generation: int
    task: int
    name: str
    input: str | None


class Activities:
    """Runs activities, a bounded number at the same time.

    Args:
        store: where they wait.
        inbox: where their answers go.
        functions: the app's functions.
        limits: what messages may be.
        at_once: how many may run at the same time (`maxConcurrentActivityFunctions`).
        options: how each is delivered.
    """

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        functions: Functions,
        limits: Limits,
        at_once: int,
        options: Options,
    ) -> None:
        self._store, self._inbox, self._functions = store, inbox, functions
        self._limits, self._how = limits, options.deliver
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self.runs: Counter[str] = Counter()

    async def start(self) -> None:
        """Delivers again what was not answered."""
        self._loop = asyncio.get_running_loop()
        for row in self._store.all("SELECT * FROM work ORDER BY n"):
            number, *work = tuple(row)
            self._deliver(number, Work(*work))

    async def stop(self) -> None:
        """Leaves what is running to itself."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def schedule(self, db: sqlite3.Connection, work: Work) -> None:
        """Runs an activity once the transaction is over."""
        sql = "INSERT INTO work(id, generation, task, name, input) VALUES(?, ?, ?, ?, ?)"
        number = db.execute(sql, work).lastrowid
        self._loop.call_soon(self._deliver, number, work)

    def _deliver(self, number: int | None, work: Work) -> None:
        for _ in range(2 if self._how == "together" else 1):
            task = self._loop.create_task(self._run(number, work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, number: int | None, work: Work) -> None:
        async with self._slots:
            answer = await self._answer(work)
            if self._how == "again":
                answer = await self._answer(work)
        with self._store.transaction() as db:
            db.execute("DELETE FROM work WHERE n=?", (number,))
            self._inbox.post(db, work.instance, work.generation, answer)

    async def _answer(self, work: Work) -> Event:
        at = {"TaskScheduledId": work.task}
        self.runs[work.name] += 1
        try:
            function = self._functions.activity(work.name)
            given = ActivityTriggerConverter.decode(
                meta.Datum(type="json", value=work.input), trigger_metadata=None
            )
            came = await self._functions.call(function, given)
            result = ActivityTriggerConverter.encode(came, expected_type=None).value
            self._limits.message(f"the output of {work.name}", result)
        except Exception as e:  # noqa: BLE001 - as on Azure, the orchestrator is told
            log.warning("activity %s failed: %r", work.name, e)
            reason = f"Activity function '{work.name}' failed: {type(e).__name__}: {e}"
            details = traceback.format_exc()
            return event(Kind.TASK_FAILED, **at, Reason=reason, Details=details)
        return event(Kind.TASK_COMPLETED, **at, Result=result)
