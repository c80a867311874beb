"""The number of attempts allowed in flight: it grows with answers and shrinks without them."""

import math
from typing import Final

FIRST: Final = 8
AFTER_PAUSE: Final = 4
GROWTH: Final = 0.5
"""How many places each successful answer adds until the first loss; after it, each round adds one.
"""
LOSS: Final = 0.7
"""The fraction of the places that remains after an attempt exceeded its time limit."""


class Places:
    """How many attempts may be in flight, up to `most`.

    The number does not grow while less than half of the places are used, because the server's
    limit is then untested. A loss counts only if its attempt started after the last counted one.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.restart()

    def restart(self) -> None:
        """Reset to the state for an unknown server."""
        self._growth = GROWTH
        self._lost_at = -math.inf
        self._allow(float(FIRST))

    def resume(self) -> None:
        """Start again after a pause, when all waiting attempts would start at once."""
        self._allow(float(AFTER_PAUSE))

    def grow(self) -> None:
        """Grow after a successful answer while at least `tested_from` attempts were in flight."""
        self._allow(self._places + (self._growth or 1.0 / self._places))

    def lost(self, began: float, now: float) -> None:
        """Shrink after an attempt that received no answer."""
        if began > self._lost_at:
            self._lost_at = now
            self._growth = 0.0
            self._allow(self._places * LOSS)

    def _allow(self, places: float) -> None:
        self._places = min(float(self.most), max(1.0, places))
        self.allowed = int(self._places)
        """How many may be in flight now, at least 1."""
        self.tested_from = self.allowed / 2 if self.allowed < self.most else math.inf
        """How many in flight use enough of the places for more; never, if these are the most."""
