"""How fast a job goes, and what it waits for: the state of it, without I/O.

The client's own gate bounds and spaces what all its calls send, and lets them pause together
after a 429. The controller sits above: it decides whether one more operation may be in flight, and
when an attempt may begin. All times are monotonic.
"""

import enum
from typing import Final

import attrs

from enapter_async.clock import Clock
from enapter_async.errors import Attempt, Certainty, EnapterError
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.pacing.adaptive_limits import Concurrency, Rate
from enapter_async.fleet.pacing.circuit_breaker import Breaker, RetryBudget

MAX_PAUSE: Final = 900.0
"""Seconds that a job waits for a server that lets nothing through, before it stops."""
TOLD_FROM: Final = 0.5
"""Seconds from which on a wait is worth a word."""

NO_CONNECTION: Final = "no connection to the host"
_UNSENT: Final = {
    "ClientConnectorDNSError": "the host's name cannot be resolved",
    "ConnectionTimeoutError": "no connection to the host in time",
}


class Reason(enum.StrEnum):
    """What a job waits for. Equal to its own text."""

    FULL = "full"
    """As much is in flight as may be."""
    RATE = "rate"
    """Requests are spaced, because the server answered 429 before."""
    THROTTLED = "throttled"
    """The server asks to wait."""
    RETRIES = "retries"
    """Too much had to be tried again of late."""
    HOST_DOWN = "host down"
    """The host does not answer."""
    READ_BACK = "read back"
    """A wave is read back."""
    HOLD = "hold"
    """The time between two waves."""
    HEALTH = "health"
    """The devices of a wave are looked at."""


@attrs.frozen(kw_only=True)
class Wait:
    """What a job waits for: since when and until when (monotonic; None: nobody knows).

    `detail` says more, as people read it.
    """

    reason: Reason
    since: float
    until: float | None = None
    detail: str = ""

    def text(self, now: float) -> str:
        """Write it for people, such as "paused 0:42, no connection, next probe in 0:18"."""
        parts = [f"paused {minutes(now - self.since)}", self.detail or str(self.reason)]
        if self.until is not None and self.until > now:
            what = "next probe" if self.reason is Reason.HOST_DOWN else "on again"
            parts.append(f"{what} in {minutes(self.until - now)}")
        return ", ".join(parts)


