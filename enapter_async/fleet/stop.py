"""The stop signal of a run: any part of a run can set it, and all parts check it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from enapter_async.errors import AuthenticationError, EnapterError, ProxyError, TLSError
from enapter_async.fleet.errors import (
    CredentialsNotKeptError,
    ForeignCancellationError,
    JournalError,
    NoRoomError,
    NotStartedError,
)
from enapter_async.fleet.outcomes import Outcome

STOPPED_BY: Final = "the run was stopped by "
HARD_STOPS: Final = (
    AuthenticationError,
    TLSError,
    ProxyError,
    CredentialsNotKeptError,
    NoRoomError,
    JournalError,
)
"""Each of these stops a run, whatever its abort criteria are."""


class StopSignal:
    """Holds whether a run stops, why, and by which error. `then` is called at the first stop."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self._called = asyncio.Event()
        self.reason = ""
        self.error: EnapterError | None = None
        self.broken: BaseException | None = None

    def __bool__(self) -> bool:
        """Whether nothing more may start."""
        return bool(self.reason)

    def because(self, reason: str) -> None:
        """Stop for a reason given as text; only the first reason is kept."""
        if not self.reason:
            self.reason = reason
            self._called.set()
            self._then()

    def by(self, error: EnapterError) -> None:
        """Stop because of an error, which the report includes; only the first error is kept."""
        if self.error is None:
            self.error = error
            self.because(f"{STOPPED_BY}{type(error).__name__}")

    def by_break(self, error: BaseException, reason: str = "") -> None:
        """Stop because of an error from outside this package; the iteration raises it.

        An error that would mislead the caller, such as a cancellation or a `StopIteration`,
        is raised as the cause of another error.
        """
        if self.broken is None:
            self.broken = error
            if isinstance(error, asyncio.CancelledError):
                self.broken = ForeignCancellationError(
                    "the run was stopped by a foreign cancellation: a hook, a sink, a guard or the "
                    "input raised CancelledError, or a task of the run was cancelled"
                )
            elif isinstance(error, StopIteration | StopAsyncIteration):
                self.broken = RuntimeError(f"{type(error).__name__} was raised into the run")
            if self.broken is not error:
                self.broken.__cause__ = error
        self.because(reason or f"{STOPPED_BY}{type(error).__name__}")

    async def by_break_of(self, part: Callable[[], Awaitable[None]], reason: str = "") -> None:
        """Wait for a part of the run; an error in it stops the run instead of being raised.

        A cancellation ends the part, and is ignored if the run has already stopped.
        """
        try:
            await part()
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - raised by the iteration
            if not (self and isinstance(error, asyncio.CancelledError)):
                self.by_break(error, reason)

    def raise_broken(self) -> None:
        """Raise the error that broke the run, once."""
        broken, self.broken = self.broken, None
        if broken is not None:
            raise broken

    async def unless(self, wait: Callable[[], Awaitable[Any]]) -> None:
        """Await `wait()`, at most until the run stops, and raise its errors.

        `wait` is not called if the run stops at the same moment.
        """
        task = asyncio.ensure_future(_exit_of(wait))
        called = asyncio.ensure_future(self._called.wait())
        try:
            await asyncio.wait((task, called), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and (exit_ := await task) is not None:
                raise exit_
        finally:
            task.cancel()
            called.cancel()
            await asyncio.gather(task, called, return_exceptions=True)


async def _exit_of(wait: Callable[[], Awaitable[Any]]) -> KeyboardInterrupt | SystemExit | None:
    """Return an exception that would end the event loop if a task raised it."""
    try:
        await wait()
    except (KeyboardInterrupt, SystemExit) as error:
        return error
    return None


def stop_error(outcome: Outcome[Any]) -> EnapterError | None:
    """Return the error in an outcome that must stop the run, or None."""
    error: BaseException | None = outcome.error
    if error is None:
        return None
    if isinstance(error, NotStartedError):
        error = error.because
    elif not isinstance(error, HARD_STOPS):
        error = error.__cause__
    return error if isinstance(error, HARD_STOPS) else None
