"""Report the pace that the limiter allows, as events of the run and as notes in its journal."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import attrs

from enapter_async.clock import Clock
from enapter_async.fleet.outcomes import RunEvent, RunPaceChanged
from enapter_async.limits.limiter import Limiter
from enapter_async.limits.pace import Pace

APART_S: Final = 1.0
"""The minimum number of seconds between two notes of the same kind."""
PACE: Final = "pace"


Note = Callable[[str, Mapping[str, Any]], None]
"""Writes a note about a run, of a kind and with details, as `JournalSession.note` does."""


class PaceNotes:
    """Reports changes of the limiter's pace, but not each small step.

    A pause, and a limit that appears or disappears, are reported at once; changes of the rate
    at most once per second.
    """

    def __init__(
        self, clock: Clock, on_event: Callable[[RunEvent], None], note: Note | None
    ) -> None:
        self._monotonic = clock.monotonic
        self._on_event = on_event
        self._note = note
        self._kind = pace_kind(None)
        self._told_at = 0.0
        self._told_refusals = 0

    def take(self, pace: Pace) -> None:
        """Receive a pace from the limiter, and report it if a report is due."""
        now, kind = self._monotonic(), pace_kind(pace)
        if kind == self._kind and (now - self._told_at < APART_S or pace.rate is None):
            return
        self._kind, self._told_at = kind, now
        self._on_event(RunPaceChanged(pace=pace))
        self._write(pace)

    def close(self, pace: Pace) -> None:
        """Write the last pace if attempts were refused since the last note."""
        if pace.refused_in_all != self._told_refusals:
            self._write(pace)

    def _write(self, pace: Pace) -> None:
        self._told_refusals = pace.refused_in_all
        if self._note is not None:
            details = {
                "rate": pace.rate,
                "declared": pace.declared,
                "paused_s": round(pace.paused_s, 3),
                "refused": pace.refused,
                "ended": pace.ended,
                "refused_in_all": pace.refused_in_all,
            }
            self._note(PACE, details)


@contextmanager
def pace_noted(
    limiter: Limiter, clock: Clock, on_event: Callable[[RunEvent], None], note: Note | None
) -> Iterator[None]:
    """Report and note the limiter's paces during the block; refusals count from its start."""
    before = limiter.pace().refused_in_all
    paces = PaceNotes(clock, on_event, note)

    def since(pace: Pace) -> Pace:
        return attrs.evolve(pace, refused_in_all=pace.refused_in_all - before)

    end_watch = limiter.watch(lambda pace: paces.take(since(pace)))
    try:
        yield
    finally:
        end_watch()
        paces.close(since(limiter.pace()))


def pace_in(details: Mapping[str, Any]) -> Pace | None:
    """Read the pace from a note's details; return None if they are invalid."""
    rate, paused_s = details.get("rate"), details.get("paused_s")
    refused, ended = details.get("refused"), details.get("ended")
    in_all = details.get("refused_in_all", 0)
    numbers = all(isinstance(each, int) for each in (refused, ended, in_all))
    if not numbers or not isinstance(rate, float | int | None):
        return None
    return Pace(
        rate=rate,
        declared=details.get("declared") is True,
        in_flight=0,
        paused_s=float(paused_s) if isinstance(paused_s, float | int) else 0.0,
        refused=int(refused or 0),
        ended=int(ended or 0),
        refused_in_all=int(in_all),
    )


def pace_kind(pace: Pace | None) -> str:
    """Return a word for what limits a pace: open, limited, declared or paused."""
    if pace is None or (pace.rate is None and not pace.paused_s):
        return "open"
    if pace.paused_s:
        return "paused"
    return "declared" if pace.declared else "limited"
