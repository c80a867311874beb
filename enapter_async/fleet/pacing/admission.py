"""Lets operations and their attempts through as the controller says, in order of arrival."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

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
from enapter_async.fleet.pacing.controller import TOLD_FROM, Controller, Epoch, Reason, Wait
from enapter_async.operation import Operation, Repeat


class Admission:
    """The door to a run: `enter` waits until one more operation may be in flight.

    While the host is down, the first in line that does no harm when sent twice goes as the
    probe; where all are once-only, `connect` tries a bare connection instead, and raises
    TransportError if it cannot. `on_overdue` is told once when nothing got through for too
    long, `on_wait` each time that the run begins to wait for another reason, and with None
    when it goes on.
    """

    def __init__(
        self,
        controller: Controller,
        clock: Clock,
        *,
        connect: Callable[[], Awaitable[None]],
        on_overdue: Callable[[EnapterError], None],
        on_wait: Callable[[Wait | None], None],
    ) -> None:
        self._controller = controller
        self._clock = clock
        self._connect = connect
        self._on_overdue = on_overdue
        self._on_wait = on_wait
        self._again: deque[_Place] = deque()
        self._new: deque[_Place] = deque()
        self._sleeper: asyncio.Task[None] | None = None
        self._wakes_at = 0.0
        self._probe: asyncio.Task[None] | None = None
        self._told: Reason | None = None
        self._released = False
        self.lingers = False
        """Whether somebody waits, or there is something to wait for."""

    @property
    def waiting(self) -> Wait | None:
        """What the run waits for, if for more than its next turn."""
        return self._controller.pause()

    def try_enter(self, operation: Operation[Any]) -> "Permit | None":
        """Return a permit where nobody waits and nothing holds back; the quick path of `enter`."""
        epoch = None if self._new else self._controller.try_start()
        return None if epoch is None else Permit(self, self._controller, operation, epoch)

    async def enter(self, operation: Operation[Any]) -> "Permit":
        """Wait until one more operation may be in flight, and return its permit.

        Once `release_all` was called everything is let through at once.
        """
        if not self._new and (self._released or self._controller.wait_to_start() is None):
            return Permit(self, self._controller, operation, self._controller.start())
        return Permit(self, self._controller, operation, await self._stand(self._new, operation))

    async def repeat(self, operation: Operation[Any], *, retry: bool = True) -> Epoch:
        """Wait until an operation in flight may be tried again, or send what comes next."""
        if not self._again and (self._released or self._controller.wait_to_repeat() is None):
            return self._controller.repeat(retry=retry)
        return await self._stand(self._again, operation, retry=retry)

    def release_all(self) -> None:
        """Hold nobody back any more: the run ends, and who waits has to look again."""
        self._released = True
        self.turn()

    def turn(self) -> None:
        """Let through who may go now, and see to it that the rest is looked at in time."""
        if self._new and not (self._again or self._told or self._released):
            self._let_in()
            if self._new and self._controller.crowded:
                self.lingers = True
                return
        self._look()
        self.lingers = bool(self._again or self._new or self._told or self._controller.troubled)

    def _let_in(self) -> None:
        """Let new ones in while nothing at all is in their way; the quick path of `turn`."""
        while self._new:
            if self._new[0].epoch.done():
                self._new.popleft()
            elif (epoch := self._controller.try_start()) is not None:
                self._new.popleft().epoch.set_result(epoch)
            else:
                return

    def _look(self) -> None:
        overdue = None if self._released else self._controller.overdue()
        if overdue is not None:
            self._released = True
            self._on_overdue(overdue)
        while self._again or self._new:
            wait = None if self._released else self._blocked()
            if wait is None:
                self._let_through(self._again or self._new)
            elif self._controller.probe_due:
                self._send_probe()
            else:
                self._tell(wait)
                self._sleep_until(wait.until)
                return
        self._tell(self._controller.pause())

    async def close(self) -> None:
        """End the timer and the bare probe."""
        tasks = [task for task in (self._sleeper, self._probe) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _blocked(self) -> Wait | None:
        return (
            self._controller.wait_to_repeat() if self._again else self._controller.wait_to_start()
        )

    async def _stand(
        self, line: "deque[_Place]", operation: Operation[Any], *, retry: bool = False
    ) -> Epoch:
        place = _Place(operation, asyncio.get_running_loop().create_future(), retry)
        line.append(place)
        if len(line) == 1:
            # Behind others nothing new can be said: whoever is first has been looked at.
            self.turn()
        try:
            return await place.epoch
        except asyncio.CancelledError:
            if place in line:
                line.remove(place)
            elif line is self._new and not place.epoch.cancelled():
                self._controller.end(place.epoch.result())
            self.turn()
            raise

    def _let_through(self, line: "deque[_Place]", place: "_Place | None" = None) -> None:
        probe = place is not None
        if place is None:
            place = line.popleft()
        else:
            line.remove(place)
        if not place.epoch.done():
            if line is self._new:
                epoch = self._controller.start(probe=probe)
            else:
                epoch = self._controller.repeat(probe=probe, retry=place.retry)
            place.epoch.set_result(epoch)

    def _send_probe(self) -> None:
        """Let the first go that is safe to send twice, or probe over TCP where none is."""
        for line in (self._again, self._new):
            for place in line:
                if place.operation.repeat is not Repeat.ONCE and not place.epoch.done():
                    self._let_through(line, place)
                    return
        self._controller.probe_bare()
        self._probe = asyncio.get_running_loop().create_task(self._probe_bare())

    async def _probe_bare(self) -> None:
        try:
            await self._connect()
        except TransportError as error:
            self._controller.not_connected(str(error))
        else:
            self._controller.connected()
        self.turn()

    def _sleep_until(self, until: float | None) -> None:
        if until is None:
            return  # somebody's end or answer will call `turn`
        gives_up_at = self._controller.gives_up_at
        wakes_at = until if gives_up_at is None else min(until, gives_up_at)
        if self._sleeper is not None and not self._sleeper.done():
            if self._wakes_at <= wakes_at:
                return
            self._sleeper.cancel()
        self._wakes_at = wakes_at
        self._sleeper = asyncio.get_running_loop().create_task(
            self._sleep(wakes_at - self._clock.monotonic())
        )

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(max(0.0, seconds))
        self._sleeper = None
        self.turn()

    def _tell(self, wait: Wait | None) -> None:
        if wait is not None and wait.reason in (Reason.FULL, Reason.RATE):
            wait = None
        if wait is not None and wait.until is not None:
            short = wait.until - self._clock.monotonic() < TOLD_FROM
            if short and wait.reason is not self._told:
                return
        reason = None if wait is None else wait.reason
        if reason is not self._told:
            self._told = reason
            self._on_wait(wait)


@attrs.define(eq=False)
class _Place:
    operation: Operation[Any]
    epoch: "asyncio.Future[Epoch]"
    retry: bool


class Permit:
    """Lets one operation be in flight, and reports to the controller what its calls meet.

    It is the `AttemptObserver` of the operation's calls: the first attempt begins with the
    permit, each later one waits anew.
    """

    __slots__ = ("_admission", "_controller", "_epoch", "_fresh", "_operation", "_retry")

    def __init__(
        self, admission: Admission, controller: Controller, operation: Operation[Any], epoch: Epoch
    ) -> None:
        self._admission = admission
        self._controller = controller
        self._operation = operation
        self._epoch = epoch
        self._fresh = True
        self._retry = True

    def may_begin(self) -> bool:
        """Say whether an attempt may begin at once."""
        fresh, self._fresh = self._fresh, False
        return fresh

    async def begin(self) -> None:
        """Wait until another attempt may begin."""
        retry, self._retry = self._retry, True
        self._epoch = await self._admission.repeat(self._operation, retry=retry)

    def passed(self) -> None:
        """Take note that an attempt brought a good answer."""
        self._retry = False
        self._controller.passed(self._epoch)
        if self._admission.lingers:
            self._admission.turn()

    def failed(self, attempt: Attempt, *, timed_out: bool, pause: float) -> None:
        """Take note that an attempt failed; `pause` is how long the client then pauses."""
        self._controller.failed(self._epoch, attempt, timed_out=timed_out, pause=pause)
        self._admission.turn()

    def kept_out(self, error: EnapterError) -> bool:
        """Say whether an operation that failed so was kept from being done by the host alone.

        Then nothing was done and nothing is wrong with it: it is to be carried out again, after
        the pause that this makes everything take.
        """
        if isinstance(error, RateLimitedError):
            self._controller.refused_for_now(error.retry_after or 0.0)
        elif isinstance(error, HostDownError) or _never_sent(error):
            self._controller.unreachable(error)
        else:
            return False
        self._admission.turn()
        return True

    def leave(self) -> None:
        """Take note that the operation ended."""
        self._controller.end(self._epoch)
        if self._admission.lingers:
            self._admission.turn()


def _never_sent(error: EnapterError) -> bool:
    """Say whether time ran out while no attempt found a connection."""
    return (
        isinstance(error, DeadlineExceededError)
        and bool(error.attempts)
        and all(each.certainty is Certainty.NOT_SENT for each in error.attempts)
    )
