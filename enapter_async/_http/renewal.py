"""A token from a function of the caller: obtained when the client opens, renewed after a 401."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from enapter_async._http.call import Call
from enapter_async._http.message import Failure
from enapter_async._http.security import check_header_value
from enapter_async._http.telling import Telling
from enapter_async._http.wire import Wire
from enapter_async.concealment import Secret
from enapter_async.errors import ConfigurationError, DeadlineExceededError, EnapterError

TokenFunction = Callable[[], str | Awaitable[str]]
"""Returns the token to use, or an awaitable of it."""

_RETURNED: Final = "the token function's result"


class AskedToken(Secret):
    """The token that a function last returned; calls that need a new one share one request."""

    __slots__ = ("_ask", "_asking", "_changed")

    def __init__(self, ask: TokenFunction) -> None:
        super().__init__("")
        self._ask = ask
        self._asking: asyncio.Task[str] | None = None
        self._changed: Callable[[str], None] | None = None

    def reveal(self) -> str:
        """Return the token in force.

        Raises:
            ConfigurationError: The function was not called yet.
        """
        if not self._text:
            raise ConfigurationError("the token is unknown before the client is opened")
        return self._text

    async def obtain(self) -> None:
        """Ask for the first token.

        Raises:
            ConfigurationError: The function failed, or returned no valid token.
        """
        fault = await self._obtain()
        if fault:
            raise ConfigurationError(fault)

    def follow(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with each new token from now on."""
        self._changed = changed

    def stop(self) -> None:
        """Stop asking for tokens; calls that wait for one fail with their 401."""
        if self._asking is not None:
            self._asking.cancel()

    async def renew(self, seconds: float) -> EnapterError | None:
        """Request another token, or join a pending request; return an error message, or ""."""
        asking = self._asking
        if asking is None:
            asking = self._asking = asyncio.create_task(self._obtain())
            asking.add_done_callback(self._asked)
        # If this call is cancelled, the task continues for the other calls.
        await asyncio.wait((asking,), timeout=max(0.0, seconds))
        if not asking.done():
            return DeadlineExceededError("out of time: the token function did not return")
        fault = "" if asking.cancelled() else asking.result()
        return ConfigurationError(fault) if fault else None

    def _asked(self, _: "asyncio.Task[str]") -> None:
        self._asking = None

    async def _obtain(self) -> str:
        """Call the function and keep its token; return an error message, or "" if there is none.

        The function's own error is not passed on, because its text and frames may hold a token.
        """
        try:
            token = self._ask()
            if inspect.isawaitable(token):
                token = await token
        except Exception as error:  # noqa: BLE001 - it is the caller's function, which may raise anything
            return (
                f"the token function failed with {type(error).__name__}; call it directly to "
                f"see why"
            )
        try:
            check_header_value(_RETURNED, token)
        except ConfigurationError as error:
            return str(error)
        if token != self._text:
            self._text = token
            if self._changed is not None:
                self._changed(token)
        return ""


@attrs.frozen(kw_only=True)
class Renewing(Telling):
    """Handles a 401 for a pipeline; `token` is None unless a function returns it."""

    wire: Wire
    token: AskedToken | None = None

    async def _renewed(self, call: Call, refused: Failure, sent_with: int) -> Failure:
        """Return a 401 as a failure that may be retried if there is a new token.

        `sent_with` is the wire's number of renewals when the attempt began. A second 401 in one
        call is final, whatever token the function would return.
        """
        token = self.token
        if token is None or sum(each.status == 401 for each in call.record.attempts) > 1:
            return refused
        if self.wire.renewals == sent_with:
            left = call.end - self.clock.monotonic()
            error = await token.renew(left - call.reserve(left))
            if error is not None:
                error.__cause__ = refused.error  # a job stops at this error as at the 401 itself
                return attrs.evolve(refused, error=error)
        if self.wire.renewals == sent_with:
            return refused
        call.delay = 0.0
        return attrs.evolve(refused, retries=None)
