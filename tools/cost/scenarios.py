"""What is counted: ticks, runs of tables with and without anything new, and copies of some size."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from bench import data
from tests import servers
from tests.durable.site import unique, until
from tools.cost import counts
from tools.cost.app import App
from tools.cost.counts import Counted

NEVER = "0 0 0 1 1 *"
_AHEAD = timedelta(seconds=10)  # a tick on a busy machine is over by then


class Copy(NamedTuple):
    """A run of a job over tables that were copied before; those that have new rows twice, so that
    what an earlier copy leaves has to be cleaned.

    Attributes:
        tables: how many.
        changed: how many of them have new rows.
        parts: in how many parts the new rows of each are copied.
        write: how they are written.
    """

    tables: int
    changed: int = 0
    parts: int = 1
    write: str = "append"


COPIES = {
    "unchanged_1": Copy(1),
    "unchanged_25": Copy(25),
    "unchanged_100": Copy(100),
    "changed_1": Copy(1, 1),
    "changed_10": Copy(10, 10),
    "upsert_1": Copy(1, 1, write="upsert"),
    "parts_8": Copy(1, 1, parts=8),
}
IDLE = {"idle_1": 1, "idle_10": 10}
VOLUMES = {"small": 2_000_000, "large": 10_000_000}
"""Rows of `bench.data`; the large table has about a quarter of a gigabyte of Parquet."""


def all_of(app: App) -> Iterator[tuple[str, Counted]]:
    """Counts every scenario, each by its name."""
    yield from ((name, idle(app, jobs)) for name, jobs in IDLE.items())
    yield from ((name, copied(app, copy, name)) for name, copy in COPIES.items())
    yield from ((name, volume(app, rows, name)) for name, rows in VOLUMES.items())


def idle(app: App, jobs: int) -> Counted:
    """A tick when nothing is due."""
    names = [unique("idle") for _ in range(jobs)]
    for name in names:
        app.put(name, _job(name, ["none"], cron=NEVER))
    app.tick()
    app.forget()
    app.tick()
    found = app.requests()
    for name in names:
        app.remove(name)
    return Counted(ticks=1, requests=found)


def copied(app: App, copy: Copy, name: str) -> Counted:
    """A scheduled run of tables that earlier ones have copied."""
    name = unique(name)
    tables = [f"{name.replace('-', '_')}_{n:03d}" for n in range(copy.tables)]
    settings: dict[str, Any] = {"parts": copy.parts, "write": copy.write}
    if copy.write == "upsert":
        settings["keys"] = ["id"]
    app.put(name, _job(name, tables, **settings))
    for _ in range(2 if copy.changed else 1):
        _insert(app.site.source, tables, rows=10)
        assert app.site.ended(app.site.run(name))["status"] == "succeeded"
    _insert(app.site.source, tables[: copy.changed], rows=80)
    return _scheduled(app, name, tables, ["copied"] * copy.changed, **settings)


def volume(app: App, rows: int, name: str) -> Counted:
    """A first copy of a Delta table of some size into another."""
    name = unique(name)
    where = f"az://{app.containers['source']}/{name}"
    storage = servers.Azurite.storage_options
    write_deltalake(where, data.reader(rows), storage_options=storage)
    adds = pa.table(DeltaTable(where, storage_options=storage).get_add_actions(flatten=True))
    whole = {"source": "landing", "mode": "full", "incremental_column": None}
    found = _scheduled(app, name, [name], ["copied"], **whole)
    run = app.site.ended(app.site.runs(name)[0]["run_id"])
    assert [table["rows_written"] for table in run["tables"]] == [rows], run
    return replace(found, gigabytes=round(pc.sum(adds["size_bytes"]).as_py() / 1e9, 3))


def _scheduled(
    app: App, name: str, tables: list[str], copied: list[str], **settings: Any
) -> Counted:
    """Lets a job come due, and counts from the tick that starts it to the next one."""
    at = datetime.now(UTC) + _AHEAD
    app.put(name, _job(name, tables, cron=f"{at:%S %M %H} * * *", **settings))
    app.tick()  # sees the schedule
    time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
    before = app.instances()
    app.forget()
    app.tick()
    until(lambda: _over(app.instances(), before), patience=600)
    app.tick()  # sees that the run has begun
    found = app.requests()
    app.remove(name)
    histories = [app.site.history(each) for each in app.instances().keys() - before.keys()]
    _check(app, name, tables, copied)
    return Counted(2, found, counts.durable(histories), counts.seconds(histories))


def _over(now: dict[str, str], before: dict[str, str]) -> bool:
    new = [now[each] for each in now.keys() - before.keys()]
    return bool(new) and set(new) == {"Completed"}


def _check(app: App, name: str, tables: list[str], copied: list[str]) -> None:
    """Fails if the run did something else than what is said to be counted."""
    run = app.site.ended(app.site.runs(name)[0]["run_id"])
    became = Counter(table["status"] for table in run["tables"])
    wanted = Counter(copied) + Counter({"unchanged": len(tables) - len(copied)})
    assert (run["status"], run["trigger"], became) == ("succeeded", "schedule", wanted), run


def _insert(file: Path, tables: list[str], rows: int) -> None:
    with closing(sqlite3.connect(file)) as db:
        for table in tables:
            db.execute(f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, word TEXT)")
            db.executemany(f"INSERT INTO {table} (word) VALUES (?)", [("a word",)] * rows)
        db.commit()


def _job(name: str, tables: list[str], cron: str = "", **settings: Any) -> dict[str, Any]:
    given = {
        "source": "shop",
        "destination": "lake",
        "mode": "incremental",
        "incremental_column": "id",
        "limits": {"parallel_tables": 4, "parallel_parts": 4, "source_connections": 8},
        **settings,
    }
    job: dict[str, Any] = {"name": name, "tables": [{"source": table} for table in tables]}
    if cron:
        job["schedules"] = [{"cron": cron}]
    return job | {key: value for key, value in given.items() if value is not None}
