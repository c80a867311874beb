"""Tracks the obstacles that keep a whole run from starting more operations; performs no I/O.

The limiter decides how fast attempts may start. This module adds the obstacles of a run: a host
that is down, too many retries, and too long a time without a response.
"""

from typing import Final

from enapter_async.clock import Clock
from enapter_async.errors import Attempt, Certainty, EnapterError
from enapter_async.fleet.circuit_breaker import Breaker, RetryBudget
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.waits import Reason, Wait, minutes
from enapter_async.limits.limiter import Limiter

MAX_PAUSE: Final = 900.0
"""A run stops if nothing gets through for this many seconds."""
LATELY_S: Final = 5.0
"""Within this time after a good response, a refusal concerns only its own operation."""

NO_CONNECTION: Final = "no connection to the host"
_UNSENT: Final = {
    "ClientConnectorDNSError": "the host's name cannot be resolved",
    "ConnectionTimeoutError": "no connection to the host in time",
}


class Obstacles:
    """Decides whether more operations may start, based on the results of the run's attempts."""

    def __init__(
        self, limiter: Limiter | None, clock: Clock, *, max_pause: float = MAX_PAUSE
    ) -> None:
        self._limiter = limiter
        self._monotonic = clock.monotonic
        self._budget = RetryBudget(clock.monotonic)
        self.breaker = Breaker(clock.monotonic, clock.uniform)
        self._max_pause = max_pause
        self._down = ""
        self._last_passed: float | None = None
        self._stuck_since: float | None = None
        self._asked_too_long: float | None = None

    @property
    def clear(self) -> bool:
        """Whether there is no obstacle at all; a fast check."""
        return (
            self.breaker.opened_at is None
            and self._stuck_since is None
            and self._budget.full
            and self._asked_too_long is None
        )

    @property
    def gives_up_at(self) -> float | None:
        """The time at which the run stops if no request gets through; None if they do."""
        return None if self._stuck_since is None else self._stuck_since + self._max_pause

    def overdue(self) -> PausedTooLongError | None:
        """Return the error that stops the run if no request got through for too long, or None."""
        if self._asked_too_long is not None:
            return PausedTooLongError(
                f"the server requests a pause of {minutes(self._asked_too_long)}; the limit is "
                f"{minutes(self._max_pause)} (max_pause)"
            )
        until = self.gives_up_at
        if until is None or self._monotonic() < until:
            return None
        why = self._down if self.breaker.is_open else "the server refused everything"
        return PausedTooLongError(f"nothing got through for {minutes(self._max_pause)}: {why}")

    def to_begin(self) -> Wait | None:
        """Return how a new operation must wait, or None if it may start."""
        return self.to_repeat() or self._throttled() or self._spent()

    def to_repeat(self) -> Wait | None:
        """Return how an operation in flight must wait before its next attempt, or None."""
        breaker = self.breaker
        if breaker.opened_at is None:
            return None
        return Wait(
            reason=Reason.HOST_DOWN,
            since=breaker.opened_at,
            until=None if breaker.probing else breaker.probe_at,
            detail=self._down,
        )

    def _throttled(self) -> Wait | None:
        if self._stuck_since is None or self._limiter is None:
            return None
        seconds = self._limiter.pace().paused_s
        if seconds <= 0:
            return None
        return Wait(
            reason=Reason.THROTTLED,
            since=self._stuck_since,
            until=self._monotonic() + seconds,
            detail="the server refuses everything for now",
        )

    def _spent(self) -> Wait | None:
        seconds = 0.0 if self._budget.full else self._budget.wait()
        if seconds <= 0:
            return None
        now = self._monotonic()
        return Wait(
            reason=Reason.RETRIES,
            since=now,
            until=now + seconds,
            detail="too many requests had to be retried",
        )

    def begin(self, *, probe: bool = False) -> int:
        """Record that an operation starts; return the epoch of its first attempt."""
        if not self._budget.full:
            self._budget.began()
        if probe:
            self.breaker.probe()
        return self.breaker.epoch

    def repeat(self, *, probe: bool = False, retry: bool = True) -> int:
        """Record that an operation in flight starts another attempt; return its epoch.

        `retry` is false after a good response (for example, of a read that checks before a write),
        and after a refusal, which the limiter handles.
        """
        if retry:
            self._budget.retried()
        if probe:
            self.breaker.probe()
        return self.breaker.epoch

    def end_probe(self, epoch: int) -> None:
        """Record that a probe ended without a conclusive attempt."""
        if epoch == self.breaker.epoch:
            self.breaker.probe_failed()

    def passed(self, epoch: int) -> None:
        """Record a response that shows that requests get through."""
        now = self._last_passed = self._monotonic()
        if self._stuck_since is not None and not self.breaker.is_open:
            self._stuck_since = None
        if self.breaker.answered(epoch, now):
            self._stuck_since = None

    def failed(self, epoch: int, attempt: Attempt) -> bool:
        """Record an attempt that failed; return whether the next one is a retry."""
        now = self._monotonic()
        refused = attempt.certainty is Certainty.REFUSED
        if refused and attempt.status in (429, 503):
            self.breaker.answered(epoch, now)
            if self._stuck_since is None:
                self._stuck_since = now
            return False
        if refused or attempt.certainty is Certainty.APPLIED:
            self.passed(epoch)
            return True
        sent = attempt.certainty is not Certainty.NOT_SENT
        if self.breaker.unanswered(epoch, sent=sent):
            self._went_down(_why(attempt))
        if self.breaker.is_open:
            self._down = _why(attempt)
        return True

    def unreachable(self, error: EnapterError) -> None:
        """Record that an operation finished without ever reaching the host."""
        if self.breaker.open():
            self._went_down(_why(error.attempts[-1]) if error.attempts else NO_CONNECTION)

    def asked_to_wait(self, seconds: float) -> bool:
        """Record that the server asks one operation to pause; return whether it may wait.

        A pause longer than `max_pause` is too long for the operation, and for the whole run if
        nothing else got through recently.
        """
        if seconds <= self._max_pause:
            return True
        last = self._last_passed
        if last is None or self._monotonic() - last > LATELY_S:
            self._asked_too_long = seconds
        return False

    def connected(self) -> None:
        """Record that a bare connection, made instead of a probe succeeded."""
        self.breaker.answered(self.breaker.epoch, self._monotonic())

    def not_connected(self, why: str) -> None:
        """Record that a bare connection could not be made."""
        self._down = why
        self.breaker.probe_failed()

    def _went_down(self, why: str) -> None:
        self._down = why
        if self._stuck_since is None:
            self._stuck_since = self._monotonic()


def _why(attempt: Attempt) -> str:
    if attempt.status:
        return f"the host responds with HTTP {attempt.status}"
    if attempt.certainty is Certainty.NOT_SENT:
        return _UNSENT.get(attempt.error_type, NO_CONNECTION)
    return f"the host does not respond ({attempt.error_type})"
