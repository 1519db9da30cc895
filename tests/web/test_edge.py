"""What holds for every request: an answer in time, in one form, whatever is wrong behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import copy_core
from copy_core.connectors import registry
from copy_core.connectors.base import Source
from copy_core.connectors.options import Connection
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.web import deps
from copy_core.web.app import create_app
from copy_core.web.edge import LARGEST_BODY, Edge
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
    raise AssertionError(Settings.from_environment("app", environment))


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


def has_time(app: FastAPI) -> None:
    """What is asked from now on may take as long as a loaded machine needs."""
    edge: Any = app.middleware_stack
    while not isinstance(edge, Edge):
        edge = edge.app
    edge._deadline_s = 60.0


def test_what_hangs_is_answered_and_stops_nobody_else(service: Service) -> None:
    goes_on = Event()

    def opened() -> Service:
        goes_on.wait()
        return service

    app = create_app(opened, TokenGuard(TOKEN), deadline_s=0.2)
    with TestClient(app, headers=CREDENTIALS) as client:
        late = [client.get("/api/jobs"), client.post("/api/connections/erp/test")]
        has_time(app)
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


def test_a_system_that_hangs_stops_no_other_and_nothing_happens_late(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, hanging, real = Event(), Semaphore(0), registry.open_source

    def slow(connection: Connection) -> Source:
        if connection.type == "local":
            hanging.release()
            gate.wait(60)
        return real(connection)

    monkeypatch.setattr(registry, "open_source", slow)
    app = create_app(lambda: desk.service, TokenGuard(TOKEN), deadline_s=1)
    with TestClient(app, headers=CREDENTIALS) as client, ThreadPoolExecutor(6) as pool:

        def hang(_: int) -> int:
            return client.get("/api/connections/files/describe", params={"object": "x"}).status_code

        assert list(pool.map(hang, range(4))) == [504] * 4
        assert all(hanging.acquire(timeout=60) for _ in range(4))  # answered, and still there
        has_time(app)
        with monkeypatch.context() as patch:
            patch.setattr(deps, "_PATIENCE_S", 0.2)
            assert list(pool.map(hang, range(2))) == [503] * 2
        asked = client.get("/api/connections/erp/describe", params={"object": "orders"})
        assert asked.status_code == 200
        gate.set()
    assert not hanging.acquire(blocking=False)


def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one(desk: Desk) -> None:
    app = create_app(lambda: desk.service, TokenGuard(TOKEN))
    before = desk.client.get("/api/jobs/sales").json()["text"]
    etag = desk.client.get("/api/jobs/sales").headers["etag"]
    headers = {**CREDENTIALS, "if-match": etag, "content-type": "application/yaml", "host": "x"}
    parts: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"name: sales\n", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/api/jobs/sales",
        "raw_path": b"/api/jobs/sales",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "server": ("x", 80),
        "client": ("x", 1),
    }
    asyncio.run(app(scope, receive, send))
    assert sent == []
    assert desk.client.get("/api/jobs/sales").json()["text"] == before
