"""How many attempts may be in flight: grown while answers come, cut when they stay away."""

import math
from typing import Final

FIRST: Final = 8
AFTER_PAUSE: Final = 4
GROWTH: Final = 0.5
"""How many places each good answer adds until the first loss; then one per round."""
LOSS: Final = 0.7
"""What is left of the places after an attempt that our own limit of time cut."""


class Places:
    """How many attempts may be in flight, up to `most`.

    Nothing grows while less than half of the places are used, for then the server was not
    asked. A loss counts only if its attempt began after the last one that counted.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.restart()

    def restart(self) -> None:
        """Begin as with an unknown server."""
        self._growth = GROWTH
        self._lost_at = -math.inf
        self._allow(float(FIRST))

    def resume(self) -> None:
        """Begin again after a pause, when everything waits to rush in."""
        self._allow(float(AFTER_PAUSE))

    def passed(self, in_flight: int) -> None:
        """Grow for a good answer; `in_flight` counts its own attempt too."""
        if 2 * in_flight >= self.allowed:
            self._allow(self._places + (self._growth or 1.0 / self._places))

    def lost(self, began: float, now: float) -> None:
        """Shrink for an attempt that stayed without an answer."""
        if began > self._lost_at:
            self._lost_at = now
            self._growth = 0.0
            self._allow(self._places * LOSS)

    def _allow(self, places: float) -> None:
        self._places = min(float(self.most), max(1.0, places))
        self.allowed = int(self._places)
        """How many may be in flight now, at least 1."""
