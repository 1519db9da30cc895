"""Connections through the API: shown without their secrets, tried, and looked into."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from copy_core.connectors.sql.sqlite_db import Database
from copy_core.web.preview import shown
from tests.web.conftest import Desk


def get(desk: Desk, path: str, **query: Any) -> Any:
    return desk.client.get(f"/api/connections/{path}", params=query)


def test_connections_are_shown_with_references_to_their_secrets(desk: Desk) -> None:
    found = {c["name"]: c for c in desk.client.get("/api/connections").json()["connections"]}
    assert list(found) == ["erp", "files", "gone", "lake"]
    assert found["lake"]["type"] == "delta"
    assert found["lake"]["options"]["storage"] == {"access_key": "${env:COPYJOB_TEST_KEY}"}
    assert found["files"]["options"]["format"] == "jsonl"


@pytest.mark.parametrize("name", ["erp", "lake", "files"])
@pytest.mark.parametrize("query", ["", "?role=source", "?role=destination"])
def test_what_works_is_said_to(desk: Desk, name: str, query: str) -> None:
    answer = desk.client.post(f"/api/connections/{name}/test{query}").json()
    assert (answer["ok"], answer["error"], answer["role"]) == (True, None, None)
    assert answer["took_ms"] >= 0


def test_what_does_not_work_says_what_to_change(desk: Desk) -> None:
    answer = desk.client.post("/api/connections/gone/test").json()
    assert (answer["ok"], answer["role"]) == (False, "source")
    assert answer["error"]["where"]["connection"] == "gone"
    assert answer["error"]["fix"] == "Correct the `path` of the connection"


def test_a_secret_that_is_not_set_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COPYJOB_TEST_KEY")
    answer = desk.client.post("/api/connections/lake/test").json()
    assert (answer["ok"], answer["error"]["code"]) == (False, "secret-missing")
    assert "COPYJOB_TEST_KEY" in answer["error"]["detail"]


def test_trying_a_destination_leaves_nothing_behind(desk: Desk) -> None:
    (desk.folder / "nowhere").mkdir()
    before = sorted(desk.folder.rglob("*"))
    for name in ("gone", "lake", "files"):
        answer = desk.client.post(f"/api/connections/{name}/test?role=destination").json()
        assert answer["ok"] is True
    assert [p for p in sorted(desk.folder.rglob("*")) if "state.db" not in p.name] == [
        p for p in before if "state.db" not in p.name
    ]


def test_objects_are_listed_by_how_they_begin(desk: Desk) -> None:
    assert get(desk, "erp/objects").json() == {"objects": ["events", "orders"], "more": False}
    assert get(desk, "erp/objects", limit=1).json() == {"objects": ["events"], "more": True}
    assert get(desk, "erp/objects", prefix="or").json()["objects"] == ["orders"]
    assert get(desk, "lake/objects").json()["objects"] == ["history"]
    assert get(desk, "files/objects").json()["objects"] == ["clicks"]


def test_a_table_is_described(desk: Desk) -> None:
    found = get(desk, "erp/describe", object="orders").json()
    columns = [(c["name"], c["type"], c["nullable"], c["watermark"]) for c in found["columns"]]
    assert columns == [
        ("id", "int64", False, "int"),
        ("changed", "int64", False, "int"),
        ("note", "string", True, None),
    ]
    assert (found["object"], found["keys"], found["rows"]) == ("orders", ["id"], 30)


def test_a_column_that_cannot_be_copied_does_not_hide_the_others(desk: Desk) -> None:
    desk.sql("CREATE TABLE odd (id INTEGER, place GEOMETRY)")
    found = get(desk, "erp/describe", object="odd").json()
    assert [c["name"] for c in found["columns"]] == ["id"]
    assert "GEOMETRY" in found["uncopyable"]["place"]
    assert get(desk, "erp/preview", object="odd").json()["columns"] == ["id"]


def test_twenty_rows_are_shown(desk: Desk) -> None:
    found = get(desk, "erp/preview", object="orders").json()
    assert found["columns"] == ["id", "changed", "note"]
    assert len(found["rows"]) == 20
    assert found["rows"][1] == [1, 10, "note 1"]


def test_values_are_shown_whole_or_cut_and_never_rounded(desk: Desk) -> None:
    table = pa.table(
        {
            "big": pa.array([2**53, 2**53 + 1, None]),
            "exact": pa.array([Decimal("0.10"), Decimal("-9.99"), None], pa.decimal128(38, 2)),
            "odd": pa.array([float("nan"), float("-inf"), 0.1]),
            "at": pa.array([datetime(2026, 1, 31, 10, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
            "text": pa.array(["x" * 501, "ü" * 500, ""]),
            "raw": pa.array([b"\x00\xff", b"a" * 501, b""]),
        }
    )
    write_deltalake(desk.folder / "lake/values", table)
    rows = get(desk, "lake/preview", object="values").json()["rows"]
    at = "2026-01-31T10:00:00+00:00"
    assert rows == [
        [2**53, "0.10", "nan", at, "x" * 500 + "…", "0x00ff"],
        [str(2**53 + 1), "-9.99", "-inf", at, "ü" * 500, "0x" + "61" * 500 + "…"],
        [None, None, 0.1, at, "", "0x"],
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(True, True), (time(1, 2, 3), "01:02:03"), (-(2**60), str(-(2**60)))]
)
def test_single_values(value: object, text: object) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("action", ["describe", "preview"])
@pytest.mark.parametrize("name", ["erp", "lake", "files"])
def test_what_is_not_there_is_not_found(desk: Desk, name: str, action: str) -> None:
    answer = get(desk, f"{name}/{action}", object="nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "table-missing")
    assert answer.json()["where"]["connection"] == name


@pytest.mark.parametrize(
    "path", ["eerp/objects", "eerp/describe?object=t", "eerp/preview?object=t"]
)
def test_an_unknown_connection_is_not_found(desk: Desk, path: str) -> None:
    answer = desk.client.get(f"/api/connections/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "connection-unknown")
    assert "erp" in answer.json()["fix"]
    assert desk.client.post("/api/connections/eerp/test").status_code == 404


@pytest.mark.parametrize("name", ["lake", "files"])
@pytest.mark.parametrize("way", ["../secret", "/etc", "..", "history/../../secret", "a\0b"])
def test_nobody_leaves_the_root_of_a_connection(desk: Desk, name: str, way: str) -> None:
    (desk.folder / "secret").mkdir()
    (desk.folder / "secret/rows.jsonl").write_text('{"a": 1}\n', "utf-8")
    for action in ("describe", "preview"):
        assert get(desk, f"{name}/{action}", object=way).status_code in (404, 422)


def test_a_source_that_is_damaged_is_not_our_fault(desk: Desk) -> None:
    (desk.folder / "files/clicks/2.jsonl").write_text("{", "utf-8")
    answer = get(desk, "files/preview", object="clicks")
    assert answer.status_code == 502
    assert answer.json()["where"]["connection"] == "files"


def test_a_source_that_is_busy_may_be_asked_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copy_core.connectors.sql.sqlite_db.BUSY_MS", 1)
    with closing(Database(str(desk.folder / "erp.db"), write=True)) as other:
        other.run("BEGIN EXCLUSIVE")
        answer = get(desk, "erp/preview", object="orders")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_a_broken_file_of_connections_is_told_line_by_line(desk: Desk) -> None:
    (desk.jobs / "connections.yaml").write_text("connections:\n  erp: {type: sqlit}\n", "utf-8")
    answer = desk.client.get("/api/connections")
    assert answer.status_code == 422
    [fault] = answer.json()["problems"]
    assert (fault["file"], fault["line"]) == ("connections.yaml", 2)
