"""Spans and metrics, as the SDK's own in-memory exporter and reader receive them."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_tracer

from enapter_async import fleet
from enapter_async.errors import AmbiguousOutcomeError, ResultLostError
from enapter_async.hooks import AttemptStarted
from enapter_async.limits.pacing import Pacing
from enapter_async.operations.devices import GetDevice, ListDevices, UpdateDevice
from tests.integrations.telescope import Telescope, attributes, parent_of
from tests.support.clock import FakeClock
from tests.support.replies import answer, close, errors, hang, truncated
from tests.support.rig import ASSIGN, CONFIG, DELETE, GET, TOKEN, UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored


async def test_a_call_is_a_span_with_its_attempt_below(
    transport: TransportKind, server: FaultServer, telescope: Telescope
) -> None:
    base_url = f"{server.base_url}/api"
    async with open_rig(transport, server, hooks=[telescope.hook], base_url=base_url) as rig:
        await rig.run(UPDATE)
    call, attempt = telescope.spans()
    assert (call.name, call.kind) == ("UpdateDevice", SpanKind.INTERNAL)
    assert attributes(call) == {
        "enapter.operation": "UpdateDevice",
        "enapter.device.id": "dev-1",
        "enapter.outcome": "done",
        "enapter.attempts": 1,
    }
    assert (attempt.name, attempt.kind) == ("PATCH /v3/devices/{device_id}", SpanKind.CLIENT)
    assert attributes(attempt) == {
        "http.request.method": "PATCH",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "url.full": f"{base_url}/v3/devices/dev-1",
        "url.scheme": "http",
        "url.template": "/v3/devices/{device_id}",
        "enapter.device.id": "dev-1",
    }
    assert attempt.parent == call.context
    times = (call.start_time, attempt.start_time, attempt.end_time, call.end_time)
    assert list(times) == sorted(time or 0 for time in times)
    for span in (call, attempt):
        assert span.status.status_code is StatusCode.UNSET
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == "enapter_async"


async def test_failed_attempts_waits_and_the_settling_read_are_recorded(
    transport: TransportKind, server: FaultServer, clock: FakeClock, telescope: Telescope
) -> None:
    server.script(ignored(errors(429, ("Retry-After", "2"))), applied(truncated()))
    async with open_rig(transport, server, clock, hooks=[telescope.hook]) as rig:
        await rig.run(UPDATE)
    attempts = telescope.spans(SpanKind.CLIENT)
    patch, get = "PATCH /v3/devices/{device_id}", "GET /v3/devices/{device_id}"
    assert [span.name for span in attempts] == [patch, patch, get]
    told = [attributes(span) for span in attempts]
    assert [each.get("http.response.status_code") for each in told] == [429, 200, 200]
    assert [each.get("error.type") for each in told] == ["429", "ResponseError", None]
    assert [each.get("http.request.resend_count") for each in told] == [None, 1, None]
    assert [each.get("enapter.certainty") for each in told] == ["refused", "applied", None]
    assert [span.status.status_code.name for span in attempts] == ["ERROR", "ERROR", "UNSET"]
    call = telescope.the_call()
    assert {parent_of(span) for span in attempts} == {call.context.span_id if call.context else 0}
    assert attributes(call)["enapter.outcome"] == "settled"
    (wait,) = call.events
    assert dict(wait.attributes or {}) == {
        "enapter.wait.reason": "retry-after",
        # 2 s, plus jitter of at most 0.25 * 2 + 0.5 s, with randomness at its maximum
        "enapter.wait.seconds": 2.1,
    }


OUTCOMES: dict[str, tuple[Any, Any, str, str | None]] = {
    "refused": (UPDATE, ignored(errors(409)), "failed", "ConflictError"),
    "unknown": (CONFIG, applied(close()), "unknown", "AmbiguousOutcomeError"),
    "lost": (CONFIG, applied(truncated()), "result_lost", "ResultLostError"),
    "gone": (DELETE, applied(close()), "absent", None),
    "done": (GET, applied(answer(200, {"device": {"id": "dev-1"}})), "done", None),
}


@pytest.mark.parametrize("case", OUTCOMES.values(), ids=OUTCOMES.keys())
async def test_metrics_show_how_calls_end(
    case: tuple[Any, Any, str, str | None], server: FaultServer, telescope: Telescope
) -> None:
    operation, step, outcome, error = case
    server.script(step)
    async with open_rig("direct", server, hooks=[telescope.hook]) as rig:
        if error is None:
            await rig.run(operation)
        else:
            assert type(await rig.fails(operation)).__name__ == error
    attempts = len(server.arrivals)
    labels = {"enapter.operation": type(operation).__name__, "enapter.outcome": outcome}
    full = labels if error is None else {**labels, "error.type": error}
    assert telescope.points("enapter.client.calls") == [(full, 1)]
    assert telescope.points("enapter.client.call.duration") == [(full, 1)]
    assert telescope.points("enapter.client.call.attempts") == [(labels, 1)]
    assert sum(value for _, value in telescope.points("enapter.client.attempts")) == attempts
    call = telescope.the_call()
    assert call.status.status_code is (StatusCode.UNSET if error is None else StatusCode.ERROR)
    assert attributes(call).get("error.type") == error


async def test_the_request_metric_is_the_one_of_the_conventions(
    transport: TransportKind, server: FaultServer, clock: FakeClock, telescope: Telescope
) -> None:
    server.script(ignored(errors(503, ("Retry-After", "1"))))
    async with open_rig(transport, server, clock, hooks=[telescope.hook]) as rig:
        for device_id in ("dev-1", "dev-2", "dev-3"):
            await rig.run(GetDevice(device_id=device_id))
    common = {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "url.scheme": "http",
        "url.template": "/v3/devices/{device_id}",
    }
    refused = {**common, "http.response.status_code": 503, "error.type": "503"}
    good = {**common, "http.response.status_code": 200}
    points = telescope.points("http.client.request.duration")
    assert sorted(points, key=lambda point: point[1]) == [(refused, 1), (good, 3)]
    by_certainty = telescope.points("enapter.client.attempts")
    labels = {"enapter.operation": "GetDevice"}
    assert ({**labels, "enapter.certainty": "refused"}, 1) in by_certainty
    assert (labels, 3) in by_certainty
    waits = {
        point["enapter.wait.reason"]: count
        for point, count in telescope.points("enapter.client.wait.duration")
    }
    assert waits == {"retry-after": 1}


async def test_concurrent_calls_are_children_of_their_own_callers(
    transport: TransportKind, server: FaultServer, telescope: Telescope
) -> None:
    tracer = get_tracer("the caller", tracer_provider=telescope.tracers)
    # One place for twenty callers: calls queue, and each begins while others run.
    pacing = Pacing(max_in_flight=1)

    async with open_rig(transport, server, hooks=[telescope.hook], pacing=pacing) as rig:

        async def caller(number: int) -> None:
            with tracer.start_as_current_span(f"caller-{number}"):
                await asyncio.sleep(0)
                await rig.run(UpdateDevice(device_id="dev-1", name=f"name-{number}"))
                await rig.run(GET)

        await asyncio.gather(*(caller(number) for number in range(20)))
    spans = telescope.spans()
    callers = {span.context.span_id: span for span in spans if span.name.startswith("caller-")}
    calls = {span.context.span_id: span for span in spans if span.name.endswith("Device")}
    assert len(callers) == 20
    assert len(calls) == 40
    for number in callers:
        below = [span.name for span in calls.values() if parent_of(span) == number]
        assert below == ["UpdateDevice", "GetDevice"]
    attempts = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert sorted(parent_of(span) or 0 for span in attempts) == sorted(calls)
    for attempt in attempts:
        parent = calls[parent_of(attempt) or 0]
        assert attempt.context.trace_id == parent.context.trace_id
        assert attempt.name.startswith("PATCH" if parent.name == "UpdateDevice" else "GET")
    reasons = {
        point["enapter.wait.reason"]
        for point, _ in telescope.points("enapter.client.wait.duration")
    }
    assert reasons == {"turn", "gate"}


async def test_a_fleet_jobs_calls_are_children_of_its_caller(
    server: FaultServer, telescope: Telescope
) -> None:
    tracer = get_tracer("the caller", tracer_provider=telescope.tracers)
    async with open_rig("direct", server, hooks=[telescope.hook]) as rig:
        with tracer.start_as_current_span("job"):
            operations = [UpdateDevice(device_id=f"dev-{n}", name="New") for n in (1, 2, 3)]
            report = await fleet.apply(rig.client, operations)
    assert report.counts[fleet.State.APPLIED] == 3
    (job,) = [span for span in telescope.spans() if span.name == "job"]
    calls = [span for span in telescope.spans() if span.name == "UpdateDevice"]
    assert [span.parent for span in calls] == [job.context] * 3
    ids = {attributes(span)["enapter.device.id"] for span in calls}
    assert ids == {"dev-1", "dev-2", "dev-3"}


async def test_nothing_is_current_after_a_call(server: FaultServer, telescope: Telescope) -> None:
    tracer = get_tracer("the caller", tracer_provider=telescope.tracers)
    async with open_rig("direct", server, hooks=[telescope.hook]) as rig:
        with tracer.start_as_current_span("caller"):
            await rig.run(GET)
            with tracer.start_as_current_span("after"):
                pass
    named = {span.name: span for span in telescope.spans()}
    assert named["after"].parent == named["caller"].context


async def test_a_cancelled_call_ends_both_spans(
    transport: TransportKind, server: FaultServer, telescope: Telescope
) -> None:
    server.script(applied(hang()))
    async with open_rig(transport, server, hooks=[telescope.hook]) as rig:
        task = asyncio.create_task(rig.run(UPDATE))
        await server.arrived(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    call, attempt = telescope.spans()
    assert attributes(attempt)["error.type"] == "cancelled"
    assert attributes(call)["enapter.outcome"] == "cancelled"
    assert attributes(call)["enapter.attempts"] == 1


async def test_no_secret_name_query_or_body_is_recorded(
    transport: TransportKind, server: FaultServer, telescope: Telescope
) -> None:
    server.script(ignored(errors(409, code="taken", message=f"secret-words {TOKEN}")))
    async with open_rig(transport, server, hooks=[telescope.hook], user="ops-person") as rig:
        await rig.fails(UpdateDevice(device_id="dev-1", name="private-name", slug="private-slug"))
        config = await rig.run(CONFIG)
        await rig.run(ListDevices(offset=777777))
        server.script(applied(close()))
        with pytest.raises(AmbiguousOutcomeError):
            await rig.run(CONFIG)
        server.script(applied(truncated()))
        with pytest.raises(ResultLostError):
            await rig.run(CONFIG)
    told = telescope.everything()
    assert "dev-1" in told
    secrets = ("private", "secret-words", TOKEN, "ops-person", "777777")
    assert [each for each in secrets if each in told] == []
    assert config.mqtt_credentials.password not in told


async def test_ids_of_sites_and_blueprints_are_attributes(
    server: FaultServer, telescope: Telescope
) -> None:
    async with open_rig("direct", server, hooks=[telescope.hook]) as rig:
        await rig.run(ASSIGN)
        server.script(applied(answer(200, {"devices": []})))
        await rig.run(ListDevices(site_id="site-9"))
    assign, sites = telescope.spans(SpanKind.CLIENT)
    assert attributes(assign)["enapter.blueprint.id"] == "bp-2"
    assert attributes(sites)["enapter.site.id"] == "site-9"
    assert sites.name == "GET /v3/sites/{site_id}/devices"


def test_an_event_of_an_unseen_call_is_ignored(telescope: Telescope) -> None:
    telescope.hook(AttemptStarted(call=-1, operation=GET, number=1))
    assert telescope.spans() == []


def test_the_core_does_not_import_it() -> None:
    program = "from enapter_async import *\nimport sys\nprint('opentelemetry' in sys.modules)"
    run = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "False\n"
