"""The telescope fixture, for tests of the data that OpenTelemetry receives."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from enapter_async.integrations.opentelemetry import OpenTelemetry
from tests.integrations.telescope import Telescope


@pytest.fixture
def telescope() -> Iterator[Telescope]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)
    yield Telescope(hook, tracers, exporter, reader)
    assert hook._calls == {}, "a call that ended is forgotten"
    tracers.shutdown()
    meters.shutdown()
