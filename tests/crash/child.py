"""What a child process does: a run that may die at a point, or a look at what there is."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from copy_core import reset
from copy_core.connectors.options import Connection
from copy_core.connectors.registry import open_destination
from copy_core.context import Context
from copy_core.job import Job, JobFile, resolve
from copy_core.runners.local import LocalRunner
from copy_core.state import lease, tables
from copy_core.state.base import ANY, StateStore
from copy_core.state.sqlite import SqliteStateStore
from tests.crash import places
from tests.crash.places import TABLE
from tests.crash.points import Points, watched_connectors, watched_store

Spec = dict[str, Any]
Note = Callable[[dict[str, Any]], None]

_connections: TypeAdapter[dict[str, Connection]] = TypeAdapter(dict[str, Connection])


def job_of(settings: dict[str, Any], batch_rows: int) -> dict[str, Any]:
    """The job as in a job file: one table, whose parts are copied one after the other."""
    return {
        "name": "job",
        "source": "from",
        "destination": "to",
        "tables": [{"source": TABLE, **settings}],
        "limits": {"retries": 2, "batch_rows": batch_rows, "parallel_parts": 1},
    }


def work(spec: Spec, note: Note) -> None:
    """Does what `spec` asks for, and notes what came of it; a run may kill or stop the process.

    Args:
        spec: `act` and its arguments; `job` as in a job file, `connections`, `state` (a path).
        note: keeps the newest answer where the parent finds it, also when this process dies.
    """
    job = resolve(JobFile.model_validate(spec["job"]))
    connections = _connections.validate_python(spec["connections"])
    with SqliteStateStore(spec["state"]) as store:
        match spec["act"]:
            case "run":
                _run(spec, job, connections, store, note)
            case "look":
                note(look(job, connections, store))
            case "reset":
                reset.reset(store, job, [], truncate=spec["truncate"])
            case "expire":
                expire(store, job.name)


def _run(
    spec: Spec, job: Job, connections: dict[str, Connection], store: StateStore, note: Note
) -> None:
    def die(name: str) -> None:
        note({"at": name})
        os.kill(os.getpid(), signal.SIGKILL)

    def stop(due: list[int]) -> None:
        note({"due": due})
        os.kill(os.getpid(), signal.SIGSTOP)

    points = Points(spec["kill"], die, spec["stops"], stop, spec["among"])
    events = _count_events(spec["event"], note)
    with watched_connectors(points):
        context = Context(job, connections, watched_store(store, points))
        summary = LocalRunner(context).run()
    note({"summary": summary.to_json(), "points": points.count, "events": events()})


def _count_events(deadly: int, note: Note) -> Callable[[], int]:
    """Counts what Python's auditing tells of input and output; the process dies at one of them."""
    seen = 0
    wanted = ("open", "os.", "sqlite3.", "shutil.", "fcntl.")

    def hook(event: str, _: object) -> None:
        nonlocal seen
        if event.startswith(wanted):
            seen += 1
            if seen == deadly:
                note({"at": f"event {event}"})
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: seen


def look(job: Job, connections: dict[str, Connection], store: StateStore) -> dict[str, Any]:
    """What is at the destination, in its ledger and in the state; changes nothing, but that a
    connector may finish what a dead commit had left to do.
    """
    state, _ = tables.load(store, job.name, TABLE)
    connection = connections[job.destination]
    places.settle(connection)
    with open_destination(connection) as destination:
        ledger = destination.last_commit(job.name, TABLE, TABLE)
    held = lease.holder_of(store, job.name)
    return {
        "rows": places.rows(connection),
        "waiting": places.waiting(connection),
        "ledger": ledger and ledger.to_json(),
        "state": state.to_json(),
        "lease": held and held.run_id,
    }


def expire(store: StateStore, job: str) -> None:
    """Lets the time of the job's lease pass."""
    row = store.get(job, "lease")
    if row is not None:
        store.put(job, "lease", row.value | {"until": 0.0}, ANY)


def lose_state(path: str) -> None:
    """Removes a state file."""
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
