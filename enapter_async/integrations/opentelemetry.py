"""Traces and metrics for OpenTelemetry, from a client's hooks.

::

    from enapter_async.integrations.opentelemetry import OpenTelemetry

    async with Client(token="…", hooks=[OpenTelemetry()]) as client:
        ...

Needs the extra `opentelemetry`, which installs only its API; the OpenTelemetry SDK that the program
sets up decides where spans and metrics go. They never contain a token, a name, credentials, a query
or a body: attributes are ids, addresses, statuses and the names of errors.

By default nothing is sent to the server; with `extra_headers=hook.trace_headers` each request
carries the `traceparent` of its attempt.

Sources: OpenTelemetry semantic conventions for HTTP clients (stable since 1.23); W3C Trace Context.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import attrs
from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from enapter_async._version import __version__
from enapter_async.errors import AmbiguousOutcomeError, ResultDiffersError, ResultLostError
from enapter_async.hooks import (
    AttemptFailed,
    AttemptPassed,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    ReadBack,
    Waited,
    Waiting,
)
from enapter_async.operation import Operation
from enapter_async.routes import Route, ids_of, route_of

_SCOPE: Final = "enapter_async"
# The boundaries in the conventions for http.client.request.duration, in seconds.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
# A call may wait for a Retry-After, and has a deadline of 60 s by default.
_CALL_SECONDS: Final = (*_SECONDS, 20, 30, 60, 120)
_ATTEMPTS: Final = (1, 2, 3, 4, 6, 8, 12)

# Not the program's own propagator, which may also send baggage: the server must not receive it.
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_CALL: Final[ContextVar[int]] = ContextVar("enapter_async_call", default=0)
"""The number of the current task's call, or of its last one."""

Attributes = dict[str, str | int | float]


@attrs.define
class _Call:
    """The state of a call while it runs."""

    span: Span
    context: contexts.Context
    labels: Attributes
    address: Attributes
    base_url: URL
    attempts: int = 0
    attempt: Span | None = None
    began_ns: int = 0
    reading: Operation[Any] | None = None
    read: Span | None = None


@attrs.frozen
class _End:
    """How one exchange ended: `kind` names the error, None if there was none."""

    elapsed: float
    status: int | None = None
    kind: str | None = None
    certainty: str | None = None


