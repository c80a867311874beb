"""Why a run starts nothing more: everybody asks it, anybody may say so."""

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
        self.broken: BaseException | None = None

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

    def by_break(self, error: BaseException, reason: str = "") -> None:
        """Stop by an error that is none of ours, which the iteration shall raise.

        Those that mean something else to whoever iterates, as that he is cancelled or that the
        outcomes are over, are raised as the cause of one that does not.
        """
        if self.broken is None:
            self.broken = error
            if isinstance(error, asyncio.CancelledError):
                self.broken = ForeignCancellationError(
                    "the run was stopped by a cancellation that is not its own: a hook, a sink, "
                    "a guard or the input let a CancelledError out, or a task of the run was "
                    "cancelled"
                )
            elif isinstance(error, StopIteration | StopAsyncIteration):
                self.broken = RuntimeError(f"a {type(error).__name__} was let out into the run")
            if self.broken is not error:
                self.broken.__cause__ = error
        self.because(reason or f"the run was stopped by {type(error).__name__}")

    async def by_break_of(self, part: Callable[[], Awaitable[None]], reason: str = "") -> None:
        """Wait for a part of the run; whatever it lets out stops the run, and goes no further.

        A cancellation ends the part, and stops nothing where the run has stopped already.
        """
        try:
            await part()
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - raised by the iteration
            if not (self and isinstance(error, asyncio.CancelledError)):
                self.by_break(error, reason)

    def raise_broken(self) -> None:
        """Raise what broke the run, once."""
        broken, self.broken = self.broken, None
        if broken is not None:
            raise broken

    async def unless(self, wait: Callable[[], Awaitable[Any]]) -> None:
        """Wait for something, but not longer than until the run stops; its error comes out.

        It is asked for by a call, which is not made where the run stops at the same moment.
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
    """Return what would end the event loop itself if a task let it out."""
    try:
        await wait()
    except (KeyboardInterrupt, SystemExit) as error:
        return error
    return None


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
