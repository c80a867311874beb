"""How much a server bears: how many operations at once, and how many requests a second.

Two state machines without I/O. Both learn from what attempts met, and both take back only
once for all that was in flight together, because sixty-four answers 429 to requests that
were sent together are one event and not sixty-four.
"""

from collections.abc import Callable
from typing import Final

FIRST: Final = 8
"""How many operations a job begins with at once."""
BACK: Final = 0.7
"""What is left of a limit after a loss. Source: TCP CUBIC, RFC 9438, section 4.6."""

LEAST_RATE: Final = 0.5
"""Requests a second that are always tried."""
RECOVERY: Final = 2.0
"""Seconds until a rate that was taken back is again where the server said no."""
PLATEAU: Final = 5.0
"""Seconds for which it stays about there, at least."""
FIRST_PLATEAU: Final = 2.5
"""The same for the first ceiling, which was passed at a run and is known badly."""
PLATEAU_PAUSES: Final = 10.0
"""The same in pauses: the dearer a 429 is, the longer until the next one is risked."""
AGREEING: Final = 0.1
"""How far two ceilings may differ to confirm each other."""
MOST_TRUST: Final = 8.0
"""How many times longer a ceiling is kept to that was found again and again."""
BELOW: Final = 0.96
"""Where to stay, of a ceiling: a bucket at its brim refuses the next that is early."""
SHORTEST: Final = 0.25
"""Seconds that a measurement covers at least."""
UNSEEN: Final = 2.0
"""Good answers a second that a measurement of so short a time may miss."""
WINDOW: Final = 1.0
"""Seconds over which the rate of good answers is measured."""
CATCH_UP: Final = 0.002
"""Seconds of lateness that are made up for: timers are late by some, pauses are longer."""


class Concurrency:
    """How many operations may be in flight: doubled each round until a loss, then AIMD.

    A round is as many good answers as there are places. After the first loss a round adds
    one place, and each loss takes three tenths. Nothing grows while less than half of the
    places are used, for then the server was not asked. A loss counts only if its request
    began after the last one that counted: `epoch` names the time between two.
    """

    def __init__(self, most: int, *, first: int = FIRST) -> None:
        self.most = most
        self._limit = float(min(first, most))
        self.limit = int(self._limit)
        """How many may be in flight now, 1 at least."""
        # Up to here a round doubles; past it, it adds one.
        self._careful_from = float(most)
        self.epoch = 0

    def passed(self, in_flight: int) -> None:
        """Take note of a good answer; `in_flight` counts its own operation too."""
        if self._limit >= self.most or in_flight * 2 < self.limit:
            return
        step = 1.0 if self._limit < self._careful_from else 1.0 / self._limit
        self._allow(min(float(self.most), self._limit + step))

    def lost(self, epoch: int) -> bool:
        """Take note of a loss of a request that began in `epoch`; say whether it counted."""
        if epoch != self.epoch:
            return False
        self.epoch += 1
        self._careful_from = max(1.0, self._limit * BACK)
        self._allow(self._careful_from)
        return True

    def restart(self) -> None:
        """Begin again with one, as after an outage, when everything waits to rush in."""
        self.epoch += 1
        self._careful_from = max(1.0, self._limit * BACK)
        self._allow(1.0)

    def _allow(self, limit: float) -> None:
        self._limit = limit
        self.limit = int(limit)


