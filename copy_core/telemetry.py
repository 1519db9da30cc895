"""What a copy tells of itself through OpenTelemetry: metrics, and a span a step.

This speaks to OpenTelemetry's API alone. Without its SDK in the process that does nothing; with
one, whoever set it up decides where the data goes (docs/monitoring.md). Metrics carry the job and
the table but never the run: each run would be a time series of its own. They count work, so what
was done twice counts twice; what was copied, each row once, stands in the records of runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.trace import StatusCode

from copy_core import __version__
from copy_core.logs import Field, attributes, error_attributes, log, within

if TYPE_CHECKING:
    from copy_core.errors import CopyJobError
    from copy_core.model import JsonDict, Outcome, Published, RunSummary, TableResult
    from copy_core.state.tables import Part
    from copy_core.watermark import Watermark

_tracer = trace.get_tracer("copyjob", __version__)
_meter = metrics.get_meter("copyjob", __version__)

# Units: https://opentelemetry.io/docs/specs/semconv/general/metrics/#instrument-units
_READ = {
    "rows": _meter.create_counter("copyjob.rows.read", "{row}", "Rows read at the source"),
    "bytes": _meter.create_counter("copyjob.bytes.read", "By", "Their size in memory"),
    "files": _meter.create_counter("copyjob.files.read", "{file}", "Files that held them"),
    "rejected": _meter.create_counter("copyjob.rows.rejected", "{row}", "Rows left out as bad"),
}
_WRITTEN = {
    "rows": _meter.create_counter("copyjob.rows.written", "{row}", "Rows published and committed"),
    "bytes": _meter.create_counter("copyjob.bytes.written", "By", "Their size at the destination"),
    "files": _meter.create_counter("copyjob.files.written", "{file}", "Files that hold them"),
}
_RETRIES = _meter.create_counter("copyjob.step.retries", "{retry}", "Steps that were tried again")
_FAILURES = _meter.create_counter("copyjob.table.failures", "{failure}", "Tables that failed")
_NOT_STARTED = _meter.create_counter(
    "copyjob.job.failures", "{failure}", "Times that nothing of a job could be started"
)
_RUNS = _meter.create_counter("copyjob.runs", "{run}", "Runs that ended")
_DURATION = _meter.create_histogram(
    "copyjob.run.duration",
    "s",
    "How long runs took",
    explicit_bucket_boundaries_advisory=[1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600],
)
# Not a gauge: that would be exported again and again, by every process that ever copied the table,
# with the value of its own last time.
_LAG = _meter.create_histogram(
    "copyjob.table.lag",
    "s",
    "How far a table was behind the clock when a run was done with it",
    explicit_bucket_boundaries_advisory=[1, 60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400],
)
_LATENESS = _meter.create_histogram(
    "copyjob.job.lateness",
    "s",
    "How long ago the oldest moment of a schedule fell due that no run has answered",
    explicit_bucket_boundaries_advisory=[60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400],
)
_TICK = _meter.create_histogram(
    "copyjob.tick.duration",
    "s",
    "How long it took to look at all jobs, each minute",
    explicit_bucket_boundaries_advisory=[0.1, 0.5, 1, 5, 15, 60],
)

_EPOCH_S = date(1970, 1, 1).toordinal() * 86400
_DAY_S = 86400


@contextmanager
def run(run_id: str, job: str) -> Iterator[None]:
    """The span of a whole run, for a runner that sees it from beginning to end."""
    with within(run_id=run_id, job=job), _span("copyjob.run"):
        yield


def step(name: str, work: Callable[[], Outcome]) -> Outcome:
    """Does the work of a step in a span, which says what came of it."""
    with _span(f"copyjob.{name}") as span:
        outcome = work()
        span.set_attribute("copyjob.outcome", outcome.status)
        rows = outcome.value.get("rows_read", (outcome.value.get("published") or {}).get("rows"))
        if rows is not None:
            span.set_attribute("copyjob.rows", rows)
        if outcome.error is not None:
            span.set_attributes(error_attributes(outcome.error))
            if outcome.status != "cancelled":
                span.set_status(StatusCode.ERROR, outcome.error["message"])
        return outcome


def began(trigger: str, tables: int) -> None:
    """A run has its job: it begins."""
    _tell(logging.INFO, f"run began: {_count(tables, 'table')}", trigger=trigger, tables=tables)


def copied(job: str, table: str, part: Part) -> None:
    """A part was read and staged."""
    about = _about(job, table)
    for what, count in (
        ("rows", part.rows_read),
        ("bytes", part.bytes_read),
        ("files", part.files_read),
        ("rejected", part.rows_rejected),
    ):
        if count:
            _READ[what].add(count, about)


def committed(job: str, table: str, published: Published, *, objects: bool = False) -> None:
    """A window was committed: its rows count as written; whole objects are files, not rows."""
    about = _about(job, table)
    for what, count in (
        ("rows", 0 if objects else published.rows),
        ("bytes", published.bytes),
        ("files", published.files),
    ):
        if count:
            _WRITTEN[what].add(count, about)
    up_to_date(job, table, published.watermark)


def up_to_date(job: str, table: str, watermark: Watermark | None) -> None:
    """A table is as new as it gets in this run: tells how far behind the clock that is."""
    seconds = lag(watermark, time.time())
    if seconds is not None:
        # A histogram takes nothing below zero, and a table without a value looks as if it failed.
        _LAG.record(max(0.0, seconds), _about(job, table))


def lag(watermark: Watermark | None, now: float) -> float | None:
    """Seconds between a watermark and now; None for one that is no time.

    Args:
        watermark: up to where rows were copied. A time without a zone is taken for UTC; a day
            reaches to its end.
        now: seconds since 1970.
    """
    if watermark is None or watermark.kind not in ("date", "timestamp"):
        return None
    reached = float(watermark.position() - _EPOCH_S)
    if ":" not in watermark.value:
        reached += _DAY_S
    return now - reached


def ended(job: str, result: TableResult) -> None:
    """A run is done with a table."""
    about = _about(job, result.source)
    if result.retries:
        _RETRIES.add(result.retries, about)
    said: dict[str, Field] = {"table": result.source, "status": result.status}
    if result.status == "copied":
        files = result.files_written if not result.rows_written else 0
        what = _count(files, "file") if files else _count(result.rows_written, "row")
        after = f" after {result.lower_bound}" if result.lower_bound else ""
        up_to = f" up to {result.upper_bound}" if result.upper_bound else ""
        _tell(
            logging.INFO,
            f"{result.source}: copied {what}{after}{up_to} in {result.duration_s:.1f} s",
            **said,
            load_type=result.load_type,
            rows_read=result.rows_read,
            rows_written=result.rows_written,
            rows_rejected=result.rows_rejected,
            seconds=result.duration_s,
            lower_bound=result.lower_bound or "",
            upper_bound=result.upper_bound or "",
        )
    elif result.error is not None:
        failed = result.status == "failed"
        if failed:
            _FAILURES.add(1, about | {"error.type": result.error["code"]})
        _tell(
            logging.ERROR if failed else logging.INFO,
            f"{result.source}: {result.status}: {result.error['message']}",
            result.error,
            **said,
        )


def finished(summary: RunSummary) -> None:
    """A run ended, one way or the other."""
    start, end = map(datetime.fromisoformat, (summary.started_at, summary.ended_at))
    seconds = (end - start).total_seconds()
    about = {"copyjob.job": summary.job, "copyjob.status": summary.status}
    failed = summary.status == "failed"
    error = summary.error or ({"code": "tables-failed", "where": {}} if failed else None)
    why = {"error.type": error["code"]} if failed and error else {}
    _RUNS.add(1, {**about, "copyjob.trigger": summary.trigger, **why})
    _DURATION.record(seconds, about)
    _tell(
        logging.ERROR if failed else logging.INFO,
        f"run ended: {summary.status} after {seconds:.1f} s",
        error,
        status=summary.status,
        seconds=seconds,
    )


def late(job: str, seconds: float) -> None:
    """A job is late by so much."""
    _LATENESS.record(seconds, {"copyjob.job": job})


def not_started(job: str, error: CopyJobError) -> None:
    """Nothing of a job could be started."""
    _NOT_STARTED.add(1, {"copyjob.job": job, "error.type": error.code})


def ticked(seconds: float) -> None:
    """All jobs were looked at, whatever came of it."""
    _TICK.record(seconds, {})


@contextmanager
def _span(name: str) -> Iterator[trace.Span]:
    # What is raised through here may hold secrets; the log tells it, without them.
    with _tracer.start_as_current_span(
        name, attributes=attributes(), record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


def _about(job: str, table: str) -> dict[str, str]:
    return {"copyjob.job": job, "copyjob.table": table}


def _tell(level: int, message: str, error: JsonDict | None = None, /, **said: Field) -> None:
    extra = attributes(**said)
    log.log(level, "%s", message, extra=extra | error_attributes(error) if error else extra)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
