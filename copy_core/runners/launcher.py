"""Starts runs on one machine: each in a thread of its own, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from copy_core.errors import TransientError
from copy_core.model import JsonDict, RunRequest
from copy_core.runners.threaded import ThreadedRun
from copy_core.service.launcher import Launcher
from copy_core.state import history

if TYPE_CHECKING:
    from copy_core.jobfile import Loaded
    from copy_core.state.base import StateStore

AT_ONCE = 4
"""How many runs copy at the same time; others hold their job and wait for their turn."""


class LocalLauncher(Launcher):
    """Runs jobs in this process.

    What dies with the process, and what `stop` cuts off, keeps its record open: such a run is
    shown as interrupted, and can be resumed.

    Args:
        load: gives a job and its connections by the job's name.
        store: the state.
        at_once: how many runs copy at the same time.
    """

    def __init__(
        self, load: Callable[[str], Loaded], store: StateStore, at_once: int = AT_ONCE
    ) -> None:
        self._load, self._store = load, store
        self._turns = BoundedSemaphore(at_once)
        self._lock = Lock()
        self._runs: dict[str, ThreadedRun] = {}
        self._closed = False

    async def start(self, request: RunRequest) -> bool:
        """As every launcher does; returns once the run holds its job and is in the history, also
        to whoever asks for it meanwhile.

        Raises:
            ConfigError: the job cannot be read.
            ConflictError: another run holds the job; this one was not started.
            TransientError: the server is about to stop.
        """
        return await asyncio.to_thread(self._start, request)

    async def progress(self, run_id: str) -> JsonDict | None:
        run = self._runs.get(run_id)
        return run.counts.to_json() if run else None

    async def purge(self, before: datetime) -> None:
        """Nothing is kept but what the history has."""

    def stop(self) -> None:
        """Takes no more runs, has those under way stop between two batches, and waits for them."""
        with self._lock:
            self._closed = True
            under_way = list(self._runs.values())
        for run in under_way:
            run.interrupt()
        for run in under_way:
            run.join()

    def _start(self, request: RunRequest) -> bool:
        loaded = self._load(request.job)
        with self._lock:
            if self._closed:
                raise TransientError(
                    "the server is about to stop",
                    fix="Ask again when it is back",
                    code="stopping",
                    job=request.job,
                )
            run = self._runs.get(request.run_id)
            anew = run is None
            if run is None:
                if history.run(self._store, request.run_id):
                    return False
                run = ThreadedRun(request, loaded, self._store, self._turns, self._ended)
                run.start()
                self._runs[request.run_id] = run
        run.begun.result()
        return anew

    def _ended(self, run_id: str) -> None:
        with self._lock:
            del self._runs[run_id]
