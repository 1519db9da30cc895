"""Metrics and spans, as OpenTelemetry's own SDK collects them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from copy_core import telemetry
from copy_core.connectors import memory
from copy_core.connectors.options import MemoryOptions
from copy_core.context import Context
from copy_core.errors import Cancelled, ConfigError, TransientError
from copy_core.job import JobFile, resolve
from copy_core.model import JsonDict, Outcome, Published, RunSummary, Slice, TableResult
from copy_core.outcomes import as_outcome, outcome_of
from copy_core.runners.local import LocalRunner
from copy_core.secrets import remember
from copy_core.state.sqlite import SqliteStateStore
from copy_core.state.tables import Part
from copy_core.watermark import Watermark
from tests.unit.collected import Collected, collector

ROOT = Path(__file__).parents[2]
SECRET = "wQ1 planted in an error"


@pytest.fixture
def collected() -> Collected:
    collector().forget()
    return collector()


class Desk:
    """A job from one memory store to another."""

    def __init__(self, folder: Path) -> None:
        key = uuid4().hex
        ends = {n: MemoryOptions(type="memory", name=f"{key}-{n}") for n in ("from", "to")}
        self.source = memory.store(ends["from"].name)
        self.destination = memory.store(ends["to"].name)
        self.state = SqliteStateStore(folder / "state.db")
        self.ends = ends

    def run(self, *tables: str) -> RunSummary:
        job = {
            "name": "sales",
            "source": "from",
            "destination": "to",
            "mode": "incremental",
            "incremental_column": "at",
            "tables": [{"source": name} for name in tables],
        }
        context = Context(resolve(JobFile.model_validate(job)), self.ends, self.state)
        return LocalRunner(context).run(trigger="schedule")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.source.clear()
    desk.destination.clear()
    desk.state.close()


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def times(*values: datetime) -> pa.Table:
    return pa.table({"at": pa.array(values, pa.timestamp("us", "UTC")), "n": [*range(len(values))]})


def test_a_run_shows_what_it_read_and_wrote_and_how_far_behind_it_is(
    desk: Desk, collected: Collected
) -> None:
    desk.source.put("a", times(hours_ago(5), hours_ago(3), hours_ago(2)))
    desk.source.put("b", times(hours_ago(9)))
    desk.run("a", "b")
    found = collected.metrics()
    a, b = ({"copyjob.job": "sales", "copyjob.table": table} for table in ("a", "b"))
    for name in ("copyjob.rows.read", "copyjob.rows.written"):
        assert sorted(found[name], key=str) == [(a, 3), (b, 1)]
    assert all(size > 0 for _, size in found["copyjob.bytes.read"])
    assert {
        about["copyjob.table"]: round(s / 3600, 1) for about, s in found["copyjob.table.lag"]
    } == {
        "a": 2.0,
        "b": 9.0,
    }
    ended = {"copyjob.job": "sales", "copyjob.status": "succeeded"}
    assert found["copyjob.runs"] == [({**ended, "copyjob.trigger": "schedule"}, 1)]
    assert [about for about, _ in found["copyjob.run.duration"]] == [ended]
    assert "copyjob.table.failures" not in found


def test_a_table_with_nothing_new_shows_how_far_behind_it_is(
    desk: Desk, collected: Collected
) -> None:
    desk.source.put("a", times(hours_ago(2)))
    desk.run("a")
    collected.forget()
    assert [table.status for table in desk.run("a").tables] == ["unchanged"]
    found = collected.metrics()
    ((_, seconds),) = found["copyjob.table.lag"]
    assert round(seconds / 3600, 1) == 2.0
    assert "copyjob.rows.written" not in found


def test_a_table_that_is_ahead_of_the_clock_is_not_behind(
    desk: Desk, collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    desk.source.put("a", times(hours_ago(-2)))  # as a column in local time may be
    desk.run("a")
    ((_, seconds),) = collected.metrics()["copyjob.table.lag"]
    assert seconds == 0
    assert "non-negative" not in caplog.text


def test_a_table_that_fails_is_counted_by_its_error(desk: Desk, collected: Collected) -> None:
    desk.source.put("a", times(hours_ago(2)))
    summary = desk.run("a", "missing")
    assert summary.status == "failed"
    (error,) = [table.error for table in summary.tables if table.error]
    found = collected.metrics()
    about = {"copyjob.job": "sales", "copyjob.table": "missing", "error.type": error["code"]}
    assert found["copyjob.table.failures"] == [(about, 1)]
    assert [about["copyjob.status"] for about, _ in found["copyjob.runs"]] == ["failed"]


def test_the_spans_of_a_run_are_one_trace_and_say_where_they_belong(
    desk: Desk, collected: Collected
) -> None:
    desk.source.put("a", times(hours_ago(2)))
    desk.source.put("b", times(hours_ago(2)))
    run_id = desk.run("a", "b").run_id
    spans = collected.spans()
    assert {span.context.trace_id for span in spans if span.context} == {
        span.context.trace_id for span in spans if span.name == "copyjob.run" and span.context
    }
    assert {(span.attributes or {})["copyjob.run_id"] for span in spans} == {run_id}
    assert {(span.attributes or {})["copyjob.job"] for span in spans} == {"sales"}
    steps = {"copy_part", "publish", "commit"}
    for table in ("a", "b"):
        own = [span for span in spans if (span.attributes or {}).get("copyjob.table") == table]
        assert steps <= {span.name.removeprefix("copyjob.") for span in own}
    (part, *_) = (span for span in spans if span.name == "copyjob.copy_part")
    assert part.attributes is not None
    assert (part.attributes["copyjob.part"], part.attributes["copyjob.rows"]) == (0, 1)
    assert all(span.status.status_code is not StatusCode.ERROR for span in spans)


def test_no_metric_carries_the_run(desk: Desk, collected: Collected) -> None:
    desk.source.put("a", times(hours_ago(2)))
    desk.run("a", "missing")
    known = {"copyjob.job", "copyjob.table", "copyjob.status", "copyjob.trigger", "error.type"}
    for points in collected.metrics().values():
        for about, _ in points:
            assert about.keys() <= known


def failing(error: Exception) -> Callable[[], JsonDict]:
    def work() -> JsonDict:
        raise error

    return work


def test_a_step_that_fails_is_a_span_that_failed(collected: Collected) -> None:
    remember(SECRET)
    error = ConfigError(f"no column {SECRET}", code="column-unknown", table="t")
    outcome = telemetry.step("plan", lambda: outcome_of(failing(error), job="sales"))
    assert outcome.status == "config"
    (span,) = collected.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "no column ***"
    attributes = dict(span.attributes or {})
    assert attributes["error.type"] == "column-unknown"
    assert attributes["copyjob.outcome"] == "config"
    assert not span.events
    assert SECRET not in span.to_json()


def test_a_step_that_was_cancelled_did_not_fail(collected: Collected) -> None:
    telemetry.step("plan", lambda: outcome_of(failing(Cancelled("asked to stop"))))
    (span,) = collected.spans()
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["copyjob.outcome"] == "cancelled"


def test_a_step_that_is_torn_down_tells_no_secret(collected: Collected) -> None:
    def interrupted() -> Outcome:
        raise KeyboardInterrupt(SECRET)

    with pytest.raises(KeyboardInterrupt):
        telemetry.step("plan", interrupted)
    (span,) = collected.spans()
    assert SECRET not in span.to_json()


def test_a_step_tells_its_part_even_the_first(collected: Collected, desk: Desk) -> None:
    job = {"name": "sales", "source": "from", "destination": "to", "tables": [{"source": "a"}]}

    class Some:
        context = Context(resolve(JobFile.model_validate(job)), desk.ends, desk.state)

        @as_outcome  # type: ignore[type-var] # it is no Steps, but has what is needed of one
        def copy_part(self, arg: JsonDict) -> JsonDict:
            raise TransientError("come back later", file=arg["plan_id"])

    outcome = Some().copy_part({"run_id": "r", "table": "a", "part": 0, "plan_id": "p"})
    assert outcome.status == "transient"
    (span,) = collected.spans()
    assert span.name == "copyjob.copy_part"
    about = {"job": "sales", "run_id": "r", "table": "a", "part": 0, "step": "copy_part"}
    assert {f"copyjob.{k}": v for k, v in about.items()}.items() <= dict(
        span.attributes or {}
    ).items()


def test_retries_and_files_are_counted(collected: Collected) -> None:
    slice_ = Slice(object="a", columns=("n",))
    part = Part(number=0, slice=slice_, files_read=3, bytes_read=10, rows_rejected=5)
    telemetry.copied("sales", "a", part)
    published = Published(sequence=1, watermark=None, rows=0, files=2, bytes=7)
    telemetry.committed("sales", "a", published)
    result = TableResult(source="a", destination="a", status="copied", retries=4)
    telemetry.ended("sales", result)
    telemetry.ended("sales", result)
    values = {name: points[0][1] for name, points in collected.metrics().items()}
    assert values["copyjob.files.read"] == 3
    assert values["copyjob.rows.rejected"] == 5
    assert values["copyjob.files.written"] == 2
    assert values["copyjob.bytes.read"] == 10
    assert values["copyjob.bytes.written"] == 7
    assert values["copyjob.step.retries"] == 8
    assert "copyjob.table.lag" not in values


def test_a_run_is_told_in_one_record_for_each_thing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.source.put("a", times(hours_ago(2), hours_ago(1)))
    with caplog.at_level("INFO", "copyjob"):
        run_id = desk.run("a", "missing").run_id
    told = [record for record in caplog.records if record.levelname in ("INFO", "ERROR")]
    assert {vars(record)["copyjob.run_id"] for record in told} == {run_id}
    began, *between, ended = (record.getMessage() for record in told)
    assert began == "run began: 2 tables"
    assert ended.startswith("run ended: failed after ")
    assert len(between) == 2
    assert any(text.startswith("a: copied 2 rows up to 20") for text in between)
    assert any(text.startswith("missing: failed: ") for text in between)
    failed = next(record for record in told if record.getMessage().startswith("missing"))
    assert vars(failed)["error.type"]
    assert vars(failed)["copyjob.table"] == "missing"


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("kind", "value", "seconds"),
    [
        ("timestamp", "2026-11-23T11:59:59.5000000", 0.5),
        ("timestamp", "2026-11-23 11:00:00", 3600),
        ("timestamp", "2026-11-23T12:00:00+02:00", 7200),
        ("timestamp", "2026-11-23T12:30Z", -1800),
        ("timestamp", "2026-11-22", 43200),
        ("date", "2026-11-22", 43200),
        ("date", "2026-11-23", -43200),
        ("int", "20261123", None),
        ("rowversion", "0x00000000000007D3", None),
        ("decimal", "12", None),
    ],
)
def test_how_far_behind_a_watermark_is(kind: Any, value: str, seconds: float | None) -> None:
    assert telemetry.lag(Watermark(kind=kind, value=value), NOON) == seconds


@given(st.timedeltas(timedelta(days=-50_000), timedelta(days=50_000)))
def test_the_lag_is_the_time_since_the_watermark(since: timedelta) -> None:
    reached = datetime(2026, 11, 23, tzinfo=UTC) + since
    watermark = Watermark(kind="timestamp", value=reached.isoformat())
    behind = telemetry.lag(watermark, reached.timestamp() + 90)
    assert behind == pytest.approx(90, abs=0.001)


def test_nothing_copied_yet_has_no_lag() -> None:
    assert telemetry.lag(None, time.time()) is None
