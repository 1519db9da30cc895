"""The same job between two stores in memory: a run takes milliseconds, and dies by an exception
that nothing catches and after which every call of the run fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from copy_core import reset
from copy_core.connectors import memory
from copy_core.connectors.options import Connection, MemoryOptions
from copy_core.context import Context
from copy_core.job import Job, JobFile, resolve
from copy_core.runners.local import LocalRunner
from copy_core.state.sqlite import SqliteStateStore
from tests.crash import child, places
from tests.crash.house import Happening, Run
from tests.crash.look import Look, look_of
from tests.crash.places import Row
from tests.crash.points import Points, watched_connectors, watched_store


class Crash(BaseException):
    """The process of a run is no more."""


class MemoryTable:
    """The source."""

    updates, deletes = True, False

    def __init__(self) -> None:
        self.options = MemoryOptions(type="memory", name=f"from {uuid4()}")
        self.store = memory.store(self.options.name)
        self.store.put(places.TABLE, places.batch([]), ["id"])

    def insert(self, rows: Sequence[Row]) -> None:
        self.store.append(places.TABLE, places.batch(rows))

    def update(self, row: Row) -> None:
        """Changes a row where it stands: the source cuts its parts at row numbers."""
        rows = [tuple(each.values()) for each in self.store.read(places.TABLE).to_pylist()]
        changed = [row if each[0] == row[0] else each for each in rows]
        self.store.put(places.TABLE, places.batch(changed), ["id"])


class MemoryHouse:
    """The job, its source, its destination and its state."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.source = MemoryTable()
        self._target = MemoryOptions(type="memory", name=f"to {uuid4()}")
        self._connections: dict[str, Connection] = {"from": self.source.options, "to": self._target}
        self._state = SqliteStateStore(":memory:")
        self.settings = settings
        self.batch_rows = 2

    def close(self) -> None:
        """Forgets all of it."""
        self._state.close()
        for options in (self.source.options, self._target):
            memory.store(options.name).clear()
            memory._stores.pop(options.name)

    def run(self, kill: int = 0, happenings: Sequence[Happening] = ()) -> Run:
        """Runs the job.

        Args:
            kill: the number of the point to die at; 0 for none.
            happenings: what else happens, and at which points.
        """

        def crash(name: str) -> None:
            points.dead = Crash(name)
            raise points.dead

        def stop(due: list[int]) -> None:
            for number in due:
                what[number]()

        what = {at: happening for at, happening in happenings if at != kill}
        points = Points(kill, crash, what, stop)
        context = Context(self._job(), self._connections, watched_store(self._state, points))
        try:
            with watched_connectors(points):
                summary = LocalRunner(context).run()
        except Crash as e:
            self.expire()  # its process is dead, which others would see by its number
            return Run(None, str(e), points.count)
        return Run(summary, "", points.count)

    def look(self) -> Look:
        """Looks at what is there."""
        return look_of(child.look(self._job(), self._connections, self._state))

    def reset(self, *, truncate: bool) -> None:
        """Resets the job, as the command does."""
        reset.reset(self._state, self._job(), [], truncate=truncate)

    def expire(self) -> None:
        """Lets the time of the job's lease pass."""
        child.expire(self._state, self._job().name)

    def lose_state(self) -> None:
        """Loses the state."""
        self._state.close()
        self._state = SqliteStateStore(":memory:")

    def _job(self) -> Job:
        return resolve(JobFile.model_validate(child.job_of(self.settings, self.batch_rows)))