def minutes(seconds: float) -> str:
    """Write seconds as minutes and seconds, or hours, minutes and seconds."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    if hours:
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{rest // 60}:{rest % 60:02d}"


@attrs.define
class Epoch:
    """When an attempt began, in the epochs of those who judge it."""

    rate: int
    concurrency: int
    breaker: int
    probe: bool = False


class Controller:
    """Decides whether one more may begin, and learns from what each attempt meets."""

    def __init__(self, most: int, clock: Clock, *, max_pause: float = MAX_PAUSE) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._concurrency = Concurrency(most)
        self._rate = Rate(clock.monotonic)
        self._budget = RetryBudget(clock.monotonic)
        self._breaker = Breaker(clock.monotonic, clock.uniform)
        self._max_pause = max_pause
        self._pause_since = 0.0
        self._pause_until = 0.0
        self._down = ""
        self._stuck_since: float | None = None
        self._too_long: float | None = None
        self._shared_epoch = self._new_epoch()
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many operations may be in flight now."""
        return self._concurrency.limit

    @property
    def rate(self) -> float | None:
        """How many requests a second may begin now, None where nothing limits it."""
        return self._rate.per_second()

    @property
    def probe_due(self) -> bool:
        """Whether the host is down, and one operation may go and see."""
        return self._breaker.probe_due

    @property
    def troubled(self) -> bool:
        """Whether something kept attempts from getting through, and nothing did since."""
        return self._stuck_since is not None or self._too_long is not None

    @property
    def gives_up_at(self) -> float | None:
        """When the job stops unless something gets through, None while something does."""
        return None if self._stuck_since is None else self._stuck_since + self._max_pause

    def overdue(self) -> PausedTooLongError | None:
        """Return the error to stop with, where nothing got through for too long."""
        if self._too_long is not None:
            return PausedTooLongError(
                f"the server asks for a pause of {minutes(self._too_long)}; "
                f"the longest is {minutes(self._max_pause)}"
            )
        until = self.gives_up_at
        if until is None or self._monotonic() < until:
            return None
        why = self._down if self._breaker.is_open else "the server answered 429 to everything"
        return PausedTooLongError(f"nothing got through for {minutes(self._max_pause)}: {why}")

    def try_start(self) -> Epoch | None:
        """Begin a new operation where nothing at all is in its way; the quick path.

        None says that `wait_to_start` has to be asked.
        """
        if (
            self.in_flight >= self._concurrency.limit
            or self._rate.limited
            or self._pause_until
            or not self._budget.full
            or self._breaker.opened_at is not None
        ):
            return None
        self.in_flight += 1
        # All that begin in the same epochs may have one: only a probe's is ever changed.
        epoch = self._shared_epoch
        if (
            epoch.concurrency != self._concurrency.epoch
            or epoch.breaker != self._breaker.epoch
            or epoch.rate != self._rate.epoch
        ):
            epoch = self._shared_epoch = self._new_epoch()
        return epoch

    @property
    def crowded(self) -> bool:
        """Whether a new operation waits for nothing but the end of another."""
        return (
            self.in_flight >= self._concurrency.limit
            and self._budget.full
            and not (self._rate.limited or self._pause_until)
            and self._breaker.opened_at is None
            and self._stuck_since is None
            and self._too_long is None
        )

    def wait_to_start(self) -> Wait | None:
        """Say what a new operation has to wait for, or None where it may start now."""
        pause = self.pause()
        if pause is not None:
            return pause
        if self.in_flight >= self._concurrency.limit:
            return Wait(reason=Reason.FULL, since=self._monotonic())
        return self._spacing()

    def wait_to_repeat(self) -> Wait | None:
        """Say what another attempt of an operation in flight has to wait for, or None."""
        if not self._breaker.is_open:
            return self._spacing()
        return self.pause()

    def pause(self) -> Wait | None:
        """Say what everything waits for, or None where nothing is held back."""
        breaker = self._breaker
        if breaker.opened_at is not None:
            return Wait(
                reason=Reason.HOST_DOWN,
                since=breaker.opened_at,
                until=None if breaker.probing else breaker.probe_at,
                detail=self._down,
            )
        now = self._monotonic()
        if self._pause_until > now:
            return Wait(
                reason=Reason.THROTTLED,
                since=self._pause_since,
                until=self._pause_until,
                detail="the server asks to wait",
            )
        spent = self._budget.wait()
        if spent > 0:
            return Wait(
                reason=Reason.RETRIES,
                since=now,
                until=now + spent,
                detail="too much had to be tried again",
            )
        return None

    def _spacing(self) -> Wait | None:
        # Within a pause no rate is asked for: `Rate` spaces from the pause's end on.
        seconds = self._rate.wait() if self._rate.limited else 0.0
        if seconds <= 0:
            return None
        now = self._monotonic()
        return Wait(reason=Reason.RATE, since=now, until=now + seconds)

    def start(self, *, probe: bool = False) -> Epoch:
        """Take note that an operation begins; give what its first attempt is judged by."""
        self.in_flight += 1
        self._budget.began()
        return self._begin_attempt(probe=probe)

    def repeat(self, *, probe: bool = False, retry: bool = True) -> Epoch:
        """Take note that an operation in flight begins another attempt.

        It is no retry where it follows a good answer, as a write does that was looked at first.
        """
        if retry:
            self._budget.retried()
        return self._begin_attempt(probe=probe)

    def end(self, epoch: Epoch) -> None:
        """Take note that an operation ended, however it did."""
        self.in_flight -= 1
        if epoch.probe and epoch.breaker == self._breaker.epoch:
            self._breaker.probe_failed()  # it ended without an attempt that said anything

    def _begin_attempt(self, *, probe: bool) -> Epoch:
        if probe:
            self._breaker.probe()
        self._rate.begin()
        return self._new_epoch(probe=probe)

    def _new_epoch(self, *, probe: bool = False) -> Epoch:
        return Epoch(self._rate.epoch, self._concurrency.epoch, self._breaker.epoch, probe)

    def passed(self, epoch: Epoch) -> None:
        """Take note of an answer that says neither too much nor too late."""
        now = self._monotonic()
        self._rate.passed(now)
        if self._concurrency.limit < self._concurrency.most:
            self._concurrency.passed(self.in_flight)
        if self._stuck_since is not None and not self._breaker.is_open:
            self._stuck_since = None
        if self._breaker.answered(epoch.breaker, now):
            self._stuck_since = None
            epoch.probe = False

    def failed(self, epoch: Epoch, attempt: Attempt, *, timed_out: bool, pause: float) -> None:
        """Take note of an attempt that failed; `pause` is that of the client after a 429."""
        status = attempt.status
        if status == 429 or (status == 503 and attempt.certainty is Certainty.REFUSED):
            self._breaker.answered(epoch.breaker, self._monotonic())
            self._throttled(epoch, attempt, pause)
        elif attempt.certainty in (Certainty.REFUSED, Certainty.APPLIED):
            self.passed(epoch)
        else:
            if timed_out:
                self._concurrency.lost(epoch.concurrency)
            sent = attempt.certainty is not Certainty.NOT_SENT
            if self._breaker.unanswered(epoch.breaker, sent=sent):
                self._went_down(_why(attempt))
            if self._breaker.is_open:
                self._down = _why(attempt)
                epoch.probe = False

    def unreachable(self, error: EnapterError) -> None:
        """Take note that an operation ended without ever having reached the host."""
        if self._breaker.open():
            self._went_down(_why(error.attempts[-1]) if error.attempts else NO_CONNECTION)

    def refused_for_now(self, seconds: float) -> None:
        """Take note that an operation ended because the server asks for so long a pause."""
        if seconds > self._max_pause:
            self._too_long = seconds
        else:
            self._pause_for(seconds)

    def connected(self) -> None:
        """Take note that a bare connection, made in place of a probe, succeeded."""
        self._breaker.answered(self._breaker.epoch, self._monotonic())

    def probe_bare(self) -> None:
        """Take note that a bare connection is tried in place of a probe."""
        self._breaker.probe()

    def not_connected(self, why: str) -> None:
        """Take note that a bare connection could not be made."""
        self._down = why
        self._breaker.probe_failed()

    def _throttled(self, epoch: Epoch, attempt: Attempt, pause: float) -> None:
        pause = max(pause, attempt.retry_after or 0.0)
        if pause > self._max_pause:
            self._too_long = pause
            return
        unlimited = not self._rate.limited
        busy = self.in_flight * 2 >= self._concurrency.limit
        if attempt.status == 429:
            self._rate.throttled(epoch.rate, pause)
        # Once there is a rate it answers a 429, unless the places are what was used up.
        if unlimited or busy or attempt.status != 429:
            self._concurrency.lost(epoch.concurrency)
        self._pause_for(pause)

    def _pause_for(self, seconds: float) -> None:
        now = self._monotonic()
        if self._stuck_since is None:
            self._stuck_since = now
        if self._pause_until <= now:
            self._pause_since = now
        self._pause_until = max(self._pause_until, now + seconds)

    def _went_down(self, why: str) -> None:
        self._down = why
        self._concurrency.restart()
        if self._stuck_since is None:
            self._stuck_since = self._monotonic()


def _why(attempt: Attempt) -> str:
    if attempt.status:
        return f"the host answers HTTP {attempt.status}"
    if attempt.certainty is Certainty.NOT_SENT:
        return _UNSENT.get(attempt.error_type, f"{NO_CONNECTION} ({attempt.error_type})")
    return f"the host does not answer ({attempt.error_type})"