class Rate:
    """How many requests a second may begin; no limit until the first 429.

    Then seven tenths of the rate that was measured, doubled each second until the next 429,
    which shows where the ceiling is. From there on: seven tenths of it, close to it again
    after `RECOVERY`, a long time about there, and slowly beyond. What was found twice is
    trusted for twice as long. Requests are evenly spaced, and those that a pause held back
    are not made up for. A rate that is not used does not grow.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._meter = _Meter()
        self.passed = self._meter.count
        """Take note of an answer of now that was no refusal for want of capacity."""
        self._base: float | None = None
        self._ceiling: float | None = None
        self._since = 0.0
        self._plateau = 0.0
        self._trust = 1.0
        self._next = 0.0
        self.epoch = 0
        self.limited = False
        """Whether there was a 429, so that there is a rate."""

    def per_second(self) -> float | None:
        """Return the rate at which requests may begin now, or None where nothing limits it."""
        if self._base is None:
            return None
        now = self._monotonic()
        since = max(0.0, now - self._since)
        if self._ceiling is None:
            rate: float = self._base * 2.0 ** min(since, 60.0)
            known = self._base
        else:
            known = self._ceiling
            if since < RECOVERY:
                rate = known * (1.0 - (1.0 - BACK) * (1.0 - since / RECOVERY) ** 3)
            else:
                rate = known * (1.0 + (1.0 - BACK) * ((since - RECOVERY) / self._plateau) ** 3)
        # A rate that nobody uses is no knowledge of what the server bears.
        used = 2.0 * (self._meter.lately(now) + UNSEEN)
        return max(LEAST_RATE, min(rate, max(known, used)))

    def wait(self) -> float:
        """Return the seconds until the next request may begin; 0 or less where it may now."""
        return 0.0 if self._base is None else self._next - self._monotonic()

    def begin(self) -> None:
        """Take note that a request begins."""
        rate = self.per_second()
        if rate is not None:
            # Up to `CATCH_UP` a late timer is made up for, or the rate would never be reached.
            self._next = max(self._next, self._monotonic() - CATCH_UP) + 1.0 / rate

    def throttled(self, epoch: int, pause: float) -> bool:
        """Take note of a 429 to a request of `epoch`, and of the pause that follows it.

        Say whether it counted.
        """
        now = self._monotonic()
        resume = now + max(0.0, pause)
        self._next = max(self._next, resume)
        if epoch != self.epoch:
            # A longer pause to the same event: everything begins after it.
            self._since = max(self._since, resume)
            self._meter.restart()
            return False
        self.epoch += 1
        rate = self.per_second()
        if rate is None:
            self._base = max(LEAST_RATE, BACK * self._meter.lately(now))
            self.limited = True
        else:
            self._find_ceiling(rate, now, pause)
        self._since = resume
        self._meter.restart()
        return True

    def _find_ceiling(self, rate: float, now: float, pause: float) -> None:
        """Learn from a 429 that came at this rate where the ceiling is."""
        before = self._ceiling
        settled = before is not None and rate <= before * (1.0 + AGREEING)
        # An average over a climb would tell of the climb.
        measured = self._meter.average(now) if settled else self._meter.lately(now)
        found = max(BACK * (before or rate), min(rate, measured))
        self._trust = min(MOST_TRUST, self._trust * 2.0) if settled else 1.0
        self._ceiling = max(LEAST_RATE, found * BELOW)
        if before is None:
            self._plateau = FIRST_PLATEAU
        else:
            self._plateau = self._trust * max(PLATEAU, PLATEAU_PAUSES * pause)


class _Meter:
    """Counts good answers: of the last second or two, and since it was restarted.

    Time runs from the first answer, which is not counted: what was in flight before it
    says nothing of how fast they come.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._began: float | None = None
        self._turned = 0.0
        self._all = self._new = self._old = 0

    def count(self, now: float) -> None:
        if self._began is None:
            self._began = self._turned = now
            return
        if now - self._turned >= WINDOW:
            self._turn(now)
        self._new += 1
        self._all += 1

    def lately(self, now: float) -> float:
        """Return the answers a second of about the last `WINDOW`."""
        if self._began is None:
            return 0.0
        self._turn(now)
        span = now - self._turned
        if self._turned == self._began:
            return self._new / max(span, SHORTEST)
        return (self._old * (1.0 - span / WINDOW) + self._new) / WINDOW

    def average(self, now: float) -> float:
        """Return the answers a second since the first one."""
        return 0.0 if self._began is None else self._all / max(now - self._began, SHORTEST)

    def _turn(self, now: float) -> None:
        windows = (now - self._turned) // WINDOW
        if windows >= 1:
            self._old = self._new if windows < 2 else 0
            self._new = 0
            self._turned += WINDOW * windows
