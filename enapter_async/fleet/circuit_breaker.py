"""When to stop knocking: a budget for retries, and a breaker for a host that is down.

Two state machines without I/O. Neither fails an operation: both only say how long nothing
new should begin.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

RETRIES_PER_FIRST: Final = 0.2
"""How many retries each operation that is begun allows."""
RETRIES_PER_SECOND: Final = 10.0
"""How many retries each second allows, however little is begun."""
RESERVE: Final = 100.0
"""How many retries may be saved up: ten seconds' worth."""

UNSENT_IN_A_ROW: Final = 10
"""So many attempts in a row without a connection open the breaker."""
LOOKED_AT: Final = 20
"""The share of bad attempts is that of the last so many,"""
WITHIN: Final = 10.0
"""if they all came within so many seconds."""
FIRST_PROBE: Final = 1.0
LONGEST_PROBE: Final = 60.0


class RetryBudget:
    """Bounds retries to a fifth of what is begun, and ten a second besides.

    Source: the retry budget of Finagle, with waiting in place of failing.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = RESERVE
        self._at = monotonic()
        self.full = True
        """Whether nothing was retried of late, so that nothing is to be earned or waited for."""

    def began(self) -> None:
        """Take note that an operation begins."""
        self._add(RETRIES_PER_FIRST)

    def retried(self) -> None:
        """Take note of a retry; it happens even if the budget is spent."""
        self._add(0.0)
        self._left -= 1.0
        self.full = False

    def wait(self) -> float:
        """Return the seconds until something new may begin; 0 or less where it may now."""
        self._add(0.0)
        return -self._left / RETRIES_PER_SECOND

    def _add(self, retries: float) -> None:
        now = self._monotonic()
        earned = (now - self._at) * RETRIES_PER_SECOND
        self._at = now
        self._left = min(RESERVE, self._left + earned + retries)
        self.full = self._left >= RESERVE


class Breaker:
    """Opens when a host seems down: then only a probe goes, now and then, until one is answered.

    It opens after ten attempts in a row that found no connection, when half of the last twenty
    (within ten seconds) brought no answer or a 5xx, and when one operation used up its attempts
    without ever reaching the host. A 429 is an answer, and never opens it. The time to each
    probe is drawn at random up to one second, doubled each time up to a minute.

    `epoch` counts the openings and the probes: an attempt that began in an earlier one says
    nothing of how the host is now.
    """

    def __init__(
        self, monotonic: Callable[[], float], uniform: Callable[[float, float], float]
    ) -> None:
        self._monotonic = monotonic
        self._uniform = uniform
        self._unsent = 0
        self._last: deque[tuple[float, bool]] = deque(maxlen=LOOKED_AT)
        self._longest = FIRST_PROBE
        self._probing = False
        self.opened_at: float | None = None
        self.probe_at = 0.0
        """When the next probe is due, while it is open."""
        self.epoch = 0

    @property
    def is_open(self) -> bool:
        """Whether nothing but a probe may begin."""
        return self.opened_at is not None

    @property
    def probe_due(self) -> bool:
        """Whether a probe may begin now."""
        return self.is_open and not self._probing and self._monotonic() >= self.probe_at

    @property
    def probing(self) -> bool:
        """Whether a probe is in flight."""
        return self._probing

    def answered(self, epoch: int, now: float) -> bool:
        """Take note that an attempt of `epoch` was answered now; say whether that closed it."""
        if epoch != self.epoch:
            return False
        self._unsent = 0
        if self.opened_at is None:
            self._last.append((now, False))
            return False
        self.opened_at = None
        self._probing = False
        self._longest = FIRST_PROBE
        return True

    def unanswered(self, epoch: int, *, sent: bool) -> bool:
        """Take note of an attempt without a good answer; say whether that opened it."""
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
        """Open it; say whether it was closed before."""
        if self.opened_at is not None:
            return False
        self.opened_at = self._monotonic()
        self.epoch += 1
        self._unsent = 0
        self._last.clear()
        self._wait_for_probe()
        return True

    def probe(self) -> None:
        """Take note that a probe begins."""
        self._probing = True

    def probe_failed(self) -> None:
        """Take note that the probe met no answer, or was given up."""
        if self.opened_at is not None and self._probing:
            self._probing = False
            self.epoch += 1
            self._longest = min(LONGEST_PROBE, self._longest * 2.0)
            self._wait_for_probe()

    def _wait_for_probe(self) -> None:
        self.probe_at = self._monotonic() + self._uniform(0.0, self._longest)

    def _mostly_bad(self) -> bool:
        if len(self._last) < LOOKED_AT or sum(bad for _, bad in self._last) * 2 < LOOKED_AT:
            return False
        return self._last[-1][0] - self._last[0][0] <= WITHIN
