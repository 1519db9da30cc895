"""Job definitions through the API: nothing is lost to somebody who wrote at the same time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from copy_core.service.catalog import Catalog
from copy_core.service.jobs import JobDocument
from copy_core.web import examples
from tests.web.conftest import SALES, Desk

YAML = {"Content-Type": "application/yaml"}
NEW = {**YAML, "If-None-Match": "*"}
OTHER = SALES.replace("name: sales", "name: other")


def put(desk: Desk, name: str, text: str | bytes, headers: dict[str, str] = NEW) -> Any:
    return desk.client.put(f"/api/jobs/{name}", content=text, headers=headers)


def etag(desk: Desk, name: str = "sales") -> str:
    return str(desk.client.get(f"/api/jobs/{name}").headers["etag"])


def test_the_list_shows_all_and_what_is_wrong_with_some(desk: Desk) -> None:
    (desk.jobs / "broken.yaml").write_text("name: broken\nsource: epr\n", "utf-8")
    broken, sales = desk.client.get("/api/jobs").json()["jobs"]
    assert (broken["name"], broken["valid"]) == ("broken", False)
    assert {"line": 2, "path": "source"}.items() <= broken["problem"]["problems"][-1].items()
    assert (sales["name"], sales["valid"]) == ("sales", True)
    assert (sales["source"], sales["destination"], sales["tables"]) == ("erp", "lake", 2)
    assert sales["schedules"][0]["cron"] == "0 3 * * *"
    assert sales["next_start"].endswith("T03:00:00Z")
    assert sales["etag"] == etag(desk)


def test_a_job_is_shown_as_written_and_as_decided(desk: Desk) -> None:
    answer = desk.client.get("/api/jobs/sales")
    shown = answer.json()
    assert shown["text"] == SALES
    assert shown["etag"] == answer.headers["etag"]
    assert shown["valid"] is True
    orders = shown["definition"]["tables"][0]
    assert (orders["source"], orders["write"]) == ("orders", "append")


def test_a_broken_job_can_be_read_and_mended(desk: Desk) -> None:
    (desk.jobs / "sales.yaml").write_text("name: sales\n", "utf-8")
    shown = desk.client.get("/api/jobs/sales").json()
    assert (shown["valid"], shown["definition"], shown["text"]) == (False, None, "name: sales\n")
    assert shown["problems"]
    mended = put(desk, "sales", SALES, {**YAML, "If-Match": shown["etag"]})
    assert (mended.status_code, mended.json()["valid"]) == (200, True)


def test_a_job_that_is_changed_while_it_is_read_is_shown_as_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Catalog.document

    def look_and_change(catalog: Catalog, name: str) -> JobDocument:
        found = look(catalog, name)
        (desk.jobs / "sales.yaml").write_text(SALES.replace("{source: orders}, ", ""), "utf-8")
        return found

    monkeypatch.setattr(Catalog, "document", look_and_change)
    shown = desk.client.get("/api/jobs/sales").json()
    assert shown["text"] == SALES
    assert [table["source"] for table in shown["definition"]["tables"]] == ["orders", "events"]


def test_a_job_that_is_removed_as_soon_as_it_is_written_was_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Catalog.put

    def write_and_remove(catalog: Catalog, name: str, text: str, tag: str | None) -> JobDocument:
        written = write(catalog, name, text, tag)
        catalog.delete(name, written.etag)
        return written

    monkeypatch.setattr(Catalog, "put", write_and_remove)
    made = put(desk, "other", OTHER)
    assert (made.status_code, made.json()["definition"]["name"]) == (201, "other")


def test_what_is_known_is_not_sent_again(desk: Desk) -> None:
    known = etag(desk)
    for header in (known, f'"x", {known}', f"W/{known}", "*"):
        answer = desk.client.get("/api/jobs/sales", headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == known
    answer = desk.client.get("/api/jobs/sales", headers={"If-None-Match": '"x"'})
    assert answer.status_code == 200


def test_a_new_job_is_made_once(desk: Desk) -> None:
    made = put(desk, "other", OTHER)
    assert made.status_code == 201
    assert made.headers["etag"] == made.json()["etag"] == etag(desk, "other")
    assert made.json()["definition"]["name"] == "other"
    again = put(desk, "other", OTHER)
    assert (again.status_code, again.json()["code"]) == (412, "changed")


@pytest.mark.parametrize("kind", ["application/yaml", "text/yaml", "text/plain", "text/plain; a=b"])
def test_a_job_may_come_as_yaml(desk: Desk, kind: str) -> None:
    assert put(desk, "other", OTHER, {**NEW, "Content-Type": kind}).status_code == 201


def test_a_job_may_come_as_json(desk: Desk) -> None:
    job = {"name": "other", "source": "erp", "destination": "lake", "tables": [{"source": "t"}]}
    headers = {**NEW, "Content-Type": "application/json"}
    made = put(desk, "other", json.dumps(job), headers)
    assert made.status_code == 201
    assert desk.client.get("/api/jobs/other").json()["valid"] is True


def test_who_comes_late_overwrites_nothing(desk: Desk) -> None:
    seen = etag(desk)
    mine = put(desk, "sales", SALES + "# mine\n", {**YAML, "If-Match": seen})
    assert mine.status_code == 200
    late = put(desk, "sales", SALES + "# late\n", {**YAML, "If-Match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "changed")
    assert desk.client.get("/api/jobs/sales").json()["text"].endswith("# mine\n")
    assert mine.headers["etag"] == etag(desk) != seen


@pytest.mark.parametrize("if_match", ['W/"x"', '"x"', "x", ""])
def test_a_condition_that_does_not_hold_changes_nothing(desk: Desk, if_match: str) -> None:
    seen = etag(desk)
    for headers in ({"If-Match": if_match}, {"If-Match": f"W/{seen}"}):
        assert put(desk, "sales", SALES + "#\n", {**YAML, **headers}).status_code == 412
        assert desk.client.delete("/api/jobs/sales", headers=headers).status_code == 412
    assert etag(desk) == seen


def test_any_version_will_do_if_somebody_says_so(desk: Desk) -> None:
    assert put(desk, "sales", SALES + "#\n", {**YAML, "If-Match": "*"}).status_code == 200
    assert put(desk, "none", OTHER, {**YAML, "If-Match": "*"}).status_code == 412


def test_a_change_without_a_condition_is_refused(desk: Desk) -> None:
    for headers in (YAML, {**YAML, "If-None-Match": '"x"'}):
        answer = put(desk, "sales", SALES, headers)
        assert (answer.status_code, answer.json()["code"]) == (428, "precondition-missing")
    assert desk.client.delete("/api/jobs/sales").status_code == 428


def test_a_job_is_deleted_by_who_saw_it(desk: Desk) -> None:
    headers = {"If-Match": etag(desk)}
    assert desk.client.delete("/api/jobs/sales", headers=headers).status_code == 204
    assert desk.client.get("/api/jobs/sales").status_code == 404
    assert desk.client.delete("/api/jobs/sales", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        (OTHER.replace("erp", "epr"), "source", 2),
        (OTHER + "connections: {own: {type: memory}}\n", "connections", 8),
        (OTHER.replace("name: other", "name: sales"), "name", 1),
        (OTHER + "tables: []\n", "tables", 8),
        ("", "", 0),
        ("[]", "", 1),
        ("{", "", 2),
    ],
)
def test_a_job_that_cannot_run_is_not_kept(desk: Desk, text: str, path: str, line: int) -> None:
    answer = put(desk, "other", text)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    [fault] = [f for f in answer.json()["problems"] if (f["path"], f["line"]) == (path, line)]
    assert fault["what"]
    assert desk.client.get("/api/jobs/other").status_code == 404


def test_a_job_is_checked_without_being_kept(desk: Desk) -> None:
    def verdict(text: str, query: str = "") -> Any:
        answer = desk.client.post(f"/api/validate{query}", content=text, headers=YAML)
        assert answer.status_code == 200
        return answer.json()

    assert verdict(OTHER) == {"valid": True, "problems": []}
    assert verdict(OTHER, "?job=other")["valid"] is True
    assert [f["path"] for f in verdict(OTHER, "?job=sales")["problems"]] == ["name"]
    assert [f["path"] for f in verdict(OTHER.replace("erp", "epr"))["problems"]] == ["source"]
    assert verdict("")["valid"] is False
    assert verdict(examples.JOB_TEXT) == {"valid": True, "problems": []}
    assert desk.client.get("/api/jobs/other").status_code == 404


@pytest.mark.parametrize("name", ["a%20b", ".hidden", "x" * 101, "%00", "%2e%2e%2fsales"])
def test_names_that_no_job_has(desk: Desk, name: str) -> None:
    assert desk.client.get(f"/api/jobs/{name}").status_code in (404, 422)
    assert put(desk, name, OTHER).status_code in (404, 405, 422)


def test_the_file_with_the_connections_is_no_job(desk: Desk) -> None:
    assert desk.client.get("/api/jobs/connections").status_code == 404
    assert put(desk, "connections", OTHER).status_code == 422


@pytest.mark.parametrize("kind", ["", "application/xml", "multipart/form-data; boundary=x"])
def test_other_types_are_not_understood(desk: Desk, kind: str) -> None:
    answer = put(desk, "other", OTHER, {**NEW, "Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "content-type")


def test_text_that_is_not_utf_8_is_refused(desk: Desk) -> None:
    assert put(desk, "other", OTHER.encode("utf-16")).status_code == 422


def test_a_job_may_be_a_megabyte_long_and_no_longer(desk: Desk) -> None:
    fits = OTHER + "#" * ((1 << 20) - len(OTHER))
    assert put(desk, "other", fits).status_code == 201
    answer = put(desk, "sales", fits + "#", {**YAML, "If-Match": "*"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
