"""The host is killed again and again during one run, and started again on what it left."""

from __future__ import annotations

import random
import time

import pytest

from tests import servers
from tests.durable.conftest import MakeSite
from tests.durable.gate import Gate
from tests.durable.shop import Shop
from tests.durable.site import until

KILLS = 20
pytestmark = pytest.mark.timeout(300)


def test_a_run_survives_twenty_kills(
    make_site: MakeSite, azurite: servers.Azurite, gate: Gate
) -> None:
    """Each life of the host ends while activities run, at a moment of its own."""
    site = make_site("--no-timers", environment=gate.environment)
    shop = Shop(site, azurite, 20, rows=200)
    gate.close(shop.tables[-1])  # the run outlasts all kills
    run_id = site.run(shop.job("kill", parts=8, limits={"parallel_tables": 4}))
    moments = random.Random(20)
    for _ in range(KILLS):
        until(lambda: site.report()["activities"])
        time.sleep(moments.uniform(0, 0.2))
        shown = site.ask("GET", f"/api/runs/{run_id}").body
        assert shown["status"] == "running", "it ended before all kills were made"
        site.kill()
        site.start()
    gate.open()
    run = site.ended(run_id)
    assert run["status"] == "succeeded", run
    shop.check()
