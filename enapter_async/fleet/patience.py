"""Reads that wait as long as their run would: an unavailable server must not end a job."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import attrs

from enapter_async._http.call import CallRecord
from enapter_async.clock import Clock
from enapter_async.errors import (
    APIError,
    DeadlineExceededError,
    EnapterError,
    HostDownError,
    RateLimitedError,
)
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.reading import Caller
from enapter_async.fleet.waits import Reason, Wait, minutes
from enapter_async.operation import Operation

T = TypeVar("T")
ThingT = TypeVar("ThingT")

AT_ONCE: Final = 8
"""How many things are read at the same time."""
AWAY: Final = (502, 503, 504)
"""Statuses with which a proxy answers for a server that is unavailable."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds until a read is tried again: doubled each time, and random."""


@attrs.define
class PatientReads:
    """Reads with a client, and waits at most `max_pause` seconds while the server is unavailable.

    A run reads devices before and after each wave. Such a read ends like any call after its
    attempts or its deadline, which is far sooner than the run gives up on its operations; so it
    is repeated, provided that it failed because of the server and not because of its object.
    `on_wait` receives the wait, and None once a read has got through.
    """

    _client: Caller
    _clock: Clock
    _max_pause: float
    _on_wait: Callable[[Wait | None], None]
    _since: float | None = attrs.field(init=False, default=None)
    """Since when nothing has got through; None if the last read did."""

    async def call(self, operation: Operation[T], *, record: CallRecord, patient: bool = True) -> T:
        """Carry out a read.

        Raises:
            PausedTooLongError: nothing got through for `max_pause` seconds.
            EnapterError: as the client raises it.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                result = await self._client.call(operation, record=record, patient=patient)
            except EnapterError as error:
                if not is_away(error):
                    self._through()
                    raise
                seconds = self._clock.uniform(pause / 2, pause)
                await self._rest(error, max(seconds, getattr(error, "retry_after", None) or 0.0))
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._through()
                return result

    async def _rest(self, error: EnapterError, seconds: float) -> None:
        now = self._clock.monotonic()
        first = self._since is None
        since = self._since = now if self._since is None else self._since
        if now + seconds - since > self._max_pause:
            raise PausedTooLongError(
                f"nothing got through for {minutes(self._max_pause)}: {_why(error)}"
            ) from error
        if first:
            refused = isinstance(error, RateLimitedError)
            reason = Reason.THROTTLED if refused else Reason.HOST_DOWN
            self._on_wait(Wait(reason=reason, since=now, detail=_why(error)))
        await self._clock.sleep(seconds)

    def _through(self) -> None:
        if self._since is not None:
            self._since = None
            self._on_wait(None)


async def read_each(read: Callable[[ThingT], Awaitable[T]], wanted: Sequence[ThingT]) -> list[T]:
    """Read all of them, a few at a time, and return the results in order.

    Raises:
        PausedTooLongError: the server was unavailable for too long.
    """
    found: list[T] = []

    async def one(thing: ThingT) -> T:
        return await read(thing)

    for start in range(0, len(wanted), AT_ONCE):
        try:
            async with asyncio.TaskGroup() as tasks:
                some = wanted[start : start + AT_ONCE]
                reading = [tasks.create_task(one(each)) for each in some]
        except ExceptionGroup as group:
            paused = group.subgroup(PausedTooLongError)
            if paused is None:
                raise
            raise paused.exceptions[0] from None
        found += [each.result() for each in reading]
    return found


def is_away(error: EnapterError) -> bool:
    """Return whether a read failed because the server is unavailable or refuses everything."""
    if isinstance(error, APIError):
        return isinstance(error, RateLimitedError) or error.status in AWAY
    return isinstance(error, HostDownError | DeadlineExceededError)


def _why(error: EnapterError) -> str:
    """Return why a read did not get through, without any text from the server."""
    if isinstance(error, APIError):
        return f"the host responds with HTTP {error.status}"
    down = isinstance(error, HostDownError)
    return "no connection to the host" if down else "the host does not respond in time"
