"""A new version is deployed while a run is under way."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from copy_core.state import lease
from copy_core.state.azure_tables import AzureTablesStateStore
from tests import servers
from tests.durable.gate import Gate
from tests.durable.shop import Shop
from tests.durable.site import ROOT, Site, until

APP = """
import azure.durable_functions as df
from copy_core import flow
from copy_core.runners.durable import blueprint

{change}
app = df.DFApp()
app.register_functions(blueprint)
"""
OTHER_ORDER = """
earlier = flow.{flow}


def changed(arg):
    yield flow.Wait(0.1)
    return (yield from earlier(arg))


flow.{flow} = changed
"""


class Upgraded(Site):
    """A site whose app is replaced under its runs by one with another control flow.

    Args:
        gate: stands before its lake, and is opened when the other app is there.
    """

    def __init__(self, folder: Path, azurite: servers.Azurite, *flags: str, gate: Gate) -> None:
        super().__init__(folder, azurite, *flags, environment=gate.environment)
        self.gate = gate

    def deploy(self, app: Path, change: str) -> None:
        app.mkdir()
        shutil.copy(ROOT / "host.json", app)
        (app / "function_app.py").write_text(APP.format(change=change))
        self.kill()
        self._app = app
        self.start()
        self.gate.open()

    def stop(self) -> None:
        """Stops it; the host complains of what its runs are not to survive here."""
        self._end(signal.SIGKILL)


@pytest.fixture
def site(tmp_path: Path, azurite: servers.Azurite, gate: Gate) -> Any:
    folder = tmp_path / "site"
    folder.mkdir()
    site = Upgraded(folder, azurite, "--no-timers", gate=gate)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def under_way(site: Upgraded, shop: Shop) -> tuple[str, str]:
    """A job, and a run of it that is in the middle of its parts."""
    site.gate.close(*shop.tables, after=3)
    job = shop.job("upgrade", parts=15, limits={"parallel_tables": 2, "parallel_parts": 2})
    run_id = site.run(job)
    until(lambda: site.report()["activities"].get("copy_part", 0) > 2)
    return job, run_id


def test_a_run_goes_on_when_the_control_flow_is_the_same(
    site: Upgraded, azurite: servers.Azurite, tmp_path: Path
) -> None:
    shop = Shop(site, azurite, 2, rows=30)
    _, run_id = under_way(site, shop)
    site.deploy(tmp_path / "new", "")
    assert site.ended(run_id)["status"] == "succeeded"
    assert site.report()["complaints"] == []
    shop.check()


def test_tables_whose_control_flow_is_another_fail_and_the_next_run_goes_on(
    site: Upgraded, azurite: servers.Azurite, tmp_path: Path
) -> None:
    shop = Shop(site, azurite, 2, rows=30)
    job, run_id = under_way(site, shop)
    site.deploy(tmp_path / "new", OTHER_ORDER.format(flow="copy_table"))
    run = site.ended(run_id)
    assert run["status"] == "failed"
    codes = {t["error"]["code"] for t in run["tables"] if t["status"] == "failed"}
    assert codes == {"orchestration-lost"}
    run = site.ended(site.run(job))
    assert run["status"] == "succeeded"
    assert any(table["resumed"] for table in run["tables"])
    shop.check()


def test_a_run_whose_control_flow_is_another_breaks_off_and_the_next_one_goes_on(
    site: Upgraded, azurite: servers.Azurite, tmp_path: Path
) -> None:
    shop = Shop(site, azurite, 3, rows=30)
    job, run_id = under_way(site, shop)
    site.deploy(tmp_path / "new", OTHER_ORDER.format(flow="run_job"))
    path = f"/durabletask/instances/{run_id}"
    until(lambda: site.ask("GET", path).body["runtimeStatus"] == "Failed")
    until(lambda: copied(site, job) >= {"t000", "t001"})  # the tables under way are finished
    with AzureTablesStateStore.from_connection_string(azurite.connection_string) as store:
        held = lease.holder_of(store, job)
        assert held is not None
        assert held.run_id == run_id
        lease.release(store, job, run_id)  # as time does
    assert site.ask("GET", f"/api/runs/{run_id}").body["status"] == "interrupted"
    run = site.ended(site.run(job))
    assert run["status"] == "succeeded"
    assert {t["source"] for t in run["tables"] if t["status"] == "copied"} <= {"t002"}
    shop.check()


def copied(site: Site, job: str) -> set[str]:
    """The tables that have a watermark."""
    known = site.ask("GET", f"/api/jobs/{job}/watermarks").body["tables"]
    return {table["source"] for table in known if table["watermark"]}
