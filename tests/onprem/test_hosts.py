"""Several hosts at one storage account: what they share is started once, the rest by its own."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
from azure.storage.blob import ContainerClient
from deltalake import DeltaTable

from copy_core.runners.launcher import LocalLauncher
from copy_core.service import ticker
from copy_core.service.catalog import open_catalog
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.state import history, lease
from copy_core.state.registry import open_state
from tests import servers

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROWS = 1_000
CONNECTIONS = """\
connections:
  here: {{type: sqlite, path: "{folder}/shop.db"}}
  there: {{type: delta, root: "{folder}/lake"}}
"""
JOB = """\
name: {name}
source: here
destination: there
schedules: [{{cron: "0 * * * *", overlap: queue}}]
tables: [{{source: orders}}]
"""


@pytest.fixture
def container(azurite: servers.Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STORAGE", azurite.connection_string)
    return f"jobs-{uuid4().hex[:12]}"


def put(azurite: servers.Azurite, container: str, files: dict[str, str]) -> None:
    with ContainerClient.from_connection_string(azurite.connection_string, container) as client:
        client.create_container()
        for path, text in files.items():
            client.upload_blob(path, text)


def host(held: ExitStack, jobs: str) -> Service:
    """What runs jobs on a machine: it has its own threads, and shares what is in the cloud."""
    settings = Settings(jobs="blobs:${env:STORAGE}/" + jobs, state="tables:${env:STORAGE}")
    catalog = held.enter_context(closing(open_catalog(settings)))
    store = held.enter_context(open_state(settings.state))
    launcher = LocalLauncher(catalog.load, store)
    held.callback(launcher.stop)
    return Service(settings, catalog, store, launcher)


def test_two_servers_with_the_same_jobs_and_state_start_each_run_once(
    azurite: servers.Azurite, container: str, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        db.executemany("INSERT INTO orders VALUES (?)", ((n,) for n in range(ROWS)))
        db.commit()
    job = f"shop-{uuid4().hex[:12]}"
    known = CONNECTIONS.format(folder=tmp_path)
    put(azurite, container, {f"{job}.yaml": JOB.format(name=job), "connections.yaml": known})
    hours = 4
    with ExitStack() as held:
        hosts = [host(held, container) for _ in range(2)]
        asyncio.run(ticker.tick(hosts[0], NOON - timedelta(minutes=30)))  # the job is known
        together = Barrier(2)

        def ticks(service: Service) -> int:
            started = 0
            for hour in range(hours):
                together.wait()
                started += len(asyncio.run(ticker.tick(service, NOON + timedelta(hours=hour))))
                together.wait()
                # A run writes down its end before it lets go of its job.
                while lease.holder_of(service.store, job):
                    time.sleep(0.05)
            return started

        with ThreadPoolExecutor(2) as pool:
            started = sum(pool.map(ticks, hosts))
        runs = history.runs(hosts[0].store, job).runs
    assert started == len(runs) == hours
    assert {run.status for run in runs} == {"succeeded"}
    assert DeltaTable(tmp_path / "lake/orders").count() == hours * ROWS


def test_a_host_knows_the_jobs_of_its_own_prefix_alone(
    azurite: servers.Azurite, container: str
) -> None:
    put(azurite, container, {"cloud.yaml": JOB, "site-a/erp.yaml": JOB, "site-b/erp.yaml": JOB})
    with ExitStack() as held:
        known = {at: host(held, container + at).catalog.names() for at in ("", "/site-a")}
    assert known == {"": ["cloud"], "/site-a": ["erp"]}
