"""What docs/cost.md says follows from what was counted, and the app takes no more than that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copy_core.state.lease import LOOK_S
from tests import servers
from tests.durable.host.events import Event, Kind, event
from tools.cost import counts, idle, page, prices, rules, scenarios
from tools.cost.app import App, started
from tools.cost.counts import Counted, Durable, Seconds
from tools.cost.model import Model, Month, Usage
from tools.cost.scenarios import Copy

STORED = counts.parse(page.COUNTED.read_text("utf-8"))
MORE = 4
"""Tables, or jobs, of the larger of two scenarios that are compared."""


def test_the_page_says_what_follows_from_the_counters_the_rules_and_the_prices() -> None:
    shown = page.PAGE.read_text("utf-8")
    assert page.filled(shown) == shown, "write it anew: python -m tools.cost tables"


def test_what_is_stored_comes_back() -> None:
    assert counts.dump(STORED) == page.COUNTED.read_text("utf-8")


@pytest.fixture(scope="module")
def app(azurite: servers.Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with started(tmp_path_factory.mktemp("cost"), azurite) as app:
        yield app


def copied(app: App, copy: Copy, name: str) -> Counted:
    """As `scenarios.copied`. A step that a busy machine holds up asks every few seconds whether its
    run is to stop: these looks are left out.
    """
    counted = scenarios.copied(app, copy, name)
    reads = counted.requests["state.read"] - int(counted.seconds.packed / LOOK_S)
    return replace(counted, requests={**counted.requests, "state.read": reads})


def grown(now: Counted, before: Counted) -> dict[str, Any]:
    """What takes more requests, activities or messages than it did."""
    found = {**now.requests, **vars(now.durable)}
    known = {**before.requests, **vars(before.durable)}
    # How many messages an orchestrator takes at a time is chance.
    del found["executions"]
    return {name: n for name, n in found.items() if n > known.get(name, 0)}


def test_a_tick_takes_no_more_than_is_documented(app: App) -> None:
    one, more = scenarios.idle(app, 1), scenarios.idle(app, MORE)
    assert grown(one, STORED["idle_1"]) == {}
    a_job = (Usage.of(more) - Usage.of(one)) * (1 / (MORE - 1))
    assert a_job == Model.fit(STORED).job


def test_a_table_with_nothing_new_takes_no_more_than_is_documented(app: App) -> None:
    one = copied(app, Copy(1), "one")
    assert grown(one, STORED["unchanged_1"]) == {}
    more = copied(app, Copy(MORE), "more")
    a_table = (Usage.of(more) - Usage.of(one)) * (1 / (MORE - 1))
    assert a_table.tables <= Model.fit(STORED).unchanged.tables
    assert (a_table.lists, a_table.reads, a_table.writes, a_table.executions) == (0, 0, 0, 0)


def test_a_table_with_new_rows_takes_no_more_than_is_documented(app: App) -> None:
    counted = copied(app, scenarios.COPIES["changed_1"], "changed")
    assert grown(counted, STORED["changed_1"]) == {}


def test_requests_are_told_apart_by_whose_they_are_and_by_what_is_billed() -> None:
    blobs = [
        ("GET", "/account/jobs-1?restype=container&comp=list&prefix="),
        ("GET", "/account/jobs-1/shop.json"),
        ("HEAD", "/account/source-2/orders/0.parquet"),
        ("PUT", "/account/destination-3/orders/0.parquet?comp=block&blockid=MQ=="),
        ("DELETE", "/account/destination-3/orders/0.parquet"),
    ]
    assert counts.blob_requests(blobs) == {
        "jobs.list": 1,
        "jobs.read": 1,
        "source.read": 1,
        "destination.write": 1,
        "destination.delete": 1,
    }
    tables = [("GET", "/account/copyjob()?$top=1"), ("POST", "/account/$batch")]
    assert counts.table_requests(tables) == {"state.read": 1, "state.write": 1}


def history() -> list[Event]:
    """An orchestration with an activity of two seconds, which begins after a pause of five."""
    return [
        event(Kind.ORCHESTRATOR_STARTED, at=100.0),
        event(Kind.EXECUTION_STARTED, at=100.0),
        event(Kind.TIMER_CREATED, 0, at=100.0),
        event(Kind.ORCHESTRATOR_COMPLETED, at=100.5),
        event(Kind.ORCHESTRATOR_STARTED, at=105.0),
        event(Kind.TIMER_FIRED, at=105.0, TimerId=0),
        event(Kind.TIMER_CREATED, 1, at=105.0),
        event(Kind.TASK_SCHEDULED, 2, at=105.0),
        event(Kind.ORCHESTRATOR_COMPLETED, at=105.1),
        event(Kind.TASK_COMPLETED, at=107.04, TaskScheduledId=2),
    ]


def test_histories_tell_what_durable_did() -> None:
    assert counts.durable([history()]) == Durable(
        started=1, children=0, activities=1, messages=3, executions=2, unused=1
    )
    parent = [event(Kind.EXECUTION_STARTED), event(Kind.SUB_CREATED), event(Kind.SUB_COMPLETED)]
    both = counts.durable([parent, history()])
    assert (both.started, both.children, both.messages) == (1, 1, 5)


def test_an_instance_is_billed_for_the_time_in_which_it_is_active() -> None:
    assert counts.seconds([]) == Seconds(0.0, 0.0)
    # From 100 to 107.04; or a second for what took half of one, and 2.04 seconds.
    assert counts.seconds([history()]) == Seconds(packed=7.1, apart=3.1)
    assert counts.seconds([history(), history()]) == counts.seconds([history()])


def test_requests_of_durable_follow_from_what_it_did() -> None:
    done = Durable(started=1, children=1, activities=2, messages=4, executions=3, unused=1)
    assert rules.requests(done) == (4 + 4 * 3 + 2, 2 * 3 + 4 * 3 + 3)
    assert rules.executions(done) == 6
    assert rules.actions(done) == 7


def test_a_month_in_which_nothing_runs_costs_its_ticks_and_what_azure_looks_at() -> None:
    once = Counted(ticks=1, requests={"state.read": 2, "jobs.read": 1, "jobs.list": 1})
    ten = Counted(ticks=1, requests={"state.read": 11, "jobs.read": 1, "jobs.list": 1})
    model = Model.fit({**STORED, "idle_1": once, "idle_10": ten})
    used = Month("nothing").usage(model, jobs=2)
    ticks = 730 * 60
    assert used.executions == ticks
    assert used.least == ticks
    assert used.tables == pytest.approx(3 * ticks)
    assert (used.writes, used.lists) == (ticks, ticks)
    assert used.reads == ticks + 730 * 300
    assert used.queues == 730 * 5 * 360
    assert used.functions(used.least) == pytest.approx(ticks * (2 * 0.000026 + 0.4e-6))
    assert used.functions(used.least, free=True) == 0


def test_a_month_is_the_sum_of_its_parts() -> None:
    model = Model.fit(STORED)
    idle, busy = Month("idle"), Month("busy", runs=10, unchanged=3, changed=2)
    more = busy.usage(model) - idle.usage(model)
    one = model.run + model.unchanged * 3 + model.changed * 2
    assert more.tables == pytest.approx(one.tables * 10)
    assert more.storage == pytest.approx(one.storage * 10)


def test_the_model_gives_back_a_scenario_that_it_was_not_made_of() -> None:
    model, counted = Model.fit(STORED), Usage.of(STORED["changed_1"])
    told = model.run + model.changed + (model.tick + model.job) * 2
    for name in ("tables", "queues", "reads", "lists", "executions"):
        assert getattr(told, name) == pytest.approx(getattr(counted, name), rel=0.2), name


def test_an_alert_costs_by_how_often_it_looks(tmp_path: Path, monkeypatch: Any) -> None:
    assert idle.alert_dollars([1, 5, 10, 15, 60]) == 3.0 + 1.5 + 1.0 + 0.5 + 0.5
    found = tmp_path / "alerts.bicep"
    found.write_text("    frequency: 'PT5M'\n    frequency: 'PT1H'\n")
    monkeypatch.setattr(idle, "ALERT_RULES", found)
    assert idle.alert_minutes() == [5, 60]


def test_no_price_is_missing() -> None:
    assert all(price.dollars > 0 and price.per > 0 for price in prices.PRICES)
    assert idle.alert_minutes(), "no alert rules are found in infra/"
