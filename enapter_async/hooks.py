"""What a client tells those who listen: frozen records of each call, and the Hook protocol.

All records of one call are told in the task that made it, in order: `CallStarted`; for each
attempt `AttemptStarted`, then `AttemptPassed` or `AttemptFailed`; between them `Waited` and
`Waiting`; a `ReadBack` where an uncertain attempt had to be settled; `CallEnded`. An attempt
that the caller's cancellation cut short has no end of its own.
"""

from typing import Any, Protocol

import attrs
from yarl import URL

from enapter_async.errors import Attempt, EnapterError
from enapter_async.operation import Operation


@attrs.frozen(kw_only=True)
class CallStarted:
    """A call begins.

    `call` is its number, the same in all records of it and in no other call's of this
    process; `base_url` says where the API is, without `/v3`.
    """

    call: int
    operation: Operation[Any]
    base_url: URL


@attrs.frozen(kw_only=True)
class Waited:
    """The call was held back for `seconds`; told when that is over.

    `reason` is "turn" (another write to the same device was under way), "gate" (the client's
    limits, or its pause after a 429) or "pace" (the fleet job's own).
    """

    call: int
    operation: Operation[Any]
    seconds: float
    reason: str


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """An attempt begins, past the gate; `number` counts from 1."""

    call: int
    operation: Operation[Any]
    number: int


@attrs.frozen(kw_only=True)
class AttemptPassed:
    """The attempt brought a good answer of HTTP `status`, `elapsed` seconds after it began."""

    call: int
    operation: Operation[Any]
    number: int
    status: int
    elapsed: float


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
class ReadBack:
    """A read that was to settle an uncertain attempt has ended, `elapsed` seconds after it began.

    `reading` is what was sent; `status` the HTTP status, if one arrived; `error_type` names
    what went wrong, if something did. What the read showed is told by `CallEnded`.
    """

    call: int
    operation: Operation[Any]
    reading: Operation[Any]
    elapsed: float
    status: int | None = None
    error_type: str | None = None


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
    """Anything that takes an event: called on the event loop, so it should be quick.

    A hook that raises is logged and does not hurt the call.
    """

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
