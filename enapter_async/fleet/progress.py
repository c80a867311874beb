"""How long a run will go on, from how fast it went of late while nothing held it back."""

from collections import deque
from collections.abc import Callable
from typing import Final

LEAST_SECONDS: Final = 30.0
"""From less unpaused work than this nothing can be said."""
LATELY: Final = 60.0
"""The seconds of unpaused work that the pace is taken from."""


class Estimate:
    """Counts what is done and the time spent working in the last minute; pauses are left out."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._worked = 0.0
        self._since: float | None = monotonic()
        self._done = 0
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])
        """Seconds of work and what was done by then, a second apart."""

    def advance(self, number: int = 1) -> None:
        """Take note of so many operations that ended."""
        self._done += number
        worked = self.worked()
        marks = self._marks
        if worked - marks[-1][0] >= 1.0:
            marks.append((worked, self._done))
            while worked - marks[1][0] >= LATELY:
                marks.popleft()

    def pause(self) -> None:
        """Take note that nothing begins from now on; safe to repeat."""
        if self._since is not None:
            self._worked += self._monotonic() - self._since
            self._since = None

    def go_on(self) -> None:
        """Take note that the pause is over; safe to repeat."""
        if self._since is None:
            self._since = self._monotonic()

    def worked(self) -> float:
        """Return the seconds of item until now, without pauses."""
        return self._worked + (0.0 if self._since is None else self._monotonic() - self._since)

    def left(self, number: int) -> float | None:
        """Return the seconds of item that so many operations will take; None: not known yet."""
        worked = self.worked()
        since, before = self._marks[0]
        if self._done == before or worked < LEAST_SECONDS:
            return None
        return number * (worked - since) / (self._done - before)
