"""Moves orchestrations on: takes their messages, replays them, and commits what they ask for."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.durable.host import sdk
from tests.durable.host.events import Event, Kind, event
from tests.durable.host.functions import Functions
from tests.durable.host.inbox import Inbox
from tests.durable.host.instances import TERMINAL, Instances
from tests.durable.host.limits import Limits, TooLargeError
from tests.durable.host.options import Options
from tests.durable.host.replay import NonDeterministicError
from tests.durable.host.store import Store

_MESSAGES = 32
"""How many messages a step takes at most; the Azure Storage backend's `controlQueueBatchSize`."""
_AT_ONCE = 10

log = logging.getLogger("host")


class Engine:
    """Drives all instances; used from one event loop only.

    Args:
        store: where they are.
        inbox: their messages.
        instances: their records.
        functions: the app's functions.
        limits: what messages may be.
        options: how strict it is.
    """

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        instances: Instances,
        functions: Functions,
        limits: Limits,
        options: Options,
    ) -> None:
        self._store, self._inbox, self._instances = store, inbox, instances
        self._functions, self._limits = functions, limits
        self._replay = sdk.strictly if options.strict else sdk.replay
        self._most = 1 if options.strict else _MESSAGES
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(_AT_ONCE, "orchestrator")
        self._sooner = asyncio.Event()
        self.replays = 0

    async def start(self) -> None:
        """Takes up what a host before this one has left."""
        self._loop = asyncio.get_running_loop()
        self._inbox.arrived = self._soon
        self._inbox.postponed = self._sooner.set
        for instance in self._inbox.due():
            self._kick(instance)
        self._spawn(self._watch_timers())

    async def stop(self) -> None:
        """Stops in the middle of whatever there is."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(cancel_futures=True)

    def start_new(self, name: str, instance: str | None, raw: str | None) -> str:
        """Starts an orchestration, as a client asks for it.

        Args:
            name: the orchestrator's.
            instance: its id; a new one when None.
            raw: its input as JSON.

        Raises:
            KeyError: there is no such orchestrator.
            AlreadyRunningError: there is an instance of this id that has not ended.
            TooLargeError: the input is too large.
        """
        self._functions.orchestrator(name)
        self._limits.message(f"the input of {name}", raw)
        return self._instances.start(name, instance, raw)

    def _soon(self, instance: str) -> None:
        self._loop.call_soon(self._kick, instance)  # when the transaction is over

    def _kick(self, instance: str) -> None:
        if instance in self._busy:
            self._again.add(instance)
        else:
            self._busy.add(instance)
            self._spawn(self._drain(instance))

    async def _drain(self, instance: str) -> None:
        try:
            while await self._step(instance) or instance in self._again:
                self._again.discard(instance)
        finally:
            self._busy.discard(instance)

    async def _watch_timers(self) -> None:
        while True:
            self._sooner.clear()
            due = self._inbox.next_due()
            # After that look, or what came due just before it would be told to nobody.
            for instance in self._inbox.due():
                self._kick(instance)
            left = None if due is None else max(0.0, due - time.time())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._sooner.wait(), left)

    async def _step(self, instance: str) -> bool:
        """Takes an instance one step further; whether there was something to do."""
        messages = self._inbox.waiting(instance, self._most)
        if not messages:
            return False
        row = self._instances.get(instance)
        news = []
        if row is not None and row["status"] not in TERMINAL:
            # The others answer a generation that has continued as new.
            news = [m["event"] for m in messages if m["generation"] == row["generation"]]
        if row is None or not news:
            with self._store.transaction() as db:
                self._inbox.remove(db, messages)
            return True
        past = self._instances.history(instance)
        fresh = [event(Kind.ORCHESTRATOR_STARTED), *map(json.loads, news)]
        turn = await self._loop.run_in_executor(self._pool, self._turn, row, past, fresh)
        self.replays += 1
        self._instances.commit(row, messages, fresh, turn)
        return True

    def _turn(self, row: sqlite3.Row, past: list[Event], news: list[Event]) -> sdk.Turn:
        name = row["name"]
        try:
            turn = self._replay(self._functions.orchestrator(name), row, past, news)
            for _, wish in turn.asked:
                raw = wish.input if isinstance(wish.input, str) else json.dumps(wish.input)
                self._limits.message(f"the input of {wish.name}", raw)
            self._limits.message(f"the input with which {name} continues", turn.next_input)
            self._limits.message(f"the output of {name}", turn.output)
            self._limits.status(name, turn.custom)
        except NonDeterministicError as e:
            self._limits.complain(f"{name} {row['id']} is not deterministic: {e}")
            return sdk.failed(row, f"Non-Deterministic workflow detected: {e}")
        except TooLargeError as e:
            return sdk.failed(row, e)
        except Exception as e:  # as on Azure, the orchestration fails
            log.exception("orchestrator %s failed", name)
            return sdk.failed(row, f"{type(e).__name__}: {e}")
        return turn

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._limits.complain(f"the host itself failed: {error!r}")
