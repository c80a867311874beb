"""Follows an operation that the API has accepted but not finished, until it ends."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Self

import attrs

from enapter_async._http.call import differing
from enapter_async.clock import Clock
from enapter_async.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    ConfigurationError,
    EnapterError,
    NotFoundError,
    PermissionDeniedError,
    ProxyError,
    StillPendingError,
    TLSError,
)
from enapter_async.operation import Operation, described

WAIT: Final = 60.0
"""How many seconds an operation is followed by default."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
_HOPELESS: Final = (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ProxyError,
    TLSError,
)
"""Errors after which reading again would not help."""


@attrs.frozen
class Following:
    """How long operations are followed: at most `wait` seconds each, and until `stopped()`."""

    wait: float = WAIT
    clock: Clock = Clock()
    stopped: Callable[[], bool] = bool

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to sleep before each read: 0.5, doubled up to 10, then no more."""
        end = self.clock.monotonic() + self.wait
        pause = FIRST_PAUSE
        while not self.stopped() and (left := end - self.clock.monotonic()) > 0:
            yield min(pause, left)
            pause = min(2 * pause, LONGEST_PAUSE)


class FollowUp:
    """Reads the progress of one accepted operation.

    `reading` is the next read, or None once the operation has ended; `result` the last value that
    was read; `problem` the error of the last read, if it failed.
    """

    __slots__ = ("operation", "problem", "reading", "result")

    def __init__(
        self, operation: Operation[Any], reading: Operation[Any] | None, result: Any = None
    ) -> None:
        self.operation = operation
        self.reading = reading
        self.result = result
        self.problem: EnapterError | None = None

    @classmethod
    def after(cls, operation: Operation[Any], result: Any) -> Self:
        """Return the follow-up of an operation that had this result."""
        return cls(operation, operation.follow(result), operation.first_state(result))

    async def run(
        self, read: Callable[[Operation[Any]], Awaitable[Any]], following: Following
    ) -> None:
        """Read until the operation has ended or the wait is over; repeat a failed read."""
        pauses = following.pauses()
        while self.reading is not None and (pause := next(pauses, None)) is not None:
            await following.clock.sleep(pause)
            try:
                self.result = await read(self.reading)
            except EnapterError as error:
                self.problem = error
                if isinstance(error, _HOPELESS):
                    return
            else:
                self.problem = None
                self.reading = self.operation.follow(self.result)

    def error(self, reason: str = "") -> EnapterError | None:
        """Return the operation's error so far, or None if it succeeded.

        `reason` says why it is not followed to its end, unless the wait is over.
        """
        operation, result = self.operation, self.result
        if self.reading is None:
            why = operation.fault(result) or operation.differs(result)
            return differing(operation, why, result) if why else None
        problem, target = self.problem, operation.target()
        name = described(operation)
        error: AmbiguousOutcomeError | StillPendingError
        if isinstance(problem, NotFoundError) and problem.from_api:
            error = AmbiguousOutcomeError(
                f"{name} was accepted, but the API no longer knows it",
                noun=target.noun,
                subject=target.name,
                hint=f"Check the {target.word} before you send it again.",
            )
        else:
            told = f": {reason}" if reason else " in the given time"
            told = f"{told}; the last read failed: {problem}" if problem is not None else told
            error = StillPendingError(
                f"{name} was accepted, but did not end{told}",
                noun=target.noun,
                subject=target.name,
            )
        error.__cause__ = problem
        return error
