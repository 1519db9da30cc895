"""A service as `copyjob serve` has one: a folder of jobs, a SQLite state, threads that run jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from fastapi import FastAPI
from fastapi.testclient import TestClient

from copy_core.context import Context, Progress
from copy_core.model import RunSummary
from copy_core.runners.launcher import LocalLauncher
from copy_core.runners.local import LocalRunner
from copy_core.service.catalog import open_catalog
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.state.sqlite import SqliteStateStore
from copy_core.web.app import create_app
from copy_core.web.security import TokenGuard
from tests import leaks
from tests.planted import planted

leaks.hear_answers()

TOKEN = planted("a-token")
CREDENTIALS = {"Authorization": f"Bearer {TOKEN}"}
CONNECTIONS = """\
connections:
  erp: {type: sqlite, path: ../erp.db}
  gone: {type: sqlite, path: ../nowhere/gone.db}
  lake:
    type: delta
    root: ../lake
    storage: {access_key: "${env:COPYJOB_TEST_KEY}"}
  files: {type: local, root: ../files, format: jsonl}
"""
SALES = """\
name: sales
source: erp
destination: lake
mode: incremental
incremental_column: changed
schedules: [{cron: "0 3 * * *"}]
tables: [{source: orders}, {source: events, incremental_column: at}]
"""


@dataclass
class Desk:
    """What a test works with.

    Attributes:
        folder: where everything is.
        service: the service behind the API.
        client: asks the API, with the right token.
    """

    folder: Path
    service: Service
    client: TestClient

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    def run(self, stop_at: str = "") -> RunSummary:
        """Runs the job to its end, or until something happens that `Progress` tells of."""

        def observe(progress: Progress) -> None:
            if progress.event == stop_at:
                runner.stop()

        loaded = self.service.catalog.load("sales")
        context = Context(loaded.job, loaded.connections, self.service.store, observe=observe)
        runner = LocalRunner(context)
        return runner.run()

    def sql(self, *statements: str) -> None:
        """Changes the source."""
        with closing(sqlite3.connect(self.folder / "erp.db")) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("COPYJOB_TEST_KEY", planted("key-of-the-lake"))
    _fill(tmp_path)
    settings = Settings(jobs=str(tmp_path / "jobs"), state=str(tmp_path / "state.db"))
    catalog = open_catalog(settings)
    with SqliteStateStore(settings.state) as store:
        launcher = LocalLauncher(catalog.load, store)
        yield Service(settings, catalog, store, launcher)
        launcher.stop()


@pytest.fixture
def app(service: Service) -> FastAPI:
    return create_app(lambda: service, TokenGuard(TOKEN))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, headers=CREDENTIALS) as client:
        yield client


@pytest.fixture
def desk(tmp_path: Path, service: Service, client: TestClient) -> Desk:
    return Desk(tmp_path, service, client)


@pytest.fixture
def ask() -> Callable[[FastAPI], TestClient]:
    """A client with the right token for an app that a test makes."""
    return lambda app: TestClient(app, headers=CREDENTIALS)


def _fill(folder: Path) -> None:
    (folder / "jobs").mkdir()
    (folder / "jobs/connections.yaml").write_text(CONNECTIONS, "utf-8")
    (folder / "jobs/sales.yaml").write_text(SALES, "utf-8")
    (folder / "files/clicks").mkdir(parents=True)
    (folder / "files/clicks/1.jsonl").write_text('{"page": "a", "n": 1}\n', "utf-8")
    with closing(sqlite3.connect(folder / "erp.db")) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, changed INTEGER NOT NULL, note)")
        db.execute("CREATE TABLE events (at TIMESTAMP, payload BLOB)")
        db.executemany(
            "INSERT INTO orders VALUES (?, ?, ?)", [(n, n * 10, f"note {n}") for n in range(30)]
        )
        db.execute("INSERT INTO events VALUES ('2026-01-31 10:00:00', x'00ff')")
        db.commit()
    write_deltalake(folder / "lake/history", pa.table({"id": [1, 2], "big": [2**60, None]}))
