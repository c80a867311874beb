"""Compute the recent rate of a run, and from it the remaining time, not counting pauses."""

from collections import deque
from collections.abc import Callable
from typing import Final

LEAST_SECONDS: Final = 30.0
"""Seconds of unpaused work before the first estimate."""
LATELY: Final = 60.0
"""Seconds of unpaused work from which the pace is computed."""


class Estimate:
    """Counts the finished operations and the working time, without pauses, of the last minute."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._worked = 0.0
        self._since: float | None = monotonic()
        self._done = 0
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])
        """Pairs of seconds worked and operations finished by then, at least a second apart."""

    def advance(self, number: int = 1) -> None:
        """Record that a number of operations finished."""
        self._done += number
        worked = self.worked()
        marks = self._marks
        if worked - marks[-1][0] >= 1.0:
            marks.append((worked, self._done))
            while worked - marks[1][0] >= LATELY:
                marks.popleft()

    def pause(self) -> None:
        """Record that a pause starts now; safe to repeat."""
        if self._since is not None:
            self._worked += self._monotonic() - self._since
            self._since = None

    def go_on(self) -> None:
        """Record that the pause is over; safe to repeat."""
        if self._since is None:
            self._since = self._monotonic()

    def worked(self) -> float:
        """Return the seconds of work until now, without pauses."""
        return self._worked + (0.0 if self._since is None else self._monotonic() - self._since)

    def left(self, number: int) -> float | None:
        """Return the seconds of work that `number` operations will take; None if not known yet."""
        worked = self.worked()
        since, before = self._marks[0]
        if self._done == before or worked < LEAST_SECONDS:
            return None
        return number * (worked - since) / (self._done - before)


class RecentRate:
    """The rate of a number that is sampled now and then, over the last `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: deque[tuple[float, int]] = deque()

    def take(self, now: float, number: int) -> float | None:
        """Record the number at a time; return its increase per second, or None if not yet known."""
        self._seen.append((now, number))
        while self._seen[0][0] < now - self._seconds:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(0, number - before) / (now - since) if now > since else None
