"""Runs through the API: what its routes answer, and what a run survives."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from copy_core.state import lease
from tests import servers
from tests.web.conftest import Desk
from tests.web.served import Served

# The routes, with the app in this process.


def until_ended(desk: Desk, run_id: str) -> dict[str, Any]:
    while (run := desk.client.get(f"/api/runs/{run_id}").json())["status"] == "running":
        time.sleep(0.01)
    return dict(run)


def start(desk: Desk, **more: Any) -> str:
    answer = desk.client.post("/api/jobs/sales/runs", **more)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


def test_a_start_answers_where_the_run_is(desk: Desk) -> None:
    answer = desk.client.post("/api/jobs/sales/runs")
    assert answer.status_code == 202
    run_id = answer.json()["run_id"]
    assert answer.headers["location"] == answer.json()["url"] == f"/api/runs/{run_id}"
    run = until_ended(desk, run_id)
    assert (run["job"], run["trigger"], run["status"]) == ("sales", "http", "succeeded")
    assert {table["source"] for table in run["tables"]} == {"orders", "events"}
    assert run["progress"] is None


def test_a_start_may_name_tables_and_ask_for_all_rows(desk: Desk) -> None:
    until_ended(desk, start(desk))
    again = until_ended(desk, start(desk, json={"tables": ["orders"]}))
    assert [(t["source"], t["status"]) for t in again["tables"]] == [("orders", "unchanged")]
    anew = until_ended(desk, start(desk, json={"tables": ["orders"], "full": True}))
    (table,) = anew["tables"]
    assert (table["load_type"], table["rows_written"]) == ("full", 30)
    assert DeltaTable(desk.folder / "lake/orders").to_pyarrow_table().num_rows == 30


def test_a_start_with_the_same_key_is_the_same_run(desk: Desk) -> None:
    key = {"Idempotency-Key": "monday"}
    first = start(desk, headers=key)
    until_ended(desk, first)
    assert start(desk, headers=key) == first
    assert len(desk.client.get("/api/runs").json()["runs"]) == 1
    other = desk.client.post("/api/jobs/sales/runs", json={"full": True}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "key-reused")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/jobs/nosuch/runs", None, 404, "job-unknown"),
        ("/api/jobs/sales/runs", {"tables": ["nosuch"]}, 404, "table-unknown"),
        ("/api/jobs/sales/runs", {"tables": []}, 422, "request"),
        ("/api/jobs/sales/runs", {"tables": ["\ud800"]}, 422, "request"),
        ("/api/jobs/sales/runs", {"full": 1}, 422, "request"),
        ("/api/jobs/sales/runs", {"everything": True}, 422, "request"),
        ("/api/jobs/broken/runs", None, 422, "job-file"),
        ("/api/runs/nosuch/cancel", None, 404, "run-unknown"),
        ("/api/runs/nosuch/resume", None, 404, "run-unknown"),
    ],
)
def test_what_cannot_be_done_is_told(
    desk: Desk, path: str, body: Any, status: int, code: str
) -> None:
    (desk.jobs / "broken.yaml").write_text("name: broken\n", "utf-8")
    text = json.dumps(body) if body else ""
    answer = desk.client.post(path, content=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_held_job_answers_who_holds_it(desk: Desk) -> None:
    owner = lease.Owner(run_id="20261122T000000-abcdef", holder="copyjob run")
    lease.claim(desk.service.store, "sales", 60, owner)
    answer = desk.client.post("/api/jobs/sales/runs")
    assert (answer.status_code, answer.json()["code"]) == (409, "lease-held")
    assert "20261122T000000-abcdef" in answer.json()["detail"]
    assert desk.client.get("/api/runs").json() == {"runs": [], "next": None}


def test_an_ended_run_is_neither_cancelled_nor_resumed(desk: Desk) -> None:
    run_id = start(desk)
    until_ended(desk, run_id)
    for action, code in (("cancel", "run-ended"), ("resume", "nothing-to-resume")):
        answer = desk.client.post(f"/api/runs/{run_id}/{action}")
        assert (answer.status_code, answer.json()["code"]) == (409, code)


def test_runs_are_listed_newest_first_in_pages(desk: Desk) -> None:
    made = []
    for _ in range(3):
        made.append(start(desk))
        until_ended(desk, made[-1])
    first = desk.client.get("/api/runs", params={"limit": 2, "job": "sales"}).json()
    rest = desk.client.get("/api/runs", params={"before": first["next"]}).json()
    assert [run["run_id"] for run in first["runs"] + rest["runs"]] == made[::-1]
    assert rest["next"] is None
    assert desk.client.get("/api/runs", params={"job": "other"}).json()["runs"] == []


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"job": "a/b"}, {"before": "yesterday"}]
)
def test_a_list_that_cannot_be_understood_is_told(desk: Desk, query: dict[str, Any]) -> None:
    answer = desk.client.get("/api/runs", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "request")


# A server of its own, from a SQLite file into a Delta lake.

CUSTOMERS, ROWS = 3, 500
JOB = """\
name: {name}
source: shop
destination: lake
write: append
limits: {{batch_rows: 1, parallel_tables: 1}}
tables: [{{source: customers}}, {{source: orders}}]
"""
CONNECTIONS = """\
connections:
  shop: {type: sqlite, path: ../shop.db}
  lake: {type: delta, root: ../lake}
