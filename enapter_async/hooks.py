"""The events that a client reports to its hooks: frozen records of each call, and `Hook`.

The events of one call are reported in the task that made it, in order: `CallStarted`; for each
attempt `AttemptStarted`, then `AttemptPassed` or `AttemptFailed`; between attempts, `Waited` and
`Waiting`; a `ReadBack` if an uncertain attempt had to be settled; and `CallEnded`. If the caller's
cancellation cuts an attempt short, there is no event for the attempt's end.
"""

from typing import Any, Protocol

import attrs
from yarl import URL

from enapter_async.errors import Attempt, EnapterError
from enapter_async.operation import Operation


@attrs.frozen(kw_only=True)
class _OfCall:
    """An event of a call, whose number is unique within the process."""

    call: int
    operation: Operation[Any]


@attrs.frozen(kw_only=True)
class CallStarted(_OfCall):
    """A call starts.

    `call` is its number, which is unique within the process and the same in all events of the
    call; `base_url` is the address of the API, without `/v3`.
    """

    base_url: URL


@attrs.frozen(kw_only=True)
class Waited(_OfCall):
    """The call was held back for `seconds`; reported when the wait is over.

    `reason` is "turn" (another write to the same device was in flight), "gate" (the client's
    limiter) or "pace" (an outage that a fleet job waits out). For "gate", `pace` describes what
    the limiter allows now and why, such as "47/s, the server refused 20 of the last 900".
    """

    seconds: float
    reason: str
    pace: str = ""


@attrs.frozen(kw_only=True)
class AttemptStarted(_OfCall):
    """An attempt starts, after the limiter let it through; `number` counts from 1."""

    number: int


@attrs.frozen(kw_only=True)
class AttemptPassed(_OfCall):
    """The attempt received a successful answer with HTTP `status`, after `elapsed` seconds.

    `request_id` is the server's identifier of the request, if it sent one.
    """

    number: int
    status: int
    elapsed: float
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class AttemptFailed(_OfCall):
    """An attempt received no usable answer."""

    attempt: Attempt


@attrs.frozen(kw_only=True)
class Waiting(_OfCall):
    """The call waits `seconds` before its next attempt.

    `reason` is "backoff", "retry-after" (requested by the server) or "settle" (a read is about
    to determine the outcome of an uncertain attempt; `seconds` is 0).
    """

    seconds: float
    reason: str


@attrs.frozen(kw_only=True)
class ReadBack(_OfCall):
    """A read meant to settle an uncertain attempt finished; it took `elapsed` seconds.

    `reading` is the operation that was sent; `status` the HTTP status, if one arrived;
    `error_type` the name of the error, if any. `CallEnded` reports the result of the settling.
    """

    reading: Operation[Any]
    elapsed: float
    status: int | None = None
    error_type: str | None = None


@attrs.frozen(kw_only=True)
class CallEnded(_OfCall):
    """A call ended, successfully if `error` is None. The event never carries a result.

    `attempts` are the failed ones; `elapsed` is in seconds. `settled` means that a read showed
    an uncertain attempt to have been done; `already_absent` that a deletion found the device
    gone after one of its own attempts was uncertain; `cancelled` that the caller gave up, so
    nothing is known about an attempt in flight.
    """

    elapsed: float
    attempts: tuple[Attempt, ...] = ()
    error: EnapterError | None = None
    settled: bool = False
    already_absent: bool = False
    cancelled: bool = False


Event = (
    CallStarted
    | Waited
    | AttemptStarted
    | AttemptPassed
    | AttemptFailed
    | Waiting
    | ReadBack
    | CallEnded
)


class Hook(Protocol):
    """A callable that takes an event. It runs on the event loop, so it should return quickly.

    If a hook raises, the exception is logged and the call is not affected.
    """

    def __call__(self, event: Event, /) -> None:
        """Handle one event."""