class OpenTelemetry:
    """A hook that creates a span for each call, a child span for each attempt, and metrics.

    Args:
        tracer_provider: The provider for spans; None for the program's own.
        meter_provider: The provider for metrics; None for the program's own.

    A call's span is named after its operation (`UpdateDevice`) and is a child of the span that
    was current when the call was made; an attempt's is named after its route
    (`PATCH /v3/devices/{device_id}`) and has the kind CLIENT. Waits are events of the call's span.

    The metrics (all except the first have the attribute `enapter.operation`):

    - `http.client.request.duration`, seconds: each attempt, as in the conventions.
    - `enapter.client.call.duration`, seconds, with `enapter.outcome` and `error.type`.
    - `enapter.client.calls`: how many ended, with the same attributes.
    - `enapter.client.attempts`: how many ended, with `enapter.certainty` if one failed.
    - `enapter.client.call.attempts`: how many a call took, with `enapter.outcome`.
    - `enapter.client.wait.duration`, seconds, with `enapter.wait.reason`: gate, turn, pace,
      backoff or retry-after; the last two as planned when the wait started.

    `enapter.outcome` is done, settled (a read showed that it is done), absent (already gone),
    failed, unknown, result_lost or cancelled. One hook may serve several clients.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self._calls: dict[int, _Call] = {}
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self._request_duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._call_duration = meter.create_histogram(
            "enapter.client.call.duration",
            "s",
            "Duration of calls, with all their attempts and waits.",
            explicit_bucket_boundaries_advisory=_CALL_SECONDS,
        )
        self._call_attempts = meter.create_histogram(
            "enapter.client.call.attempts",
            "{attempt}",
            "How many attempts a call took.",
            explicit_bucket_boundaries_advisory=_ATTEMPTS,
        )
        self._wait_duration = meter.create_histogram(
            "enapter.client.wait.duration",
            "s",
            "How long calls were held back, by reason.",
            explicit_bucket_boundaries_advisory=_CALL_SECONDS,
        )
        self._ended = meter.create_counter(
            "enapter.client.calls", "{call}", "Calls that ended, by outcome."
        )
        self._attempts = meter.create_counter(
            "enapter.client.attempts", "{attempt}", "Attempts that ended, by certainty."
        )

    def trace_headers(self) -> dict[str, str]:
        """Return `traceparent` (and `tracestate`) of the request that this task is about to send.

        Use it as `Client(…, hooks=[hook], extra_headers=hook.trace_headers)`. The server's parent
        span is the span of the attempt, or of the read that settles a call. Baggage is not sent.
        Empty if the task is not making a call with this hook, or nothing is traced.
        """
        call = self._calls.get(_CALL.get())
        headers: dict[str, str] = {}
        if call is not None:
            span = call.attempt
            if span is None and call.reading is not None:
                span = call.read = self._request_span(call, call.reading, time.time_ns())
            _PROPAGATOR.inject(headers, trace.set_span_in_context(span or call.span))
        return headers

    def __call__(self, event: Event, /) -> None:
        """Handle one event."""
        if isinstance(event, CallStarted):
            self._begin(event)
            return
        call = self._calls.get(event.call)
        if call is None:
            return
        match event:
            case AttemptStarted(number=number):
                self._begin_attempt(call, event.operation, number)
            case AttemptPassed(status=status, elapsed=elapsed):
                self._end_attempt(call, event.operation, _End(elapsed, status))
            case AttemptFailed(attempt=attempt):
                kind = _error_type(attempt.status, attempt.error_type)
                end = _End(attempt.elapsed, attempt.status, kind, attempt.certainty.value)
                self._end_attempt(call, event.operation, end)
            case Waited(seconds=seconds, reason=reason):
                self._waited(call, seconds, reason)
            case Waiting():
                self._waiting(call, event)
            case ReadBack():
                self._read_back(call, event)
            case CallEnded():
                self._end(self._calls.pop(event.call), event)

    def _begin(self, event: CallStarted) -> None:
        operation = event.operation
        labels: Attributes = {"enapter.operation": type(operation).__name__}
        context = contexts.get_current()
        span = self._tracer.start_span(
            type(operation).__name__, context, attributes={**labels, **_ids(operation)}
        )
        _CALL.set(event.call)
        self._calls[event.call] = _Call(
            span=span,
            context=trace.set_span_in_context(span, context),
            labels=labels,
            address=_address(event.base_url),
            base_url=event.base_url,
        )

    def _begin_attempt(self, call: _Call, operation: Operation[Any], number: int) -> None:
        call.attempts += 1
        call.began_ns = time.time_ns()
        call.attempt = self._request_span(call, operation, call.began_ns, resent=number - 1)

    def _request_span(
        self, call: _Call, operation: Operation[Any], began_ns: int, *, resent: int = 0
    ) -> Span:
        route = route_of(operation)
        attributes = {**call.address, **_route(route), **_ids(operation)}
        # Without its query, which may contain private data.
        attributes["url.full"] = str(call.base_url.joinpath("v3", *operation.request().path))
        if resent:
            attributes["http.request.resend_count"] = resent
        return self._tracer.start_span(
            route.name, call.context, SpanKind.CLIENT, attributes, start_time=began_ns
        )

    def _end_attempt(self, call: _Call, operation: Operation[Any], end: _End) -> None:
        told: Attributes = {} if end.certainty is None else {"enapter.certainty": end.certainty}
        self._attempts.add(1, {**call.labels, **told}, call.context)
        if call.attempt is not None:
            call.attempt.set_attributes(told)
            self._end_request(call, call.attempt, operation, call.began_ns, end)
            call.attempt = None

    def _end_request(
        self, call: _Call, span: Span, operation: Operation[Any], began_ns: int, end: _End
    ) -> None:
        answer: Attributes = {}
        if end.status is not None:
            answer["http.response.status_code"] = end.status
        if end.kind is not None:
            answer["error.type"] = end.kind
            span.set_status(Status(StatusCode.ERROR))
        span.set_attributes(answer)
        span.end(began_ns + round(end.elapsed * 1e9))
        self._request_duration.record(
            end.elapsed,
            {**call.address, **_route(route_of(operation)), **answer},
            trace.set_span_in_context(span, call.context),
        )

    def _waiting(self, call: _Call, event: Waiting) -> None:
        if event.reason == "settle":
            call.reading = event.operation.reads()
        else:
            self._waited(call, event.seconds, event.reason)

    def _waited(self, call: _Call, seconds: float, reason: str) -> None:
        why: Attributes = {"enapter.wait.reason": reason}
        call.span.add_event("enapter.wait", {**why, "enapter.wait.seconds": seconds})
        self._wait_duration.record(seconds, {**call.labels, **why}, call.context)

    def _read_back(self, call: _Call, event: ReadBack) -> None:
        began_ns = time.time_ns() - round(event.elapsed * 1e9)
        span, call.read = call.read or self._request_span(call, event.reading, began_ns), None
        kind = None if event.error_type is None else _error_type(event.status, event.error_type)
        self._end_request(
            call, span, event.reading, began_ns, _End(event.elapsed, event.status, kind)
        )

    def _end(self, call: _Call, event: CallEnded) -> None:
        if call.attempt is not None:
            elapsed = max(0.0, (time.time_ns() - call.began_ns) / 1e9)
            end = _End(elapsed, None, "cancelled", "cancelled")
            self._end_attempt(call, event.operation, end)
        if call.read is not None:
            call.read.set_attribute("error.type", "cancelled")
            call.read.set_status(Status(StatusCode.ERROR))
            call.read.end()
        outcome: Attributes = {"enapter.outcome": _outcome(event)}
        if event.error is not None:
            outcome["error.type"] = type(event.error).__name__
            call.span.set_status(Status(StatusCode.ERROR))
        elif event.cancelled:
            outcome["error.type"] = "cancelled"
            call.span.set_status(Status(StatusCode.ERROR))
        call.span.set_attributes({**outcome, "enapter.attempts": call.attempts})
        call.span.end()
        labels = {**call.labels, **outcome}
        self._call_duration.record(event.elapsed, labels, call.context)
        self._ended.add(1, labels, call.context)
        self._call_attempts.record(
            call.attempts,
            {**call.labels, "enapter.outcome": outcome["enapter.outcome"]},
            call.context,
        )


_BAD_ENDS: Final = (
    (ResultLostError, "result_lost"),
    (AmbiguousOutcomeError, "unknown"),
    (ResultDiffersError, "differs"),
)
"""The first match is used; a class comes before its base classes."""


def _outcome(event: CallEnded) -> str:
    if event.cancelled:
        return "cancelled"
    if event.error is not None:
        return next((word for kind, word in _BAD_ENDS if isinstance(event.error, kind)), "failed")
    if event.already_absent:
        return "absent"
    return "settled" if event.settled else "done"


def _error_type(status: int | None, kind: str) -> str:
    """Return a failure's `error.type`: the HTTP status if it is an error, else the kind."""
    return kind if status is None or status < 400 else str(status)


def _address(base_url: URL) -> Attributes:
    return {
        "server.address": base_url.host or "",
        "server.port": base_url.port or 0,
        "url.scheme": base_url.scheme,
    }


def _route(route: Route) -> Attributes:
    return {"http.request.method": route.method, "url.template": route.template}


def _ids(operation: Operation[Any]) -> Attributes:
    """Return ids as attributes: `device_id` becomes `enapter.device.id`."""
    ids: Mapping[str, str] = ids_of(operation)
    return {f"enapter.{name.removesuffix('_id')}.id": value for name, value in ids.items()}