"""


class Shop:
    """A job whose table `orders` gives rows without end, until it is settled how many it has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.jobs = folder, folder / "jobs"
        self.name = f"shop-{uuid.uuid4().hex[:8]}"  # Azurite is shared
        self.jobs.mkdir()
        (self.jobs / f"{self.name}.yaml").write_text(JOB.format(name=self.name), "utf-8")
        (self.jobs / "connections.yaml").write_text(CONNECTIONS, "utf-8")
        self._sql("CREATE TABLE customers (id INTEGER PRIMARY KEY)")
        self._sql("INSERT INTO customers VALUES (1), (2), (3)")
        self._orders(10**12)

    def settle(self) -> None:
        """Gives `orders` the rows that it has."""
        self._sql("DROP VIEW orders")
        self._orders(ROWS)

    def _orders(self, rows: int) -> None:
        counted = f"SELECT 1 UNION ALL SELECT id + 1 FROM n LIMIT {rows}"
        self._sql(f"CREATE VIEW orders AS WITH RECURSIVE n(id) AS ({counted}) SELECT id FROM n")

    def _sql(self, statement: str) -> None:
        with closing(sqlite3.connect(self.folder / "shop.db")) as db:
            db.execute(statement)
            db.commit()

    def copied(self, table: str) -> list[int]:
        rows = DeltaTable(self.folder / "lake" / table).to_pyarrow_table()
        return sorted(rows["id"].to_pylist())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def assert_copied_once(shop: Shop, run: dict[str, Any]) -> None:
    """The second run copied what the first one had not."""
    assert {table["source"]: table["status"] for table in run["tables"]} == {"orders": "copied"}
    assert shop.copied("customers") == [1, 2, 3]
    assert shop.copied("orders") == list(range(1, ROWS + 1))


def test_a_run_is_followed_cancelled_in_its_midst_and_resumed(shop: Shop) -> None:
    with Served(shop.jobs) as server:
        run_id = server.start(shop.name)
        second = server.client.post(f"/api/jobs/{shop.name}/runs")
        assert (second.status_code, second.json()["code"]) == (409, "lease-held")
        assert run_id in second.json()["detail"]
        server.until_copying(run_id, CUSTOMERS)
        early = server.client.post(f"/api/runs/{run_id}/resume")
        assert (early.status_code, early.json()["code"]) == (409, "run-under-way")
        assert server.client.post(f"/api/runs/{run_id}/cancel").status_code == 202
        run = server.until(run_id, "cancelled")
        statuses = {table["source"]: table["status"] for table in run["tables"]}
        assert statuses == {"customers": "copied", "orders": "cancelled"}
        shop.settle()
        answer = server.client.post(f"/api/runs/{run_id}/resume")
        assert answer.status_code == 202
        resumed = server.until(answer.json()["run_id"], "succeeded")
        assert resumed["trigger"] == "resume"
        assert_copied_once(shop, resumed)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_goes_on_when_the_server_is_back(shop: Shop, number: signal.Signals) -> None:
    assert_goes_on(shop, number)


def test_a_run_goes_on_from_a_state_in_azure_tables(shop: Shop, azurite: servers.Azurite) -> None:
    environment = {"AZURITE": azurite.connection_string, "COPYJOB_STATE": "tables:${env:AZURITE}"}
    assert_goes_on(shop, signal.SIGKILL, **environment)


def assert_goes_on(shop: Shop, number: signal.Signals, **environment: str) -> None:
    with Served(shop.jobs, **environment) as server:
        run_id = server.start(shop.name)
        server.until_copying(run_id, CUSTOMERS)
        code = server.stop(number)
        assert code == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    shop.settle()
    with Served(shop.jobs, **environment) as server:
        old = server.until(run_id, "interrupted")
        assert [table["source"] for table in old["tables"]][:1] == ["customers"]
        query = {"job": shop.name}
        while len(runs := server.client.get("/api/runs", params=query).json()["runs"]) < 2:
            time.sleep(0.05)
        resumed = server.until(runs[0]["run_id"], "succeeded")
        assert resumed["trigger"] == "resume"
        assert_copied_once(shop, resumed)
        assert server.stop() == 0
