"""What a table with nothing new costs a run on Durable Functions: activities, requests, time.

The app runs on the test host, its state in Azurite behind a proxy that counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import servers
from tests.durable.proxy import Proxy
from tests.durable.shop import Shop
from tests.durable.site import Site

TABLES = 1000
MOST_ACTIVITIES = 2.0
MOST_REQUESTS = 5.0
_PATIENCE_S = 900.0

Report = Callable[[str, float, float, float], None]


def unchanged(report: Report) -> None:
    """Copies tables, then measures a run that finds nothing new in any of them."""
    with (
        tempfile.TemporaryDirectory(prefix="copyjob-bench-") as work,
        servers.session(root := Path(work, "servers")),
    ):
        azurite = servers.azurite(root)
        folder = Path(work, "site")
        folder.mkdir()
        with Proxy(azurite) as proxy:
            site = Site(folder, azurite, "--no-timers", environment=proxy.environment)
            site.start()
            try:
                shop = Shop(site, azurite, TABLES, rows=1, local=True)
                limits = {"parallel_tables": 8, "source_connections": 16}
                job = shop.job("unchanged", limits=limits)
                assert site.ended(site.run(job), _PATIENCE_S)["status"] == "succeeded"
                before, requests = _activities(site), proxy.requests
                start = time.perf_counter()
                run = site.ended(site.run(job))
                seconds = time.perf_counter() - start
                assert {table["status"] for table in run["tables"]} == {"unchanged"}
                activities = (_activities(site) - before) / TABLES
                asked = (proxy.requests - requests) / TABLES
            finally:
                site.stop()
    print(
        f"# unchanged: {activities:.3f} activities, {asked:.2f} storage requests,"
        f" {seconds / TABLES * 1000:.1f} ms a table"
    )
    report("unchanged_activities", MOST_ACTIVITIES / activities, 1.0, 0)
    report("unchanged_requests", MOST_REQUESTS / asked, 1.0, 0)


def _activities(site: Site) -> int:
    return sum(site.report()["activities"].values())
