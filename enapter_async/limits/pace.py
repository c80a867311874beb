"""What a limiter currently allows and why, in a form for people and programs."""

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

REMEMBERED_S: Final = 60.0
"""The period covered by the counts shown to people."""


@attrs.frozen(kw_only=True)
class Pace:
    """What a limiter currently allows, and why.

    `rate` is attempts per second, or None if nothing limits it, and `declared` means that it is the
    configured limit. `in_flight` is how many attempts may be in flight. `paused_s` is the seconds
    until an attempt may start while the server accepts nothing, otherwise 0. Of the last `ended`
    attempts (about one minute), `refused` were refused; `refused_in_all` counts every refusal so
    far. `blocked` says why no attempt may start at all, if it is not the server's doing.
    """

    rate: float | None
    declared: bool
    in_flight: int
    paused_s: float
    refused: int
    ended: int
    refused_in_all: int = 0
    blocked: str = ""

    def __str__(self) -> str:
        if self.blocked:
            return self.blocked
        if self.paused_s > 0:
            return f"paused for {self.paused_s:.3g} s more, the server refuses everything"
        if self.rate is None:
            return "nothing limits the rate"
        rate = f"{self.rate:.3g}/s"
        if self.declared:
            return f"{rate}, as declared by max_rate"
        return f"{rate}, the server refused {self.refused:,} of the last {self.ended:,}"


class RecentRefusals:
    """Counts of refused and ended attempts of the last minute."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int, int]] = deque()

    def add(self, now: float, refused: int, ended: int) -> None:
        """Add the attempts of one cohort."""
        self._counts.append((now, refused, ended))
        while self._counts[0][0] < now - REMEMBERED_S:
            self._counts.popleft()

    def counts(self, now: float) -> tuple[int, int]:
        """Return how many attempts were refused, and how many ended."""
        recent = [each for each in self._counts if each[0] >= now - REMEMBERED_S]
        return sum(refused for _, refused, _ in recent), sum(ended for _, _, ended in recent)


OnChange = Callable[[Pace], None]


class PaceWatchers:
    """Those that receive each new pace of a limiter."""

    def __init__(self, pace: Callable[[], Pace]) -> None:
        self._pace = pace
        self._watchers: list[OnChange] = []

    def add(self, on_change: OnChange) -> Callable[[], None]:
        """Call `on_change` with each new pace; return a function that stops this."""
        self._watchers.append(on_change)
        return lambda: self._watchers.remove(on_change)

    def tell(self) -> None:
        """Pass the pace to all, because it has changed."""
        if self._watchers:
            pace = self._pace()
            for on_change in tuple(self._watchers):
                on_change(pace)
