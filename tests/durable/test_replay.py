"""Orchestrators are deterministic: a strict host replays them on every event and compares."""

from __future__ import annotations

import pytest

from tests import servers
from tests.durable.conftest import MakeSite
from tests.durable.gate import Gate
from tests.durable.host.events import Kind
from tests.durable.proxy import Proxy
from tests.durable.shop import Shop
from tests.durable.site import Site, until


@pytest.fixture(params=["once", "again"])
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """A strict host that delivers each activity once, or again after an answer that got lost."""
    return ("--strict", "--no-timers", "--deliver", request.param)


def test_a_run_of_many_tables_and_parts(
    make_site: MakeSite, azurite: servers.Azurite, flags: tuple[str, ...]
) -> None:
    site = make_site(*flags)
    shop = Shop(site, azurite, 6, rows=40)
    job = shop.job("parts", parts=8)
    run = site.ended(site.run(job))
    assert run["status"] == "succeeded"
    assert [t["rows_written"] for t in run["tables"]] == [40] * 6
    shop.insert(5)
    assert site.ended(site.run(job))["status"] == "succeeded"
    shop.check()
    nothing_new = site.ended(site.run(job))
    assert {t["status"] for t in nothing_new["tables"]} == {"unchanged"}


def test_a_run_with_failures_waits_and_retries(
    make_site: MakeSite, azurite: servers.Azurite, proxy: Proxy, flags: tuple[str, ...]
) -> None:
    """What fails for good fails alone; what fails in passing is tried again after a while."""
    site = make_site(*flags, environment=proxy.environment)
    shop = Shop(site, azurite, 4)
    job = shop.job("trouble", [*shop.tables, "missing"])
    run_id = site.run(job)
    until(lambda: site.report()["activities"].get("plan_tables"))
    proxy.fail(503, times=12, every=2)
    run = site.ended(run_id)
    assert run["status"] == "failed"
    found = {t["source"]: t["status"] for t in run["tables"]}
    assert found == dict.fromkeys(shop.tables, "copied") | {"missing": "failed"}
    shop.check()


def test_a_run_that_is_cancelled(
    make_site: MakeSite, azurite: servers.Azurite, gate: Gate, flags: tuple[str, ...]
) -> None:
    site = make_site(*flags, environment=gate.environment)
    shop = Shop(site, azurite, 8)
    gate.close(shop.tables[-1])
    job = shop.job("cancel", limits={"parallel_tables": 2})
    run_id = site.run(job)
    until(lambda: shop.copied(shop.tables[0]))
    assert site.ask("POST", f"/api/runs/{run_id}/cancel").status == 202
    gate.open()
    assert site.ended(run_id)["status"] == "cancelled"
    assert site.ended(site.run(job))["status"] == "succeeded"
    shop.check()


def test_steps_that_are_made_twice_at_the_same_time_cost_no_row(
    make_site: MakeSite, azurite: servers.Azurite
) -> None:
    """A table may stop for the other's sake; then nothing is lost, and the next run goes on."""
    site = make_site("--strict", "--no-timers", "--deliver", "together")
    shop = Shop(site, azurite, 6, rows=40)
    job = shop.job("together", parts=4)
    run = site.ended(site.run(job))
    stopped = [t["error"] for t in run["tables"] if t["status"] != "copied"]
    assert {error["recovery"] for error in stopped} <= {"conflict"}
    site.restart("--strict", "--no-timers")
    assert site.ended(site.run(job))["status"] == "succeeded"
    shop.check()


def test_as_many_tables_as_allowed_are_under_way_until_none_is_left(
    site: Site, azurite: servers.Azurite
) -> None:
    """A window that waits for its newest table, as the extension does with a plain `task_any`,
    soon copies one table at a time.
    """
    shop = Shop(site, azurite, 20)
    run_id = site.run(shop.job("window", limits={"parallel_tables": 4}))
    assert site.ended(run_id)["status"] == "succeeded"
    begun = under_way = 0
    for each in site.history(run_id):
        begun += each["EventType"] == Kind.SUB_CREATED
        under_way += each["EventType"] == Kind.SUB_CREATED
        under_way -= each["EventType"] == Kind.SUB_COMPLETED
        if each["EventType"] == Kind.ORCHESTRATOR_COMPLETED and 0 < begun < 20:
            assert under_way == 4, f"{under_way} under way, {20 - begun} not begun"
    assert begun == 20
