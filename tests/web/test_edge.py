"""What holds for every request: an answer in time, in one form, whatever is wrong behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import copy_core
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.web.app import create_app
from copy_core.web.edge import LARGEST_BODY
from copy_core.web.security import TokenGuard
from tests.web.conftest import CREDENTIALS, TOKEN, Desk

Ask = Callable[[FastAPI], TestClient]


def failing(error: Exception) -> FastAPI:
    """An app whose service cannot be opened."""

    def opened() -> Service:
        raise error

    return create_app(opened, TokenGuard(TOKEN))


def test_health_answers_whatever_else_does(ask: Ask) -> None:
    answer = ask(failing(ConfigError("a setting is missing"))).get("/api/health")
    assert answer.json() == {"status": "ok", "version": copy_core.__version__}


def test_a_missing_setting_is_the_services_fault(ask: Ask) -> None:
    app = create_app(lambda: _open({"COPYJOB_STATE": "state.db"}), TokenGuard(TOKEN))
    answer = ask(app).get("/api/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "setting-missing")
    assert "COPYJOB_JOBS" in answer.json()["fix"]


def _open(environment: dict[str, str]) -> Service:
    raise AssertionError(Settings.from_environment(environment))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TransientError("it does not answer", code="passing", retry_after=6.2), 503, "passing"),
        (TerminalError("the state is damaged", code="state-damaged"), 500, "state-damaged"),
        (ZeroDivisionError("division by zero"), 500, "unexpected"),
    ],
)
def test_a_service_that_cannot_be_opened_says_why(
    ask: Ask, error: Exception, status: int, code: str
) -> None:
    answer = ask(failing(error)).get("/api/jobs")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == ("7" if status == 503 else None)


def test_a_service_that_failed_to_open_is_tried_again_and_then_kept(
    ask: Ask, service: Service
) -> None:
    tries: Iterator[CopyJobError | Service] = iter([TransientError("not yet"), service])

    def opened() -> Service:
        found = next(tries)
        if isinstance(found, CopyJobError):
            raise found
        return found

    client = ask(create_app(opened, TokenGuard(TOKEN)))
    assert [client.get("/api/jobs").status_code for _ in range(3)] == [503, 200, 200]


def test_what_hangs_is_answered_and_stops_nobody_else(service: Service) -> None:
    goes_on = Event()

    def opened() -> Service:
        goes_on.wait()
        return service

    app = create_app(opened, TokenGuard(TOKEN), deadline_s=0.2)
    with TestClient(app, headers=CREDENTIALS) as client:
        late = [client.get("/api/jobs"), client.post("/api/connections/erp/test")]
        healthy = client.get("/api/health")
        goes_on.set()
    assert [answer.status_code for answer in late] == [504, 504]
    assert late[0].json()["code"] == "deadline"
    assert healthy.status_code == 200


@pytest.mark.parametrize("told", [True, False])
def test_a_body_that_is_too_large_is_refused_however_it_comes(desk: Desk, told: bool) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(LARGEST_BODY // 1024 + 1):
            yield b"x" * 1024

    content = b"".join(pieces()) if told else pieces()
    answer = desk.client.post("/api/events", content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_strangers_are_not_read_from(app: FastAPI) -> None:
    client = TestClient(app)
    assert client.post("/api/events", content=b"x" * (LARGEST_BODY + 1)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nowhere", 404, "route-unknown"),
        ("GET", "/api/jobs/", 404, "route-unknown"),
        ("DELETE", "/api/jobs", 405, "method-unknown"),
        ("GET", "/docs", 404, "route-unknown"),
    ],
)
def test_what_nothing_serves(desk: Desk, method: str, path: str, status: int, code: str) -> None:
    answer = desk.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (status == 405)


def test_all_methods_of_a_path_are_named(desk: Desk) -> None:
    answer = desk.client.patch("/api/jobs/sales")
    assert answer.headers["allow"] == "DELETE, GET, PUT"


def test_a_request_that_cannot_be_understood_names_all_that_is_wrong(desk: Desk) -> None:
    body = {"table": "", "worth": "s3cret"}
    answer = desk.client.put("/api/jobs/sales/watermarks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request")
    paths = [fault["path"] for fault in answer.json()["problems"]]
    assert paths == ["body.table", "body.value", "body.worth"]
    assert "s3cret" not in answer.text
    broken = desk.client.put(
        "/api/jobs/sales/watermarks",
        content=b'{"table": ',
        headers={"Content-Type": "application/json"},
    )
    assert (broken.status_code, broken.json()["code"]) == (422, "request")
