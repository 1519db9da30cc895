"""Timer functions: run by their NCRONTAB schedule, or because somebody asks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from datetime import UTC, datetime
from typing import Any

from azure.functions import meta
from azure.functions.decorators.function_app import Function
from azure.functions.timer import TimerRequestConverter
from croniter import croniter

from tests.durable.host.events import iso
from tests.durable.host.functions import TIMER, Functions, name_of, trigger_of
from tests.durable.host.store import Store

log = logging.getLogger("host")


class Timers:
    """Runs timer functions; one that was missed while no host ran is run once, as past due.

    Args:
        store: where it is kept when they ran.
        functions: the app's functions.
    """

    def __init__(self, store: Store, functions: Functions) -> None:
        self._store, self._functions = store, functions
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Follows the schedules from now on."""
        for name, function in self._functions.of(TIMER).items():
            self._spawn(self._follow(name, function))

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fire(self, name: str) -> bool:
        """Runs a function now, in the background; whether there is such a function."""
        function = self._functions.of(TIMER).get(name.lower())
        if function is None:
            return False
        now = time.time()
        self._spawn(self._run(function, now, now, late=False))
        return True

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, name: str, function: Function) -> None:
        trigger = trigger_of(function)
        schedule = re.sub(r"%(\w+)%", lambda found: os.environ[found[1]], trigger.schedule)
        row = self._store.one("SELECT * FROM schedules WHERE name=?", name)
        last, due = (row["last"], row["next"]) if row else (0.0, next_after(schedule, time.time()))
        if trigger.run_on_startup:
            due = time.time()
        while True:
            late = due < time.time() - 1
            await asyncio.sleep(max(0.0, due - time.time()))
            follows = next_after(schedule, max(due, time.time()))
            await self._run(function, last, follows, late=late)
            last, due = due, follows
            with self._store.transaction() as db:
                db.execute("INSERT OR REPLACE INTO schedules VALUES(?, ?, ?)", (name, last, due))

    async def _run(self, function: Function, last: float, follows: float, *, late: bool) -> None:
        told = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": {"Last": iso(last), "Next": iso(follows), "LastUpdated": iso(last)},
            "IsPastDue": late,
        }
        datum = meta.Datum(type="json", value=json.dumps(told))
        request = TimerRequestConverter.decode(datum, trigger_metadata=None)
        try:
            await self._functions.call(function, request)
        except Exception:
            log.exception("timer %s failed", name_of(function))


def next_after(schedule: str, seconds: float) -> float:
    """When a schedule is due next, epoch seconds.

    Args:
        schedule: NCRONTAB: seconds first, and a day must be right by month and by week.
        seconds: after when, epoch seconds.
    """
    fields = schedule if len(schedule.split()) == 6 else f"0 {schedule}"
    start = datetime.fromtimestamp(seconds, UTC)
    following = croniter(fields, start, second_at_beginning=True, day_or=False)
    due: float = following.get_next(float)
    return due
