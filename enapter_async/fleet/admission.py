"""Admits operations to a run in order of arrival, and holds all of them back during an obstacle."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from enapter_async.clock import Clock
from enapter_async.errors import (
    Attempt,
    Certainty,
    DeadlineExceededError,
    EnapterError,
    HostDownError,
    RateLimitedError,
    TransportError,
)
from enapter_async.fleet.obstacles import Obstacles
from enapter_async.fleet.waits import Reason, Wait
from enapter_async.limits.wake_up import WakeUp
from enapter_async.operation import Operation, Repeat

TOLD_FROM: Final = 0.5
"""Waits shorter than this many seconds are not reported."""


class Admission:
    """Admits operations to a run: `enter` waits until one more operation may start.

    While the host is down, the first waiting operation that is safe to send twice is sent as the
    probe; if all are once-only, `connect` opens a bare connection instead, and raises
    TransportError if that fails. `on_overdue` is called once if no request got through for too
    long. `on_wait` is called each time the run starts to wait for a different reason, and with None
    when the run continues.
    """

    def __init__(
        self,
        obstacles: Obstacles,
        clock: Clock,
        *,
        connect: Callable[[], Awaitable[None]],
        on_overdue: Callable[[EnapterError], None],
        on_wait: Callable[[Wait | None], None],
    ) -> None:
        self._obstacles = obstacles
        self._clock = clock
        self._connect = connect
        self._on_overdue = on_overdue
        self._on_wait = on_wait
        self.again: deque[_Place] = deque()
        """Operations in flight that wait for their next attempt."""
        self.new: deque[_Place] = deque()
        """Operations that wait for their first attempt."""
        self._wake_up = WakeUp(clock, self.turn)
        self._probe: asyncio.Task[None] | None = None
        self.told: Reason | None = None
        """The reason for the current wait, if it was reported."""
        self._released = asyncio.Event()

    def try_enter(self, operation: Operation[Any]) -> "Admitted | None":
        """Admit an operation immediately if nothing blocks it: the fast path of `enter`."""
        obstacles = self._obstacles
        if self.new or not obstacles.clear:
            return None
        # Without an obstacle, `begin` has nothing to record.
        return Admitted(self, obstacles, operation, obstacles.breaker.epoch)

    async def enter(self, operation: Operation[Any]) -> "Admitted":
        """Wait until one more operation may start.

        After `release_all`, every operation is admitted at once.
        """
        admitted = self.try_enter(operation)
        if admitted is not None:
            return admitted
        if not self.new and (self._released.is_set() or self._obstacles.to_begin() is None):
            epoch = self._obstacles.begin()
        else:
            epoch = await self._stand(self.new, operation)
        return Admitted(self, self._obstacles, operation, epoch)

    async def repeat(self, operation: Operation[Any], *, retry: bool) -> int:
        """Wait until an operation in flight may send again; return the epoch of that attempt."""
        if not self.again and (self._released.is_set() or self._obstacles.to_repeat() is None):
            return self._obstacles.repeat(retry=retry)
        return await self._stand(self.again, operation, retry=retry)

    async def rest(self, seconds: float) -> None:
        """Make one operation wait, independently of the others, at most until `release_all`."""
        resting = asyncio.ensure_future(self._clock.sleep(seconds))
        released = asyncio.ensure_future(self._released.wait())
        try:
            await asyncio.wait((resting, released), return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            released.cancel()
            await asyncio.gather(resting, released, return_exceptions=True)

    def release_all(self) -> None:
        """Stop holding operations back: the run is ending, and waiters must check its state."""
        self._released.set()
        self.turn()

    def turn(self) -> None:
        """Admit every operation that may start now, and schedule the next check for the rest."""
        overdue = None if self._released.is_set() else self._obstacles.overdue()
        if overdue is not None:
            self._released.set()
            self._on_overdue(overdue)
        while self.again or self.new:
            wait = None if self._released.is_set() else self._blocked()
            if wait is None:
                self._let_through(self.again or self.new)
            elif self._obstacles.breaker.probe_due:
                self._send_probe()
            else:
                self._tell(wait)
                self._sleep_until(wait.until)
                return
        self._tell(self._obstacles.to_begin())

    async def close(self) -> None:
        """Cancel the timer and the bare probe."""
        await self._wake_up.close()
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)

    def _blocked(self) -> Wait | None:
        return self._obstacles.to_repeat() if self.again else self._obstacles.to_begin()

    async def _stand(
        self, line: "deque[_Place]", operation: Operation[Any], *, retry: bool = False
    ) -> int:
        place = _Place(operation, asyncio.get_running_loop().create_future(), retry)
        line.append(place)
        self.turn()
        try:
            return await place.epoch
        except asyncio.CancelledError:
            if place in line:
                line.remove(place)
            elif place.probe and not place.epoch.cancelled():
                self._obstacles.end_probe(place.epoch.result())
            self.turn()
            raise

    def _let_through(self, line: "deque[_Place]", place: "_Place | None" = None) -> None:
        probe = place is not None
        if place is None:
            place = line.popleft()
        else:
            line.remove(place)
        if not place.epoch.done():
            place.probe = probe
            if line is self.new:
                epoch = self._obstacles.begin(probe=probe)
            else:
                epoch = self._obstacles.repeat(probe=probe, retry=place.retry)
            place.epoch.set_result(epoch)

    def _send_probe(self) -> None:
        """Admit the first operation that is safe to send twice; if none is, probe over TCP."""
        for line in (self.again, self.new):
            for place in line:
                if place.operation.repeat is not Repeat.ONCE and not place.epoch.done():
                    self._let_through(line, place)
                    return
        self._obstacles.breaker.probe()
        self._probe = asyncio.get_running_loop().create_task(self._probe_bare())

    async def _probe_bare(self) -> None:
        try:
            await self._connect()
        except TransportError as error:
            self._obstacles.not_connected(str(error))
        else:
            self._obstacles.connected()
        self.turn()

    def _sleep_until(self, until: float | None) -> None:
        if until is None:
            return  # `turn` will be called when an attempt ends
        gives_up_at = self._obstacles.gives_up_at
        self._wake_up.at(until if gives_up_at is None else min(until, gives_up_at))

    def _tell(self, wait: Wait | None) -> None:
        if wait is not None and wait.until is not None:
            short = wait.until - self._clock.monotonic() < TOLD_FROM
            if short and wait.reason is not self.told:
                return
        reason = None if wait is None else wait.reason
        if reason is not self.told:
            self.told = reason
            self._on_wait(wait)


@attrs.define(eq=False)
class _Place:
    operation: Operation[Any]
    epoch: "asyncio.Future[int]"
    retry: bool
    probe: bool = False


class Admitted:
    """The admission of one operation, which also records the results of its attempts.

    It is the `AttemptObserver` of the operation's calls. The first attempt starts immediately;
    later attempts wait while the host is down.
    """

    __slots__ = ("_admission", "_epoch", "_obstacles", "_operation", "_retry", "granted")

    def __init__(
        self, admission: Admission, obstacles: Obstacles, operation: Operation[Any], epoch: int
    ) -> None:
        self._admission = admission
        self._obstacles = obstacles
        self._operation = operation
        self._epoch = epoch
        self.granted = True
        """Whether an attempt may start or is in flight; if it still is at the end, call `leave`."""
        self._retry = False

    def may_begin(self) -> bool:
        """Return whether an attempt may start immediately; False if the host went down."""
        return self.granted and self._epoch == self._obstacles.breaker.epoch

    async def begin(self) -> None:
        """Wait until another attempt may start."""
        self._epoch = await self._admission.repeat(self._operation, retry=self._retry)
        self.granted = True
        self._retry = False

    def passed(self) -> None:
        """Record that an attempt received a good response."""
        self.granted = self._retry = False
        admission = self._admission
        self._obstacles.passed(self._epoch)
        if admission.again or admission.new or admission.told:
            admission.turn()

    def failed(self, attempt: Attempt) -> None:
        """Record that an attempt failed."""
        self.granted = False
        self._retry = self._obstacles.failed(self._epoch, attempt)
        self._admission.turn()

    async def kept_out(self, error: EnapterError) -> bool:
        """Return whether an operation failed with this error only because of the host.

        If so, nothing was done, and the operation should be carried out again once the obstacle is
        gone.
        """
        if isinstance(error, RateLimitedError):
            asked = error.retry_after or 0.0
            if self._obstacles.asked_to_wait(asked):
                await self._admission.rest(asked)
                return True
            self._admission.turn()
            return self._obstacles.overdue() is not None
        if _refused(error):
            return True
        if isinstance(error, HostDownError) or _never_sent(error):
            self._obstacles.unreachable(error)
            self._admission.turn()
            return True
        return False

    def leave(self) -> None:
        """Record that the operation finished without the end of an attempt."""
        admission = self._admission
        if self._obstacles.breaker.opened_at is not None:
            self._obstacles.end_probe(self._epoch)
        if admission.again or admission.new or admission.told:
            admission.turn()


def _refused(error: EnapterError) -> bool:
    """Return whether the deadline passed while the server refused every request it received."""
    ends = {each.certainty for each in error.attempts}
    return (
        isinstance(error, DeadlineExceededError)
        and Certainty.REFUSED in ends
        and ends <= {Certainty.REFUSED, Certainty.NOT_SENT}
    )


def _never_sent(error: EnapterError) -> bool:
    """Return whether the deadline passed without any attempt getting a connection."""
    return (
        isinstance(error, DeadlineExceededError)
        and bool(error.attempts)
        and all(each.certainty is Certainty.NOT_SENT for each in error.attempts)
    )
