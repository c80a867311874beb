"""How long a run will go on, from how fast it went while nothing held it back."""

from collections.abc import Callable
from typing import Final

LEAST_SECONDS: Final = 30.0
"""From less unpaused work than this nothing can be said."""


class Estimate:
    """Counts what is done and the time that was spent working; pauses are left out."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._worked = 0.0
        self._since: float | None = monotonic()
        self._done = 0

    def advance(self, number: int = 1) -> None:
        """Take note of so many operations that ended."""
        self._done += number

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
        if not self._done or worked < LEAST_SECONDS:
            return None
        return number * worked / self._done
