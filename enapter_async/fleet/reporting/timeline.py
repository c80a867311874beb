"""Computes a run's course over time: sessions, outcomes over time, and durations."""

import math
from array import array
from collections.abc import Sequence
from typing import Any, Final

from enapter_async.fleet.journal.records import INTENT, Event
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.pace_notes import pace_in, pace_kind

POINTS: Final = 120
"""The maximum number of points on the time axis."""
NO_TIME: Final = -1

_ENDED: Final = tuple(state for state in State if state is not State.HELD)
_NUMBER_OF: Final = {str(state): number for number, state in enumerate(_ENDED, start=1)}
_NOT_ENDED: Final = 0
_PENDING: Final = _NUMBER_OF[str(State.PENDING)]
_NUMBER_OF[str(State.HELD)] = _NOT_ENDED


class Timeline:
    """Computes a run's course from its events, which must be passed in order.

    Only time within sessions counts: breaks between them are left out, and no time passes while a
    clock is set back. Keeps about 20 bytes per outcome.
    """

    def __init__(self, items: int) -> None:
        self.sessions: list[dict[str, int]] = []
        self.spans: dict[int, tuple[int, int]] = {}
        """When the first item of each wave was sent, and when the last one ended."""
        self._paces: list[list[Any]] = []
        self._refused: list[int] = []
        self._now = 0
        self._stands = bytearray(items)
        self._ends = array("q")
        self._took = array("q")
        self._from = bytearray()
        self._to = bytearray()
        self._attempts = self._retried = self._settled = 0

    def begin(self, at_ms: int) -> None:
        """Record the start of a session."""
        self.sessions.append({"at": self._now, "began_ms": at_ms, "ended_ms": at_ms})
        self._paces.append([self._now, pace_kind(None), None])
        self._refused.append(0)

    def take_pace(self, event: Event) -> None:
        """Record a note about the pace that the limiter allowed from then on."""
        pace = pace_in(event.details)
        if pace is None or not self.sessions:
            return
        self._advance(event.at_ms)
        self._paces.append([self._now, pace_kind(pace), pace.rate])
        self._refused[-1] = pace.refused_in_all

    def take(self, event: Event, wave: int) -> None:
        """Record an event of an item in a wave."""
        number = _NUMBER_OF.get(event.kind)
        if number is None and event.kind != INTENT:
            return
        if not self.sessions:
            self.begin(event.at_ms)
        self._advance(event.at_ms)
        if number != _NOT_ENDED:
            began, _ = self.spans.get(wave, (self._now, 0))
            self.spans[wave] = (began, self._now)
        if number is None or event.seq is None:
            return
        tries = event.attempt or 0
        self._attempts += tries
        self._retried += tries > 1
        self._settled += bool(event.detail and event.details.get("settled"))
        self._ends.append(self._now)
        self._took.append(event.elapsed_ms if tries and event.elapsed_ms is not None else NO_TIME)
        self._from.append(self._stands[event.seq])
        self._to.append(number)
        self._stands[event.seq] = number

    def _advance(self, at_ms: int) -> None:
        session = self.sessions[-1]
        session["ended_ms"] = max(session["ended_ms"], at_ms)
        self._now = max(self._now, session["at"] + at_ms - session["began_ms"])

    def tell(self) -> dict[str, Any]:
        """Return the course as plain JSON, with times in milliseconds from the start.

        For each step of `step_ms`, `ended` contains the number of items in each final state at the
        end of the step, and `rate` the number of items that finished during the step. `took`
        contains the median, the 90th percentile and the maximum of their durations, or None if none
        was sent. `paces` lists when the pace changed, what limited it from then on, and its rate
        per second; `refused` counts the attempts refused for too many requests.
        """
        step = max(1, math.ceil((self._now + 1) / POINTS))
        steps = self._now // step + 1
        ended = {state: [0] * steps for state in _ENDED}
        rate = [0] * steps
        took: list[list[int]] = [[] for _ in range(steps)]
        for at, elapsed, was, now in zip(self._ends, self._took, self._from, self._to, strict=True):
            place = at // step
            if was != _NOT_ENDED:
                ended[_ENDED[was - 1]][place] -= 1
            if now != _NOT_ENDED:
                ended[_ENDED[now - 1]][place] += 1
                rate[place] += now != _PENDING
            if elapsed != NO_TIME:
                took[place].append(elapsed)
        for counts in ended.values():
            for place in range(1, steps):
                counts[place] += counts[place - 1]
        for times in took:
            times.sort()
        every = sorted(elapsed for elapsed in self._took if elapsed != NO_TIME)
        return {
            "step_ms": step,
            "total_ms": self._now,
            "sessions": self.sessions,
            "ended": {str(state): counts for state, counts in ended.items()},
            "rate": rate,
            "took": {
                "half": [quantile(times, 0.5) for times in took],
                "most": [quantile(times, 0.9) for times in took],
                "longest": [quantile(times, 1.0) for times in took],
            },
            "overall": [quantile(every, share) for share in (0.5, 0.9, 0.99, 1.0)],
            "paces": self._paces,
            "refused": sum(self._refused),
            "attempts": self._attempts,
            "retried": self._retried,
            "settled": self._settled,
        }


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """Return the quantile for `share` (nearest rank); None if there are no values.

    `ordered` must be sorted.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
