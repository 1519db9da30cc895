"""What OpenTelemetry's own SDK collects of this process: metrics and spans."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, Self

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Point(NamedTuple):
    """A point of a metric: for a histogram its values' sum, least, greatest and number."""

    name: str
    about: dict[str, Any]
    value: float
    least: float | None
    greatest: float | None
    number: int

    @classmethod
    def of(cls, name: str, point: Any) -> Self:
        about = dict(point.attributes or {})
        if hasattr(point, "sum"):
            return cls(name, about, point.sum, point.min, point.max, point.count)
        return cls(name, about, point.value, None, None, 1)


class Collected:
    """What was collected since the last look; names and attributes as exported."""

    def __init__(self) -> None:
        # As Azure Monitor's exporter asks for them.
        delta = AggregationTemporality.DELTA
        self._reader = InMemoryMetricReader({Counter: delta, Histogram: delta})
        self._spans = InMemorySpanExporter()
        metrics.set_meter_provider(MeterProvider([self._reader], shutdown_on_exit=False))
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(self._spans))
        trace.set_tracer_provider(traces)

    def forget(self) -> None:
        self._spans.clear()
        self._reader.get_metrics_data()

    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """By name: attributes and value, which for a histogram is its sum."""
        found: dict[str, list[tuple[dict[str, Any], float]]] = {}
        for point in self.points():
            found.setdefault(point.name, []).append((point.about, point.value))
        return found

    def points(self) -> list[Point]:
        """All that would be exported now."""
        data = self._reader.get_metrics_data()
        return [
            Point.of(metric.name, point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]


@cache
def collector() -> Collected:
    """The collector of this process: OpenTelemetry takes one provider for the life of it."""
    return Collected()
