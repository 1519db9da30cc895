"""When each alert rings: its query is run over what copyjob itself tells, by another engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb_kql
import pytest

from copy_core import telemetry
from copy_core.errors import ConfigError
from copy_core.model import JsonDict, RunStatus, RunSummary, Slice, TableResult
from copy_core.state.tables import Part
from copy_core.watermark import Watermark
from tests.unit.collected import collector

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "infra/alerts"
BICEP = (ROOT / "infra/modules/alerts.bicep").read_text("utf-8")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATE, LAG = 60, 24
HOUR, DAY = 60, 24 * 60


class Workspace:
    """The table that metrics arrive in, as Azure Monitor's exporter fills it once a minute."""

    def __init__(self) -> None:
        self.rows = duckdb_kql.connect()
        self.rows.sql(
            "CREATE TABLE AppMetrics (TimeGenerated TIMESTAMP, Name VARCHAR, Sum DOUBLE,"
            " Min DOUBLE, Max DOUBLE, ItemCount INTEGER, Properties JSON)"
        )

    def told(self, minutes_ago: float, *what: Callable[[], None]) -> None:
        """Something is told by a process whose metrics were sent then."""
        collector().forget()
        for tell in what:
            tell()
        at = NOW - timedelta(minutes=minutes_ago)
        for name, about, value, low, high, count in collector().points():
            row = [at.replace(tzinfo=None), name, value, low, high, count, json.dumps(about)]
            self.rows.execute("INSERT INTO AppMetrics VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def rings(self, alert: str, window: int) -> list[dict[str, Any]]:
        """What an alert would ring for now, whose window is so many minutes long."""
        query = (ALERTS / f"{alert}.kql").read_text("utf-8")
        since = (NOW - timedelta(minutes=window)).replace(tzinfo=None)
        self.rows.execute("DELETE FROM AppMetrics WHERE TimeGenerated <= ?", [since])
        found = duckdb_kql.query(self.rows, query, query_now=NOW.replace(tzinfo=None))
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]

    def names(self, alert: str, window: int) -> set[tuple[str, ...]]:
        """The same, by the dimensions that the alert names."""
        keys = dimensions(alert)
        return {tuple(row[key] for key in keys) for row in self.rings(alert, window)}


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


def rules() -> dict[str, str]:
    """What the module says of each rule."""
    texts = re.findall(r"^  \{\n(.*?)^  \}", BICEP, re.MULTILINE | re.DOTALL)
    return {re.findall(r"name: '(.*)'", text)[0]: text for text in texts}


def dimensions(alert: str) -> list[str]:
    said = re.findall(r"dimensions: (.*)", rules()[alert])[0]
    named = re.search(rf"var {re.escape(said)} = (.*)", BICEP)
    return re.findall(r"'(\w+)'", named[1] if named else said)


# What copyjob tells


def late(job: str, minutes: float) -> Callable[[], None]:
    return lambda: telemetry.late(job, minutes * 60)


def not_started(job: str) -> Callable[[], None]:
    return lambda: telemetry.not_started(job, ConfigError("no", code="job-file"))


def ticked() -> None:
    telemetry.ticked(0.2)


def behind(job: str, table: str, hours: float) -> Callable[[], None]:
    def tell() -> None:
        reached = datetime.now(UTC) - timedelta(hours=hours)
        telemetry.up_to_date(job, table, Watermark(kind="timestamp", value=reached.isoformat()))

    return tell


def rejected(job: str, table: str, rows: int) -> Callable[[], None]:
    part = Part(number=0, slice=Slice(object=table, columns=()), rows_read=5, rows_rejected=rows)
    return lambda: telemetry.copied(job, table, part)


def failed(job: str, table: str, code: str) -> Callable[[], None]:
    error = ConfigError("no", code=code).to_json()
    result = TableResult(source=table, destination=table, status="failed", error=error)
    return lambda: telemetry.ended(job, result)


def ended(job: str, status: RunStatus, error: JsonDict | None = None) -> Callable[[], None]:
    at = NOW.isoformat()
    summary = RunSummary(
        run_id="r", job=job, status=status, started_at=at, ended_at=at, error=error
    )
    return lambda: telemetry.finished(summary)


# A run failed


def test_a_run_that_failed_rings_by_table_and_error_until_one_succeeds(
    workspace: Workspace,
) -> None:
    workspace.told(2 * HOUR, ended("shop", "succeeded"), ended("erp", "succeeded"))
    assert workspace.rings("run-failed", 2 * DAY) == []
    workspace.told(
        HOUR,
        failed("shop", "orders", "login-failed"),
        failed("shop", "items", "source-changed"),
        ended("shop", "failed"),
        ended("erp", "succeeded"),
    )
    two = {("shop", "orders", "login-failed"), ("shop", "items", "source-changed")}
    assert workspace.names("run-failed", 2 * DAY) == two
    workspace.told(30, ended("erp", "succeeded"), ended("shop", "cancelled"))
    assert workspace.names("run-failed", 2 * DAY) == two
    workspace.told(5, ended("shop", "succeeded"))
    assert workspace.rings("run-failed", 2 * DAY) == []


