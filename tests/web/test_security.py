"""Nobody gets in without credentials, and no other site's page by those of its visitor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from copy_core.errors import ConfigError
from copy_core.service.service import Service
from copy_core.web.app import create_app
from copy_core.web.security import Guard, PlatformGuard, TokenGuard
from tests.web.conftest import CREDENTIALS, TOKEN, Desk

HOST = {"host": "localhost"}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path that the app serves."""
    for route in iter_route_contexts(app.routes):
        assert route.path
        assert route.methods
        for method in route.methods:
            yield method, re.sub(r"\{\w+\}", "sales", route.path)


def test_nothing_but_health_answers_without_credentials(app: FastAPI) -> None:
    asked = set(routes(app))
    open_to_all = {("GET", "/api/health")}
    assert open_to_all < asked
    assert len(asked) > 15
    with TestClient(app) as client:
        for method, path in asked:
            answer = client.request(method, path)
            assert answer.status_code == (200 if (method, path) in open_to_all else 401), path


@pytest.mark.parametrize("path", ["/", "/api", "/api/nowhere", "/api/health/", "//api/health"])
def test_what_is_not_there_is_not_told_to_strangers(app: FastAPI, path: str) -> None:
    answer = TestClient(app).get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not-signed-in"


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer ÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿ".encode("latin-1"),
    ],
)
def test_wrong_credentials_are_none(app: FastAPI, sent: str | bytes) -> None:
    value = sent if isinstance(sent, bytes) else sent.encode()
    answer = TestClient(app).get("/api/jobs", headers=[(b"authorization", value)])
    assert answer.status_code == 401


def test_the_scheme_of_the_token_may_be_written_in_any_case(app: FastAPI) -> None:
    answer = TestClient(app).get("/api/jobs", headers={"Authorization": f"bearer {TOKEN}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("token", ["", "short"])
def test_a_token_that_can_be_guessed_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="shorter"):
        TokenGuard(token)


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "http://testserver.elsewhere.example"},
    {"Origin": "http://testserver:8080"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://[::1"},
]
OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
    # Behind a proxy the name in Host may be another; what the browser says is what counts.
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://public.example"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://testserver"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_other_sites_change_nothing(app: FastAPI, headers: dict[str, str]) -> None:
    with TestClient(app, headers=CREDENTIALS) as client:
        for method, path in routes(app):
            answer = client.request(method, path, headers=headers)
            changes = method not in ("GET", "HEAD", "OPTIONS")
            assert (answer.status_code == 403) == changes, (method, path)
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("headers", OWN)
def test_the_own_page_and_programs_may(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/api/validate", content="", headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:7071", 200),
        ("127.0.0.1:7071", 200),
        ("[::1]", 200),
        ("[::1]:7071", 200),
        ("rebound.example", 403),
        ("rebound.example:7071", 403),
        ("localhost.rebound.example", 403),
        ("localhost:7071:7071", 403),
        ("", 403),
    ],
)
def test_a_name_that_was_pointed_here_is_refused(service: Service, host: str, status: int) -> None:
    guard = TokenGuard(TOKEN, hosts=["localhost", "127.0.0.1", "[::1]"])
    client = TestClient(create_app(lambda: service, guard), headers=CREDENTIALS)
    for path in ("/api/jobs", "/api/health"):
        assert client.get(path, headers={"host": host}).status_code == status


SIGNED_IN = {"X-MS-CLIENT-PRINCIPAL-ID": "0c9f2a1e-0000-4000-8000-000000000000"}


@pytest.mark.parametrize(
    ("signed_in", "headers", "status"),
    [
        (False, {}, 200),
        (True, SIGNED_IN, 200),
        (True, {}, 401),
        (True, {"X-MS-CLIENT-PRINCIPAL-ID": ""}, 401),
    ],
)
def test_on_azure_the_platform_has_checked(
    service: Service, headers: dict[str, str], status: int, *, signed_in: bool
) -> None:
    client = TestClient(create_app(lambda: service, PlatformGuard(signed_in=signed_in)))
    assert client.get("/api/jobs", headers=headers).status_code == status
    assert client.get("/api/health").status_code == 200
    changed = client.delete("/api/jobs/sales", headers=headers | {"Sec-Fetch-Site": "cross-site"})
    assert changed.status_code == 403


@pytest.mark.parametrize(
    ("guard", "scheme"),
    [(TokenGuard(TOKEN), "HTTPBearer"), (PlatformGuard(signed_in=False), "APIKeyHeader")],
)
def test_openapi_says_how_to_sign_in(guard: Guard, scheme: str, service: Service) -> None:
    paths = create_app(lambda: service, guard).openapi()["paths"]
    for (path, methods), kind in product(paths.items(), ("get", "put", "post", "delete")):
        if path != "/api/health" and kind in methods:
            assert methods[kind]["security"] == [{scheme: []}], path
    assert "security" not in paths["/api/health"]["get"]


def test_no_answer_holds_a_secret(desk: Desk) -> None:
    connections = desk.jobs / "connections.yaml"
    leaky = '  leaky: {type: sqlite, path: "../${env:COPYJOB_TEST_KEY}/x.db"}\n'
    connections.write_text(connections.read_text("utf-8") + leaky, "utf-8")
    listed = desk.client.get("/api/connections")
    assert "${env:COPYJOB_TEST_KEY}" in listed.text
    tried = desk.client.post("/api/connections/leaky/test")
    browsed = desk.client.get("/api/connections/leaky/objects")
    for answer in (listed, tried, browsed):
        assert "s3cret" not in answer.text
    for answer in (tried, browsed):
        assert "***" in answer.text
