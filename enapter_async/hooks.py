"""What a client tells those who listen: frozen records of each call, and the Hook protocol."""

from typing import Any, Protocol

import attrs

from enapter_async.errors import Attempt, EnapterError
from enapter_async.operation import Operation


@attrs.frozen(kw_only=True)
class CallStarted:
    """A call begins. `call` is its number, the same in all records of it."""

    call: int
    operation: Operation[Any]


@attrs.frozen(kw_only=True)
class AttemptFailed:
    """One attempt brought no usable answer."""

    call: int
    operation: Operation[Any]
    attempt: Attempt


@attrs.frozen(kw_only=True)
class Waiting:
    """The call waits `seconds` before its next attempt.

    `reason` is "backoff", "retry-after" (the server's word) or "settle" (a read
    is about to find out what became of an uncertain attempt; `seconds` is 0).
    """

    call: int
    operation: Operation[Any]
    seconds: float
    reason: str


@attrs.frozen(kw_only=True)
class CallEnded:
    """A call ended: well where `error` is None. It never carries a result.

    `attempts` are the failed ones; `elapsed` is seconds; `settled` says that an uncertain
    attempt was found by reading to have done its work; `already_absent` that a deletion
    found the device gone after an attempt of its own was uncertain; `cancelled` that the
    caller gave up, so that nothing is known of an attempt that was under way.
    """

    call: int
    operation: Operation[Any]
    elapsed: float
    attempts: tuple[Attempt, ...] = ()
    error: EnapterError | None = None
    settled: bool = False
    already_absent: bool = False
    cancelled: bool = False


Event = CallStarted | AttemptFailed | Waiting | CallEnded


class Hook(Protocol):
    """Anything that takes an event: called on the event loop, so it should be quick.

    A hook that raises is logged and does not hurt the call.
    """

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
