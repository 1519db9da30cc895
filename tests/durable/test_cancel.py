"""A run that is cancelled by the API stops between two batches; the next one goes on from there."""

from __future__ import annotations

from tests import servers
from tests.durable.conftest import MakeSite
from tests.durable.gate import Gate
from tests.durable.shop import Shop
from tests.durable.site import until


def test_a_cancelled_run_gives_its_job_back_and_the_next_one_goes_on(
    make_site: MakeSite, azurite: servers.Azurite, gate: Gate
) -> None:
    site = make_site("--no-timers", environment=gate.environment)
    shop = Shop(site, azurite, 12, rows=50)
    gate.close(shop.tables[-1])
    job = shop.job("cancel", parts=5, limits={"parallel_tables": 2, "parallel_parts": 1})
    first = site.run(job)
    until(lambda: shop.copied(shop.tables[0]))

    taken = site.ask("POST", f"/api/jobs/{job}/runs", {})
    assert (taken.status, taken.body["code"]) == (409, "lease-held")
    assert site.ask("POST", f"/api/runs/{first}/cancel").status == 202
    gate.open()
    cancelled = site.ended(first)
    assert cancelled["status"] == "cancelled"
    assert {"copied", "cancelled"} >= {t["status"] for t in cancelled["tables"]}
    again = site.ask("POST", f"/api/runs/{first}/cancel")
    assert (again.status, again.body["code"]) == (409, "run-ended")

    second = site.ended(site.run(job))
    assert second["status"] == "succeeded"
    shop.check()


def test_what_a_cancelled_run_left_can_be_resumed_alone(
    make_site: MakeSite, azurite: servers.Azurite, gate: Gate
) -> None:
    site = make_site("--no-timers", environment=gate.environment)
    shop = Shop(site, azurite, 8, rows=20)
    gate.close(shop.tables[-1])
    job = shop.job("resume", limits={"parallel_tables": 1})
    first = site.run(job)
    until(lambda: shop.copied(shop.tables[0]))
    assert site.ask("POST", f"/api/runs/{first}/cancel").status == 202
    gate.open()
    done = {t["source"] for t in site.ended(first)["tables"] if t["status"] == "copied"}
    assert 0 < len(done) < 8

    answer = site.ask("POST", f"/api/runs/{first}/resume")
    assert answer.status == 202, answer
    resumed = site.ended(answer.body["run_id"])
    assert (resumed["status"], resumed["trigger"]) == ("succeeded", "resume")
    assert {t["source"] for t in resumed["tables"]} == set(shop.tables) - done
    shop.check()
