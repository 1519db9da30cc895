"""Storage events through the API: handshakes, and runs of the jobs that watch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from copy_core.web import examples
from tests.web.conftest import SALES, Desk

WATCHING = SALES.replace("schedules", "watch: [landing/orders/*.parquet]\nschedules")


def post(desk: Desk, body: Any, kind: str = "application/json") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body)
    return desk.client.post("/api/events", content=content, headers={"Content-Type": kind})


def test_event_grid_is_answered_its_handshake(desk: Desk) -> None:
    event = {
        "id": "1",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2026-11-22T02:29:58Z",
        "data": {"validationCode": "512d38b6"},
    }
    answer = post(desk, [event])
    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "512d38b6"})


def test_cloud_events_are_allowed_when_asked(desk: Desk) -> None:
    headers = {"WebHook-Request-Origin": "eventgrid.azure.net"}
    answer = desk.client.options("/api/events", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert answer.headers["webhook-allowed-rate"] == "*"
    assert "webhook-allowed-origin" not in desk.client.options("/api/events").headers


@pytest.mark.parametrize("kind", sorted(examples.EVENTS))
def test_a_job_that_watches_runs_once(desk: Desk, kind: str) -> None:
    (desk.jobs / "sales.yaml").write_text(WATCHING, "utf-8")
    answers = [post(desk, examples.EVENTS[kind], kind) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    [run] = answers[0].json()["runs"]
    assert run["job"] == "sales"
    assert {each["run_id"] for answer in answers for each in answer.json()["runs"]} == {
        run["run_id"]
    }
    assert len(desk.client.get("/api/runs").json()["runs"]) <= 1


def test_an_event_that_nobody_watches_for_starts_nothing(desk: Desk) -> None:
    answer = post(desk, examples.EVENTS["application/json"])
    assert (answer.status_code, answer.json()) == (202, {"runs": []})


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"1", b"[1]", b"{}", b'{"Records": [1]}'])
def test_what_is_no_event_is_not_sent_again(desk: Desk, body: bytes) -> None:
    answer = post(desk, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "event")