def test_a_run_that_failed_before_its_tables_rings_too(workspace: Workspace) -> None:
    error = ConfigError("no", code="table-unknown").to_json()
    workspace.told(5, ended("shop", "failed", error))
    assert workspace.names("run-failed", 2 * DAY) == {("shop", "(run)", "table-unknown")}


def test_a_failure_that_comes_again_is_one_alert(workspace: Workspace) -> None:
    for minutes in (30, 20, 10):
        workspace.told(minutes, failed("shop", "orders", "login-failed"), ended("shop", "failed"))
    (row,) = workspace.rings("run-failed", 2 * DAY)
    assert row["Failures"] == 3


# A job is late, or broken, or all of them


def test_a_job_that_is_late_for_longer_than_the_limit_rings(workspace: Workspace) -> None:
    workspace.told(12, late("shop", LATE + 1), late("erp", LATE))
    assert workspace.names("job-late", 15) == {("shop",)}
    workspace.told(2, late("erp", LATE + 10), late("shop", 3))
    assert workspace.rings("job-late", 15) == [{"Job": "erp", "Minutes": LATE + 10}]


def test_a_job_that_cannot_be_started_at_most_ticks_rings(workspace: Workspace) -> None:
    for minute in range(9):
        workspace.told(minute, not_started("shop"), not_started("erp"))
    assert workspace.rings("job-broken", 15) == []
    for minute in range(9, 15):
        workspace.told(minute, not_started("erp"))
    assert workspace.names("job-broken", 15) == {("erp", "job-file")}


def test_it_rings_when_nothing_ticks_whatever_else_is_told(workspace: Workspace) -> None:
    workspace.told(20, ticked)
    workspace.told(5, late("shop", 1))
    assert len(workspace.rings("not-ticking", 15)) == 1
    workspace.told(3, ticked)
    assert workspace.rings("not-ticking", 15) == []


# A table falls behind


def lags(workspace: Workspace, table: str, hours: Callable[[float], float], every: int = 4) -> None:
    """What the runs of two days tell; `hours` gives the lag by how many hours ago it was."""
    for ago in range(0, 48, every):
        workspace.told(ago * HOUR, behind("shop", table, hours(ago)))


def test_a_table_that_gets_no_rows_any_more_rings(workspace: Workspace) -> None:
    lags(workspace, "stands-still", lambda ago: 60 - ago)
    lags(workspace, "half-as-fast", lambda ago: 60 - ago / 2)
    lags(workspace, "since-today", lambda ago: max(0.1, 25 - ago))
    rings = {("shop", table) for table in ("stands-still", "half-as-fast", "since-today")}
    assert workspace.names("lag-growing", 2 * DAY) == rings


def test_a_table_that_is_new_enough_or_comes_closer_does_not_ring(workspace: Workspace) -> None:
    lags(workspace, "not-yet", lambda ago: max(0.1, 23 - ago))
    lags(workspace, "always-as-far", lambda _: 60)
    lags(workspace, "catching-up", lambda ago: 30 + ago)
    lags(workspace, "by-night", lambda ago: 48 + (-ago) % 24)
    lags(workspace, "just-came", lambda ago: 0.1 if ago == 0 else 60 - ago)
    workspace.told(HOUR, behind("shop", "first-run", 300))
    assert workspace.rings("lag-growing", 2 * DAY) == []


# Rows were rejected


def test_rejected_rows_ring_by_table(workspace: Workspace) -> None:
    workspace.told(50, rejected("shop", "orders", 2), rejected("shop", "items", 0))
    workspace.told(30, rejected("shop", "orders", 1))
    (row,) = workspace.rings("rows-rejected", HOUR)
    assert (row["Job"], row["Table"], row["Rows"]) == ("shop", "orders", 3)


# The module


def test_every_query_belongs_to_a_rule_of_its_name() -> None:
    assert {path.stem for path in ALERTS.iterdir()} == set(rules())
    for name, text in rules().items():
        assert f"loadTextContent('../alerts/{name}.kql')" in text


def test_what_the_module_sets_is_in_the_query() -> None:
    limits = {"job-late": ("lateMinutes", LATE), "lag-growing": ("lagHours", LAG)}
    for name, text in rules().items():
        replaced = re.findall(r"'(let \w+ = )(\d+);',\s+'(let \w+ = )\$\{(\w+)\};'", text)
        if name not in limits:
            assert "replace(" not in text
            continue
        parameter, value = limits[name]
        declared = f"let {parameter} = "
        assert replaced == [(declared, str(value), declared, parameter)]
        assert (ALERTS / f"{name}.kql").read_text("utf-8").count(f"{declared}{value};\n") == 1
        assert f"param {parameter} int" in BICEP


@pytest.mark.parametrize("alert", rules())
def test_what_an_alert_is_named_by_is_what_its_query_gives(
    workspace: Workspace, alert: str
) -> None:
    query = (ALERTS / f"{alert}.kql").read_text("utf-8")
    columns = duckdb_kql.query(workspace.rows, query).columns
    assert set(dimensions(alert)) <= set(columns)
    assert query.startswith("// ")
