"""The data that OpenTelemetry's own in-memory exporter and reader received."""

from typing import Any

import attrs
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from enapter_async.integrations.opentelemetry import OpenTelemetry

Point = tuple[dict[str, Any], Any]


@attrs.define
class Telescope:
    """What was exported."""

    hook: OpenTelemetry
    tracers: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def spans(self, kind: SpanKind | None = None) -> list[ReadableSpan]:
        """Return the finished spans, in order of their start."""
        found = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        return [span for span in found if kind is None or span.kind is kind]

    def the_call(self) -> ReadableSpan:
        (span,) = self.spans(SpanKind.INTERNAL)
        return span

    def points(self, name: str) -> list[Point]:
        """Return the contents of a metric: its labels, and the sum or a histogram's count."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            (dict(point.attributes or {}), size_of(point))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def everything(self) -> str:
        data = self.reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans()) + (data.to_json() if data else "")


def size_of(point: object) -> int | float:
    if isinstance(point, HistogramDataPoint):
        return point.count
    assert isinstance(point, NumberDataPoint)
    return point.value


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id
