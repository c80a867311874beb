"""A trace continues at the server if that is requested, and only then."""

import asyncio
from typing import Any

from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NoOpTracerProvider, SpanKind, get_tracer

from enapter_async.client import Client
from enapter_async.integrations.opentelemetry import OpenTelemetry
from enapter_async.operations.devices import UpdateDevice
from tests.integrations.telescope import Telescope, attributes
from tests.support.clock import FakeClock
from tests.support.replies import close, errors, hang
from tests.support.rig import GET, TOKEN, UPDATE, TransportKind, open_rig
from tests.support.server import Arrival, FaultServer, applied, ignored


def sent_by(arrival: Arrival) -> tuple[int, int]:
    """Return trace id and parent id of a request, in the format of W3C Trace Context."""
    version, trace_id, parent_id, flags = (arrival.header("traceparent") or "").split("-")
    assert version == "00"
    assert int(flags, 16) & 1, "it is sampled"
    return int(trace_id, 16), int(parent_id, 16)


def named(span: ReadableSpan) -> tuple[int, int]:
    return span.context.trace_id, span.context.span_id


def asking(telescope: Telescope) -> dict[str, Any]:
    return {"hooks": [telescope.hook], "extra_headers": telescope.hook.trace_headers}


async def test_each_attempt_is_the_parent_of_the_servers_span(
    transport: TransportKind, server: FaultServer, clock: FakeClock, telescope: Telescope
) -> None:
    server.script(ignored(errors(429, ("Retry-After", "2"))))
    tracer = get_tracer("the caller", tracer_provider=telescope.tracers)
    async with open_rig(transport, server, clock, **asking(telescope)) as rig:
        with tracer.start_as_current_span("caller"):
            await rig.run(UPDATE)
    first, second = telescope.spans(SpanKind.CLIENT)
    assert [sent_by(each) for each in server.arrivals] == [named(first), named(second)]
    assert named(first) != named(second)
    (caller,) = [span for span in telescope.spans() if span.name == "caller"]
    assert {sent_by(each)[0] for each in server.arrivals} == {caller.context.trace_id}


async def test_the_settling_read_is_a_parent_too(
    transport: TransportKind, server: FaultServer, clock: FakeClock, telescope: Telescope
) -> None:
    server.always(applied(close()), method="PATCH")
    async with open_rig(transport, server, clock, **asking(telescope)) as rig:
        await rig.run(UPDATE)
        await rig.run(GET)
    spans = telescope.spans(SpanKind.CLIENT)
    assert [span.name[:4] for span in spans] == ["PATC"] * 4 + ["GET "] * 2
    assert [sent_by(each) for each in server.arrivals] == [named(span) for span in spans]
    settling, reading = spans[-2:]
    assert settling.context.trace_id == spans[0].context.trace_id
    assert reading.context.trace_id != spans[0].context.trace_id


async def test_a_cancelled_settling_read_ends_its_span(
    transport: TransportKind, server: FaultServer, clock: FakeClock, telescope: Telescope
) -> None:
    server.always(applied(close()), method="PATCH")
    server.script(applied(hang()), method="GET")
    async with open_rig(transport, server, clock, **asking(telescope)) as rig:
        task = asyncio.create_task(rig.run(UPDATE))
        await server.arrived(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    spans = telescope.spans(SpanKind.CLIENT)
    assert sent_by(server.arrivals[-1]) == named(spans[-1])
    assert attributes(spans[-1])["error.type"] == "cancelled"


async def test_concurrent_calls_send_their_own_context(
    transport: TransportKind, server: FaultServer, telescope: Telescope
) -> None:
    async with open_rig(transport, server, **asking(telescope)) as rig:
        calls = [UpdateDevice(device_id=f"dev-{1 + n % 3}", name=f"{n}") for n in range(30)]
        await asyncio.gather(*(rig.run(call) for call in calls))
    attempts = {named(span): span for span in telescope.spans(SpanKind.CLIENT)}
    assert {sent_by(each) for each in server.arrivals} == attempts.keys()
    for arrival in server.arrivals:
        attempt = attempts[sent_by(arrival)]
        assert attributes(attempt)["enapter.device.id"] == arrival.address


async def test_nothing_is_sent_unless_requested(
    transport: TransportKind, server: FaultServer, telescope: Telescope
) -> None:
    async with open_rig(transport, server, hooks=[telescope.hook]) as rig:
        await rig.run(UPDATE)
    (arrival,) = server.arrivals
    assert arrival.header("traceparent") is None
    assert arrival.header("tracestate") is None


async def test_baggage_stays_here(
    transport: TransportKind, server: FaultServer, telescope: Telescope
) -> None:
    token = context.attach(baggage.set_baggage("customer", "a name"))
    try:
        async with open_rig(transport, server, **asking(telescope)) as rig:
            await rig.run(UPDATE)
    finally:
        context.detach(token)
    (arrival,) = server.arrivals
    assert arrival.header("traceparent") is not None
    assert arrival.header("baggage") is None
    assert "a name" not in str(arrival.headers)


async def test_without_a_trace_nothing_is_sent(server: FaultServer) -> None:
    hook = OpenTelemetry(tracer_provider=NoOpTracerProvider())
    async with open_rig("direct", server, hooks=[hook], extra_headers=hook.trace_headers) as rig:
        await rig.run(UPDATE)
    assert server.arrivals[0].header("traceparent") is None


async def test_a_client_that_the_hook_does_not_listen_to_sends_nothing(
    server: FaultServer, telescope: Telescope
) -> None:
    async with (
        open_rig("direct", server, **asking(telescope)) as rig,
        Client(
            TOKEN, base_url=server.base_url, extra_headers=telescope.hook.trace_headers
        ) as other,
    ):
        await rig.run(UPDATE)
        await other.execute(GET)
    assert server.arrivals[0].header("traceparent") is not None
    assert server.arrivals[1].header("traceparent") is None
    assert telescope.hook.trace_headers() == {}
