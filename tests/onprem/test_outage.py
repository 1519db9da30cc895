"""The cloud is out of reach for a while: the server lives on, and goes on by itself."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from azure.storage.blob import ContainerClient
from deltalake import DeltaTable

from copy_core.model import RunRequest
from copy_core.service.service import Service
from copy_core.state import history
from tests import servers
from tests.durable.gate import gate
from tests.onprem.storage import OwnStorage
from tests.web.minutes import live_through, service_of
from tests.web.served import Served

ROWS = 30_000
JOB = """\
name: shop
source: here
destination: there
limits: {{retries: 20}}
tables: [{{source: orders}}]
connections:
  here: {{type: sqlite, path: shop.db}}
  there: {{type: delta, root: "{lake}", storage: {{use_emulator: "true"}}}}
"""


@pytest.fixture
def lake(azurite: servers.Azurite) -> str:
    """Not in the storage that is taken away."""
    name = f"lake-{uuid4().hex[:12]}"
    with ContainerClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_container()
    return f"az://{name}/lake"


@pytest.fixture
def jobs(tmp_path: Path, lake: str) -> Path:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "shop.yaml").write_text(JOB.format(lake=lake), "utf-8")
    numbers = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
    with closing(sqlite3.connect(folder / "shop.db")) as db:
        db.execute(f"CREATE VIEW orders AS {numbers} SELECT id FROM n LIMIT {ROWS}")
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[OwnStorage]:
    with OwnStorage(tmp_path / "storage") as own:
        yield own


def test_a_run_outlives_that_its_state_is_away_for_a_moment(
    jobs: Path, lake: str, storage: OwnStorage, azurite: servers.Azurite
) -> None:
    state = ("--state", "tables:${env:STORAGE}")
    known = {"STORAGE": storage.connection_string}
    with gate(azurite) as before, Served(jobs, *state, **known, **before.environment) as server:
        before.close("orders")
        run = server.start("shop")
        server.until_copying(run, 0)
        storage.stop()
        before.open()
        answer = server.client.get("/api/runs")
        assert (answer.status_code, answer.json()["code"]) == (503, "state-unreachable")
        assert server.client.get("/api/health").status_code == 200
        storage.start()
        ended = server.until(run, "succeeded", "failed")
        assert (ended["status"], ended["error"]) == ("succeeded", None)
        assert server.stop() == 0
    assert DeltaTable(f"{lake}/orders", storage_options=azurite.storage_options).count() == ROWS


BLINK = """\
name: shop
source: here
destination: there
tables: [{source: t, write: overwrite}]
connections:
  here: {type: memory, name: outage-here}
  there: {type: memory, name: outage-there}
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (jobs / "shop.yaml").write_text(BLINK, "utf-8")
    with service_of(jobs) as service:
        yield service


def test_what_broke_off_in_an_outage_is_taken_up_after_it(
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(logging.getLogger("copyjob"), "propagate", True)
    begin = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    jobs, aside = tmp_path / "jobs", tmp_path / "aside"
    run = RunRequest(run_id="20261122T120030-abcdef", job="shop", trigger="http", tables=None)

    async def minutes() -> AsyncIterator[datetime]:
        yield begin
        # A run that could not write down its end any more: its record stays open, its job is free.
        history.ask(service.store, run, begin)
        history.begin(service.store, run, 1, begin)
        shutil.move(jobs, aside)
        yield begin + timedelta(minutes=1)
        shutil.move(aside, jobs)
        yield begin + timedelta(minutes=2)

    live_through(service, minutes)
    runs = {each.trigger: each for each in history.runs(service.store, "shop").runs}
    assert runs.keys() == {"http", "resume"}
    assert runs["http"].status == "interrupted"
    # What is foreseen is said in a sentence a minute, not in a page.
    told = [each for each in caplog.records if "could not be" in each.message]
    assert told
    assert {each.exc_text for each in told} == {None}
