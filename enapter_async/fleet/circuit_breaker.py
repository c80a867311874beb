"""Decides when to stop retrying: a retry budget, and a circuit breaker for a host that is down.

Both are state machines without I/O. They never make an operation fail, but only determine how long
new operations must wait.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

RETRIES_PER_FIRST: Final = 0.2
"""How many retries each started operation adds to the budget."""
RETRIES_PER_SECOND: Final = 10.0
"""How many retries each second adds, even if nothing is started."""
RESERVE: Final = 100.0
"""The most retries that the budget can hold: ten seconds' worth."""

UNSENT_IN_A_ROW: Final = 10
"""This many attempts in a row without a connection open the breaker."""
LOOKED_AT: Final = 20
"""The breaker computes the share of bad attempts among this many latest attempts,"""
WITHIN: Final = 10.0
"""provided that they all happened within this many seconds."""
FIRST_PROBE: Final = 1.0
LONGEST_PROBE: Final = 60.0


class RetryBudget:
    """Limits retries to a fifth of the started operations, plus ten per second.

    Based on Finagle's retry budget, but when the budget is spent, operations wait instead of
    failing.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = RESERVE
        self._at = monotonic()
        self.full = True
        """Whether the budget is at its maximum, so that nothing needs to be added or awaited."""

    def began(self) -> None:
        """Record that an operation starts."""
        self._add(RETRIES_PER_FIRST)

    def retried(self) -> None:
        """Record a retry that takes place even if the budget is spent."""
        self._add(0.0)
        self._left -= 1.0
        self.full = False

    def wait(self) -> float:
        """Return the seconds until a new operation may start; 0 or less if it may start now."""
        self._add(0.0)
        return -self._left / RETRIES_PER_SECOND

    def _add(self, retries: float) -> None:
        now = self._monotonic()
        earned = (now - self._at) * RETRIES_PER_SECOND
        self._at = now
        self._left = min(RESERVE, self._left + earned + retries)
        self.full = self._left >= RESERVE


class Breaker:
    """Opens if a host seems down; only occasional probes are sent until one is answered.

    It opens in three cases: ten attempts in a row got no connection; half of the last twenty
    attempts (within ten seconds) received no response or a 5xx; or one operation used up its
    attempts without ever reaching the host. A 429 is a response, and never opens it. The delay
    before each probe is random, at most one second at first, doubling each time to a minute.

    `epoch` counts the openings and the probes: an attempt that started in an earlier epoch
    does not reflect the current state of the host.
    """

    def __init__(
        self, monotonic: Callable[[], float], uniform: Callable[[float, float], float]
    ) -> None:
        self._monotonic = monotonic
        self._uniform = uniform
        self._unsent = 0
        self._last: deque[tuple[float, bool]] = deque(maxlen=LOOKED_AT)
        self._longest = FIRST_PROBE
        self.probing = False
        """Whether a probe is in flight."""
        self.opened_at: float | None = None
        self.probe_at = 0.0
        """When the next probe is due, while the breaker is open."""
        self.epoch = 0

    @property
    def is_open(self) -> bool:
        """Whether only a probe may start."""
        return self.opened_at is not None

    @property
    def probe_due(self) -> bool:
        """Whether a probe may start now."""
        return self.is_open and not self.probing and self._monotonic() >= self.probe_at

    def answered(self, epoch: int, now: float) -> bool:
        """Record a response to an attempt of `epoch`; return whether that closed the breaker."""
        if epoch != self.epoch:
            return False
        self._unsent = 0
        if self.opened_at is None:
            self._last.append((now, False))
            return False
        self.opened_at = None
        self.probing = False
        self._longest = FIRST_PROBE
        return True

    def unanswered(self, epoch: int, *, sent: bool) -> bool:
        """Record an attempt without a good response; return whether that opened the breaker."""
        if epoch != self.epoch:
            return False
        if self.opened_at is not None:
            self.probe_failed()
            return False
        self._unsent = 0 if sent else self._unsent + 1
        self._last.append((self._monotonic(), True))
        if self._unsent < UNSENT_IN_A_ROW and not self._mostly_bad():
            return False
        return self.open()

    def open(self) -> bool:
        """Open the breaker; return whether it was closed before."""
        if self.opened_at is not None:
            return False
        self.opened_at = self._monotonic()
        self.epoch += 1
        self._unsent = 0
        self._last.clear()
        self._wait_for_probe()
        return True

    def probe(self) -> None:
        """Record that a probe starts."""
        self.probing = True

    def probe_failed(self) -> None:
        """Record that the probe received no response, or was abandoned."""
        if self.opened_at is not None and self.probing:
            self.probing = False
            self.epoch += 1
            self._longest = min(LONGEST_PROBE, self._longest * 2.0)
            self._wait_for_probe()

    def _wait_for_probe(self) -> None:
        self.probe_at = self._monotonic() + self._uniform(0.0, self._longest)

    def _mostly_bad(self) -> bool:
        if len(self._last) < LOOKED_AT or sum(bad for _, bad in self._last) * 2 < LOOKED_AT:
            return False
        return self._last[-1][0] - self._last[0][0] <= WITHIN
