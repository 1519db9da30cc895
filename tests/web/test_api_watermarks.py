"""What a job remembers, through the API: looked at, set and reset."""

from __future__ import annotations

from typing import Any

import pytest
from deltalake import DeltaTable

from copy_core.state import lease, tables
from tests.web.conftest import Desk


def watermarks(desk: Desk) -> dict[str, Any]:
    answer = desk.client.get("/api/jobs/sales/watermarks")
    assert answer.status_code == 200, answer.text
    return {table["source"]: table for table in answer.json()["tables"]}


def put(desk: Desk, value: str, table: str = "orders") -> Any:
    body = {"table": table, "value": value}
    return desk.client.put("/api/jobs/sales/watermarks", json=body)


def rows(desk: Desk, table: str = "orders") -> int:
    return int(DeltaTable(str(desk.folder / "lake" / table)).to_pyarrow_table().num_rows)


def test_before_and_after_a_run(desk: Desk) -> None:
    before = watermarks(desk)["orders"]
    assert (before["sequence"], before["watermark"], before["loaded"]) == (0, None, False)
    assert before["incremental_column"] == "changed"
    assert desk.run().status == "succeeded"
    after = watermarks(desk)
    orders, events = after["orders"], after["events"]
    assert (orders["sequence"], orders["watermark"], orders["kind"]) == (1, "290", "int")
    assert (events["watermark"], events["kind"]) == ("2026-01-31 10:00:00", "timestamp")
    assert orders["pending"] is None


def test_a_table_that_the_job_no_longer_copies_is_still_shown(desk: Desk) -> None:
    desk.run()
    job = desk.jobs / "sales.yaml"
    job.write_text(job.read_text("utf-8").replace("{source: orders}, ", ""), "utf-8")
    shown = watermarks(desk)
    assert (shown["events"]["listed"], shown["orders"]["listed"]) == (True, False)


def test_going_back_copies_rows_again(desk: Desk) -> None:
    desk.run()
    answer = put(desk, "270")
    assert answer.status_code == 200
    assert (answer.json()["watermark"], answer.json()["sequence"]) == ("270", 1)
    [orders, _] = desk.run().tables
    assert (orders.load_type, orders.rows_written) == ("incremental", 2)
    assert rows(desk) == 32
    assert watermarks(desk)["orders"]["watermark"] == "290"


def test_going_forward_passes_rows_over(desk: Desk) -> None:
    desk.run()
    assert put(desk, "400").status_code == 200
    desk.sql("INSERT INTO orders VALUES (90, 400, ''), (91, 401, '')")
    [orders, _] = desk.run().tables
    assert orders.rows_written == 1


def test_a_reset_table_may_go_on_from_a_watermark(desk: Desk) -> None:
    desk.run()
    desk.client.post("/api/jobs/sales/reset", json={"tables": ["orders"]})
    assert put(desk, "280").status_code == 200
    [orders, _] = desk.run().tables
    assert orders.rows_written == 1


def test_a_first_load_may_begin_at_a_watermark(desk: Desk) -> None:
    assert put(desk, "250").status_code == 200
    [orders, _] = desk.run().tables
    assert (orders.status, orders.rows_written) == ("copied", 4)
    desk.sql("INSERT INTO orders VALUES (90, 400, '')")
    [orders, _] = desk.run().tables
    assert (orders.status, orders.rows_written) == ("copied", 1)


def test_a_pending_window_is_shown_and_dropped(desk: Desk) -> None:
    desk.run()
    desk.sql("INSERT INTO orders VALUES (90, 400, ''), (91, 410, '')")
    run = desk.run(stop_at="planned")
    assert run.status == "cancelled"
    pending = watermarks(desk)["orders"]["pending"]
    assert pending["run_id"] == run.run_id
    assert (pending["lower_bound"], pending["upper_bound"]) == ("290", "410")
    assert (pending["parts"], pending["parts_staged"]) == (1, 0)
    assert put(desk, "400").json()["pending"] is None
    state, _ = tables.load(desk.service.store, "sales", "orders")
    assert state.pending is None
    [orders, _] = desk.run().tables
    assert orders.rows_written == 1


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ("orders", "x"),
        ("orders", "1.5"),
        ("orders", "1e3"),
        ("orders", "99999999999999999999"),
        ("orders", " "),
        ("events", "yesterday"),
        ("events", "2026-13-01 00:00:00"),
        ("events", "2026-01-31T10:00:00"),
        ("events", "2026-01-31 10:00:00.5"),
    ],
)
def test_a_value_that_the_column_cannot_have_is_refused(desk: Desk, table: str, value: str) -> None:
    desk.run()
    before = watermarks(desk)[table]
    answer = put(desk, value, table)
    assert (answer.status_code, answer.json()["code"]) == (422, "watermark-value")
    assert answer.json()["where"]["table"] == table
    assert watermarks(desk)[table] == before


