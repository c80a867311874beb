"""The policy for retries and their delays, and the tenacity loop that applies it.

A tenacity object holds the state of its loop. It is therefore never shared: each call whose first
attempt failed creates its own.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeVar

import attrs
import tenacity

from enapter_async._http.message import Failure
from enapter_async.errors import (
    Certainty,
    ConfigurationError,
    DeadlineExceededError,
    HostDownError,
    check_number,
)
from enapter_async.limits.limiter import Limiter, Permit
from enapter_async.operation import Repeat, Settles

T = TypeVar("T")

SETTLE_SHARE: Final = 0.2
_NEVER: Final = Settles.NEVER
"""Looked up once: finding a member of an enumeration is slow, and every call needs it."""
SETTLE_SECONDS: Final = 5.0
_AMPLE: Final = SETTLE_SECONDS / SETTLE_SHARE


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How persistently a call is attempted; all times are seconds.

    `attempts` includes the first one, so 1 disables retries (an uncertain outcome is still
    settled by reading back). Between two attempts a call sleeps a random time of up to
    `base_delay`, doubled with each failure (twice `base_delay` after a refusal), at most
    `max_delay`. A Retry-After is a lower bound; if it is above `max_retry_after`, the call ends. A
    refusal for too many requests (429, or 503 with Retry-After) does not count as an attempt unless
    `attempts` is 1: the limiter decides when the next may start, within the deadline. `deadline`
    limits the whole call. `on_ambiguous="regenerate"` repeats once-only operations after an
    uncertain attempt: earlier credentials may then exist, or be revoked.
    """

    attempts: int = 4
    base_delay: float = 0.5
    max_delay: float = 20.0
    deadline: float = 60.0
    max_retry_after: float = 120.0
    on_ambiguous: Literal["raise", "regenerate"] = "raise"

    def __attrs_post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise ConfigurationError(
                f"RetryPolicy.attempts is {self.attempts!r}; it must be a whole number"
            )
        if self.attempts < 1:
            raise ConfigurationError(
                f"RetryPolicy.attempts is {self.attempts}; it must be at least 1"
            )
        for name in ("base_delay", "max_delay", "max_retry_after"):
            check_number(f"RetryPolicy.{name}", getattr(self, name))
        check_number("RetryPolicy.deadline", self.deadline, above=True)
        if self.on_ambiguous not in ("raise", "regenerate"):
            raise ConfigurationError(
                f"RetryPolicy.on_ambiguous is {self.on_ambiguous!r}; "
                "it must be 'raise' or 'regenerate'"
            )


def may_repeat(policy: RetryPolicy, repeat: Repeat, failure: Failure) -> bool:
    """Return whether an operation may be repeated after this failure, apart from time and count."""
    if failure.retries == 0:
        return False
    if failure.retry_after is not None and failure.retry_after > policy.max_retry_after:
        return False
    if repeat is Repeat.READ or not failure.certainty.uncertain:
        return True
    if repeat is Repeat.ONCE:
        return policy.on_ambiguous == "regenerate"
    return failure.certainty is Certainty.MAYBE


def is_refusal(failure: Failure) -> bool:
    """Return whether the server refused an attempt temporarily, for too many requests."""
    return failure.certainty is Certainty.REFUSED and (
        failure.status == 429 or (failure.status == 503 and failure.retry_after is not None)
    )


def end_permit(limiter: Limiter, permit: Permit, ended: Failure) -> Failure:
    """End the permit of an attempt according to how it failed; return the failure."""
    if is_refusal(ended):
        limiter.refused(permit, ended.retry_after)
    elif isinstance(ended.error, HostDownError):
        limiter.lost(permit, unreachable=True)
    elif ended.timed_out:
        limiter.lost(permit)
    elif ended.status is None:
        limiter.dropped(permit)
    else:
        limiter.passed(permit)
    return ended


def out_of_time(last: Failure, refusals: int) -> Failure:
    """Return a call's failure at the deadline: `DeadlineExceededError` if it was only refused."""
    if not is_refusal(last) or last.retry_after is not None:
        return last
    error = DeadlineExceededError(
        f"out of time: the server refused it {refusals} times for too many requests (HTTP "
        f"{last.status})"
    )
    return attrs.evolve(last, error=error)


def backoff(
    policy: RetryPolicy, failure: Failure, number: int, uniform: Callable[[float, float], float]
) -> float:
    """Return the seconds to sleep after the failed attempt `number`, counted from 1.

    Full jitter keeps many callers from returning at once. A Retry-After is a lower bound, to which
    jitter is added. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    if failure.retry_after is not None:
        return failure.retry_after + uniform(0.0, min(5.0, 0.25 * failure.retry_after + 0.5))
    refused = failure.certainty is Certainty.REFUSED
    base = policy.base_delay * 2 if refused else policy.base_delay
    return uniform(0.0, min(policy.max_delay, base * 2.0 ** min(number - 1, 60)))


def settle_reserve(settles: Settles, left: float) -> float:
    """Return how many of the remaining seconds are reserved for reading back."""
    if settles is _NEVER:
        return 0.0
    return left * SETTLE_SHARE if left < _AMPLE else SETTLE_SECONDS


class _Again(Exception):  # noqa: N818 - a signal between `drive` and tenacity
    """Signals tenacity's loop that an attempt failed and may be repeated; never leaves `drive`."""


async def drive(
    first: Failure,
    attempt: Callable[[], Awaitable[T | Failure]],
    *,
    attempts: int,
    uncounted: Callable[[], int],
    may_repeat: Callable[[Failure], bool],
    delay: Callable[[], float],
    time_left: Callable[[], float],
    sleep: Callable[[float, Failure], Awaitable[None]],
) -> T | Failure:
    """Continue after a `first` failure until an attempt succeeds or the policy ends the call.

    The first failure counts as attempt 1; `uncounted` attempts do not count, unless `attempts`
    is 1. Return the value, or the last failure; a sleep that would exceed the remaining time is
    not started.
    """
    failure: Failure | None = first
    last = first

    async def once() -> T | Failure:
        nonlocal failure, last
        ended: T | Failure = await attempt() if failure is None else failure
        failure = None
        if isinstance(ended, Failure):
            last = ended
            if may_repeat(ended):
                raise _Again
        return ended

    def stop(state: tenacity.RetryCallState) -> bool:
        done = state.attempt_number - (uncounted() if attempts > 1 else 0)
        allowed = attempts if last.retries is None else min(attempts, last.retries + 1)
        return done >= allowed or state.upcoming_sleep >= time_left()

    async def pause(seconds: float) -> None:
        await sleep(seconds, last)

    retrying = tenacity.AsyncRetrying(
        wait=lambda _: delay(),
        stop=stop,
        sleep=pause,
        retry=tenacity.retry_if_exception_type(_Again),
        reraise=True,
    )
    try:
        return await retrying(once)
    except _Again:
        pass
    return last
