"""Why a run starts nothing more: everybody asks it, anybody may say so."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from enapter_async.errors import AuthenticationError, EnapterError, ProxyError, TLSError
from enapter_async.fleet.errors import (
    CredentialsNotKeptError,
    JournalError,
    NoRoomError,
    NotStartedError,
)
from enapter_async.fleet.outcomes import Outcome

HARD_STOPS: Final = (
    AuthenticationError,
    TLSError,
    ProxyError,
    CredentialsNotKeptError,
    NoRoomError,
    JournalError,
)
"""One of these ends a run, whatever its abort criteria are."""


class StopSignal:
    """Whether a run stops, why, and by which error. `then` is called once, when it first does."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self._called = asyncio.Event()
        self.reason = ""
        self.error: EnapterError | None = None
        self.broken: Exception | None = None

    def __bool__(self) -> bool:
        """Whether nothing more may start."""
        return bool(self.reason)

    def because(self, reason: str) -> None:
        """Stop for a reason in words; the first one stands."""
        if not self.reason:
            self.reason = reason
            self._called.set()
            self._then()

    def by(self, error: EnapterError) -> None:
        """Stop by an error, which the report shall tell; the first one stands."""
        if self.error is None:
            self.error = error
            self.because(f"the run was stopped by {type(error).__name__}")

    def by_break(self, error: Exception, reason: str) -> None:
        """Stop by an error that is none of ours, which the iteration shall raise."""
        if self.broken is None:
            self.broken = error
        self.because(reason)

    def raise_broken(self) -> None:
        """Raise what broke the run, once."""
        broken, self.broken = self.broken, None
        if broken is not None:
            raise broken

    async def unless(self, waiting: Awaitable[Any]) -> None:
        """Wait for something, but not longer than until the run stops; its error comes out."""
        task = asyncio.ensure_future(waiting)
        called = asyncio.ensure_future(self._called.wait())
        try:
            await asyncio.wait((task, called), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            task.cancel()
            called.cancel()
            await asyncio.gather(task, called, return_exceptions=True)


def stop_error(outcome: Outcome[Any]) -> EnapterError | None:
    """Return the error in an outcome after which nothing more may start, or None."""
    error: BaseException | None = outcome.error
    if error is None:
        return None
    if isinstance(error, NotStartedError):
        error = error.because
    elif not isinstance(error, HARD_STOPS):
        error = error.__cause__
    return error if isinstance(error, HARD_STOPS) else None