def test_a_value_is_kept_as_the_column_writes_it(desk: Desk) -> None:
    assert put(desk, " 0270 ").json()["watermark"] == "270"


def test_a_table_that_is_copied_in_full_has_no_watermark(desk: Desk) -> None:
    job = desk.jobs / "sales.yaml"
    text = job.read_text("utf-8").replace("{source: orders}", "{source: orders, mode: full}")
    job.write_text(text, "utf-8")
    answer = put(desk, "1")
    assert (answer.status_code, answer.json()["code"]) == (422, "no-watermark")


def test_unknown_jobs_and_tables_are_told(desk: Desk) -> None:
    body = {"table": "orders", "value": "1"}
    assert desk.client.get("/api/jobs/none/watermarks").status_code == 404
    assert desk.client.put("/api/jobs/none/watermarks", json=body).status_code == 404
    assert put(desk, "1", "order").json()["fix"] == "Did you mean orders?"
    assert put(desk, "1", "order").status_code == 404
    answer = desk.client.post("/api/jobs/sales/reset", json={"tables": ["order"]})
    assert (answer.status_code, answer.json()["code"]) == (404, "table-unknown")


def test_while_a_run_holds_the_job_nothing_is_changed(desk: Desk) -> None:
    desk.run()
    before = watermarks(desk)
    owner = lease.Owner(run_id="other", holder="copyjob run")
    lease.claim(desk.service.store, "sales", 60.0, owner)
    for answer in (
        put(desk, "100"),
        desk.client.post("/api/jobs/sales/reset", json={"tables": None}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "lease-held")
        assert "other" in answer.json()["detail"]
    assert watermarks(desk) == before


def test_a_run_that_has_ended_holds_nothing_up_before_it_lets_go(desk: Desk) -> None:
    owner = lease.Owner(run_id=desk.run().run_id, holder="copyjob serve")
    lease.claim(desk.service.store, "sales", 60.0, owner)
    assert put(desk, "270").status_code == 200
    lease.claim(desk.service.store, "sales", 60.0, owner)
    answer = desk.client.post("/api/jobs/sales/reset", json={"tables": None})
    assert answer.status_code == 200


@pytest.mark.parametrize(("truncate", "then"), [(False, 60), (True, 30)])
def test_a_reset_loads_all_rows_anew(desk: Desk, truncate: bool, then: int) -> None:
    desk.run()
    body = {"tables": ["orders"], "truncate": truncate}
    answer = desk.client.post("/api/jobs/sales/reset", json=body)
    assert answer.status_code == 200
    [orders] = answer.json()["tables"]
    assert (orders["source"], orders["watermark"]) == ("orders", None)
    assert (orders["loaded"], orders["truncate"]) == (False, truncate)
    assert watermarks(desk)["events"]["loaded"] is True
    desk.run()
    assert rows(desk) == then


def test_all_tables_are_reset_when_somebody_says_so(desk: Desk) -> None:
    desk.run()
    answer = desk.client.post("/api/jobs/sales/reset", json={"tables": None})
    assert [table["source"] for table in answer.json()["tables"]] == ["orders", "events"]
    assert lease.holder_of(desk.service.store, "sales") is None


@pytest.mark.parametrize("body", [{}, {"tables": []}, {"tables": None, "truncate": 1}, [], 1])
def test_a_reset_must_say_of_what(desk: Desk, body: Any) -> None:
    answer = desk.client.post("/api/jobs/sales/reset", json=body)
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["path"].startswith("body")


def test_a_source_that_is_not_there_is_named(desk: Desk) -> None:
    (desk.folder / "erp.db").rename(desk.folder / "away.db")
    answer = put(desk, "1")
    assert (answer.status_code, answer.json()["code"]) == (422, "file-missing")
    assert answer.json()["where"]["connection"] == "erp"


def test_a_source_that_is_damaged_is_not_our_fault(desk: Desk) -> None:
    (desk.folder / "erp.db").write_bytes((desk.folder / "erp.db").read_bytes()[:5000])
    answer = put(desk, "1")
    assert answer.status_code == 502
    assert answer.json()["where"]["connection"] == "erp"
