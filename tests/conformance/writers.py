"""Writers of one Delta table, each a process of its own, that begin at the same moment: jobs, the
parts of one job, and a rival that has never heard of copyjob.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from copy_core.connectors.options import DeltaOptions
from copy_core.connectors.registry import open_destination
from copy_core.context import Context
from copy_core.job import JobFile, resolve
from copy_core.model import Commit, Published, Staged, Target
from copy_core.runners.local import LocalRunner
from copy_core.state.sqlite import SqliteStateStore
from tests.crash.lakes import storage, url
from tests.crash.ops import APPEND, UPSERT
from tests.crash.places import TABLE, Row, SqliteTable, batch

RUNS = 2
"""How often each job runs."""
_JOB = 1_000_000
"""The keys of each writer begin at another multiple of this."""
_NEEDED = (
    "adbc_driver_sqlite.dbapi copy_core.connectors.delta.destination"
    " copy_core.connectors.sql.sqlite tests.conformance.writers"
)


class Task(NamedTuple):
    """What a process is to do; a function of this module with its arguments."""

    act: Callable[..., Any]
    arguments: tuple[Any, ...]


def at_once(tasks: Sequence[Task]) -> list[Any]:
    """Does each task in a process of its own, all from the same moment on; what they return."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_NEEDED.split())
    barrier = context.Barrier(len(tasks))
    with ProcessPoolExecutor(len(tasks), context, _begin, (barrier, {**os.environ})) as pool:
        return [future.result() for future in [pool.submit(_do, task) for task in tasks]]


def _begin(barrier: Any, environment: dict[str, str]) -> None:
    # What they are forked from may be older than a server, and not know where that is.
    os.environ.update(environment)
    barrier.wait(60)


def _do(task: Task) -> Any:
    return task.act(*task.arguments)


def job(number: int, write: str, folder: Path, target: DeltaOptions) -> list[Row]:
    """Runs a job some times over a source of its own, which grows and changes.

    Returns:
        The rows that must then be there.
    """
    folder = folder / str(number)
    folder.mkdir()
    source = SqliteTable(folder)
    table = {"source": TABLE, "parts": 2, **(UPSERT if write == "upsert" else APPEND)}
    file = {"name": named(number), "source": "from", "destination": "to", "tables": [table]}
    definition = resolve(JobFile.model_validate(file))
    rows: dict[int, Row] = {}
    for run in range(RUNS):
        first = number * _JOB + run * 100
        new = [(first + n, run * 10 + n, first + n) for n in range(5)]
        source.insert(new)
        rows |= {row[0]: row for row in new}
        if run and write == "upsert":
            old = (first - 100, run * 10 + 5, first + 5)
            source.update(old)
            rows[old[0]] = old
        with SqliteStateStore(str(folder / "state.db")) as store:
            context = Context(definition, {"from": source.options, "to": target}, store)
            summary = LocalRunner(context).run()
        assert summary.status == "succeeded", summary.model_dump_json(indent=1)
    return list(rows.values())


def named(number: int) -> str:
    """What a job is called."""
    return f"job-{number}"


def rival(target: DeltaOptions, rounds: range) -> list[Row]:
    """Appends, merges and compacts with delta-rs; in each round other rows.

    Returns:
        The rows that must then be there.
    """
    rows: list[Row] = []
    for number in rounds:
        appended, merged = ((-key, number, -key) for key in (2 * number + 1, 2 * number + 2))
        _until_done(_append, target, appended)
        _until_done(_merge, target, merged)
        rows += [appended, merged]
        with suppress(CommitFailedError):
            _table(target).optimize.compact()
    return rows


def _append(target: DeltaOptions, row: Row) -> None:
    write_deltalake(url(target), batch([row]), mode="append", storage_options=storage(target))


def _merge(target: DeltaOptions, row: Row) -> None:
    merge = _table(target).merge(batch([row]), "t.id = s.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def _table(target: DeltaOptions) -> DeltaTable:
    return DeltaTable(url(target), storage_options=storage(target))


def _until_done(act: Callable[[DeltaOptions, Row], None], target: DeltaOptions, row: Row) -> None:
    while True:
        with suppress(CommitFailedError):
            act(target, row)
            return


def stage(target: DeltaOptions, aim: Target, part: int, rows: Sequence[Row]) -> Staged:
    """Stages a part."""
    with open_destination(target) as destination:
        schema = destination.prepare(aim)
        batches = batch(rows).cast(schema).to_batches(max_chunksize=100)
        return destination.stage(aim, part, batches)


def publish(target: DeltaOptions, commit: Commit) -> Published:
    """Publishes what was staged."""
    with open_destination(target) as destination:
        return destination.publish(commit)
