"""Large jobs: histories and messages stay small, however many tables and parts there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import servers
from tests.durable.conftest import MakeSite
from tests.durable.shop import Shop
from tests.durable.site import Site

LONGEST = 3000
"""Events of a history: at some thousands, replays begin to take seconds."""
PATIENCE_S = 250.0
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def local(make_site: MakeSite, tmp_path: Path) -> Site:
    """A site with its state on this machine: what is measured here is what Durable carries."""
    return make_site("--no-timers", environment={"COPYJOB_STATE": str(tmp_path / "state.db")})


def test_a_table_of_a_thousand_parts(local: Site, azurite: servers.Azurite) -> None:
    shop = Shop(local, azurite, 1, rows=2000, local=True)
    job = shop.job("parts", parts=1000, limits={"parallel_parts": 8})
    run = local.ended(local.run(job), PATIENCE_S)
    assert (run["status"], run["tables"][0]["parts"]) == ("succeeded", 1000)
    shop.check()
    report = local.report()
    assert report["activities"]["copy_part"] == 1000
    assert max(report["longest"].values()) < LONGEST


def test_a_job_of_six_hundred_tables(local: Site, azurite: servers.Azurite) -> None:
    shop = Shop(local, azurite, 600, rows=1, local=True)
    job = shop.job("tables", limits={"parallel_tables": 16, "source_connections": 32})
    run = local.ended(local.run(job), PATIENCE_S)
    assert run["status"] == "succeeded"
    assert len(run["tables"]) == 600
    shop.check()
    assert max(local.report()["longest"].values()) < LONGEST
    before = local.report()["activities"]
    run = local.ended(local.run(job))
    assert {t["status"] for t in run["tables"]} == {"unchanged"}
    after = local.report()["activities"]
    assert sum(after.values()) - sum(before.values()) < 2 * 600
