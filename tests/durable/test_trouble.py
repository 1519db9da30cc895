"""Storage that is not well, and jobs and events that are not right."""

from __future__ import annotations

import json

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests import servers
from tests.durable.conftest import MakeSite
from tests.durable.gate import Gate
from tests.durable.proxy import Proxy
from tests.durable.shop import Shop
from tests.durable.site import Site, unique, until
from tests.durable.test_app import blob_created, due_now


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
def test_a_run_goes_through_a_state_store_that_is_busy(
    make_site: MakeSite, azurite: servers.Azurite, proxy: Proxy, gate: Gate, after: bool
) -> None:
    """Whether a write that was answered with 503 was made, nobody knows."""
    site = make_site("--no-timers", environment=proxy.environment | gate.environment)
    shop = Shop(site, azurite, 6)
    gate.close(*shop.tables)
    run_id = site.run(shop.job("busy"))
    until(lambda: site.report()["activities"].get("plan_tables"))
    proxy.fail(503, times=25, every=3, after=after)
    gate.open()
    run = site.ended(run_id)
    assert proxy.left == 0
    assert run["status"] == "succeeded", run
    shop.check()


def test_a_state_store_that_says_each_row_has_changed_costs_no_row_of_data(
    make_site: MakeSite, azurite: servers.Azurite, proxy: Proxy
) -> None:
    """412 says that somebody else wrote: a run may give up for that, and the next one goes on."""
    site = make_site("--no-timers", environment=proxy.environment)
    shop = Shop(site, azurite, 6)
    job = shop.job("changed")
    proxy.fail(412, times=20, every=2)
    until(lambda: site.ended(site.run(job)) and proxy.left == 0)
    run = site.ended(site.run(job))
    assert run["status"] == "succeeded", run
    shop.check()


def test_a_job_that_names_an_unknown_connection_starts_nothing(
    site: Site, azurite: servers.Azurite
) -> None:
    shop = Shop(site, azurite, 1)
    wrong = shop.job("wrong", source="nowhere", schedules=[due_now()])
    right = shop.job("right", schedules=[due_now()])
    answer = site.ask("POST", f"/api/jobs/{wrong}/runs", {})
    assert 400 <= answer.status < 500, answer
    assert "nowhere" in json.dumps(answer.body)
    site.fire("tick")
    until(lambda: site.runs(right))
    assert site.runs(wrong) == []


def test_a_half_written_job_blob_keeps_no_other_job_from_running(
    make_site: MakeSite, azurite: servers.Azurite
) -> None:
    container = unique("jobs")
    jobs = f"blobs:${{env:COPYJOB_STORAGE}}/{container}"
    site = make_site("--no-timers", environment={"COPYJOB_JOBS": jobs})
    with BlobServiceClient.from_connection_string(azurite.connection_string) as account:
        blobs = account.create_container(container)
        shop = Shop(site, azurite, 2)
        whole = shop.job("whole", schedules=[due_now()])
        half = shop.job("half", schedules=[due_now()])
        for name in (whole, half, "connections"):
            text = (site.jobs / f"{name}.json").read_bytes()
            _upload(blobs, f"{name}.json", text[: len(text) // 2] if name == half else text)
        answer = site.ask("POST", f"/api/jobs/{half}/runs", {})
        assert 400 <= answer.status < 500, answer
        assert f"{half}.json" in json.dumps(answer.body)
        site.fire("tick")
        run = until(lambda: site.runs(whole))[0]
        assert site.ended(run["run_id"])["status"] == "succeeded"
        shop.check()
        _upload(blobs, f"{half}.json", (site.jobs / f"{half}.json").read_bytes())
        assert site.ended(site.run(half))["status"] == "succeeded"


def test_an_event_for_a_path_that_nobody_watches_starts_nothing(
    site: Site, azurite: servers.Azurite
) -> None:
    job = Shop(site, azurite, 1).job("watch", watch=["landing/in/*.csv"])
    answer = site.ask("POST", "/api/events", [blob_created("landing/out/orders.csv")])
    assert answer.status in (200, 202), answer
    site.fire("tick")
    assert site.runs(job) == []
    assert site.report()["instances"] == {}


def test_an_unknown_job_is_not_found(site: Site) -> None:
    answer = site.ask("POST", "/api/jobs/nobody-s-job/runs", {})
    assert (answer.status, answer.body["code"]) == (404, "job-unknown")
    assert site.ask("GET", "/api/runs/no-such-run").status == 404
    assert site.report()["instances"] == {}


def test_nobody_comes_in_without_the_key(site: Site) -> None:
    for method, path in (("GET", "/api/jobs"), ("POST", "/api/events"), ("GET", "/elsewhere")):
        assert site.ask(method, path, x_functions_key="").status == 401
        assert site.ask(method, path, x_functions_key="a-wrong-one").status == 401
    assert site.ask("GET", "/api/health", x_functions_key="").status == 200


def _upload(container: ContainerClient, name: str, content: bytes) -> None:
    container.upload_blob(name, content, overwrite=True)
