"""Decides the next step of a job from counts alone; every worker reaches the same decision.

Workers write counts next to their partitions. One of them at a time, the *keeper*, adds these up
and asks `next_step`. No decision depends on the memory of an earlier keeper.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from enapter_async.fleet.outcomes import State
from enapter_async.fleet.rollout.abort import COUNTS, AbortCriterion, first_met
from enapter_async.fleet.rollout.waves import CAREFUL, Rollout

_NOT_PASSED: Final = re.compile(r"wave \d+ did not pass")
_GAVE_BACK: Final = "a partition was returned"
MOST_FAILURES: Final = 3
"""How often a partition may be returned because of an error before the job stops."""


@attrs.frozen(kw_only=True)
class WaveCounts:
    """The counts that the workers have reported for the partitions of one wave.

    `open` is how many are not finished; `counts` the items by state (those not started are held,
    once all partitions are finished); `judged` counts those executed since the job was last
    resumed, in total and by type of failure. `failures` is the highest number of times that one
    partition was returned because of an error, and `why` is that error.
    """

    wave: int
    partitions: int = 0
    open: int = 0
    size: int = 0
    counts: Mapping[State, int] = attrs.field(factory=dict)
    judged: Mapping[str, int] = attrs.field(factory=dict)
    failures: int = 0
    why: str = ""


@attrs.frozen(kw_only=True)
class Position:
    """The progress of a job: `wave` is the wave in progress, counted from 0 (-1: none yet).

    `hold_until` is when the hold after that wave ends, or None before the hold; `now` is read from
    the same clock. `accepted` means that the job continues even though that wave did not pass.
    """

    wave: int
    now: float
    hold_until: float | None = None
    accepted: bool = False


@attrs.frozen
class Stop:
    """Start nothing more, anywhere."""

    why: str


@attrs.frozen
class Hold:
    """Start the pause after a wave that passed."""

    seconds: float


@attrs.frozen
class Begin:
    """Let workers take the partitions of a wave, once the health gate, if any, lets it start."""

    wave: int


@attrs.frozen
class End:
    """Everything is finished."""


@attrs.frozen
class Wait:
    """There is nothing to decide yet."""


Step = Stop | Hold | Begin | End | Wait


def next_step(
    waves: Sequence[WaveCounts],
    position: Position,
    *,
    rollout: Rollout | None,
    criteria: Sequence[AbortCriterion],
) -> Step:
    """Return what to do next; `waves` are all waves of the job, in order."""
    started = [each for each in waves if each.wave <= position.wave]
    following = [each.wave for each in waves if each.wave > position.wave]
    open_ = any(each.open for each in started)
    # As in a run of one process, failures in the last wave do not stop the job.
    judged = bool(following) and rollout is not None and not (open_ or position.accepted)
    why = _too_many(waves, criteria) or _given_up(waves) or (_not_passed(started) if judged else "")
    if why:
        return Stop(why)
    if open_:
        return Wait()
    if not following:
        return End()
    return (_pause(position, rollout) if started and rollout else None) or Begin(following[0])


def _pause(position: Position, rollout: Rollout) -> Step | None:
    """Return the next step of the pause after a wave, or None if the pause is over."""
    if position.hold_until is None:
        return Hold(rollout.hold) if rollout.hold else None
    return Wait() if position.now < position.hold_until else None


def _too_many(waves: Sequence[WaveCounts], criteria: Sequence[AbortCriterion]) -> str:
    """Return the criterion that the whole job meets, or ""."""
    judged = {key: sum(each.judged.get(key, 0) for each in waves) for key in COUNTS}
    return first_met(criteria, judged, "operations of all workers")


def _given_up(waves: Sequence[WaveCounts]) -> str:
    for each in waves:
        if each.failures >= MOST_FAILURES:
            return f"{_GAVE_BACK} {each.failures} times: {each.why}"
    return ""


def _not_passed(waves: Sequence[WaveCounts]) -> str:
    """Return a description of the first fault in the first waves, or ""."""
    for wave in waves[:CAREFUL]:
        bad = {state: number for state, number in wave.counts.items() if not state.done}
        if wave.wave < CAREFUL and any(bad.values()):
            states = ", ".join(f"{number} {state}" for state, number in bad.items() if number)
            return f"wave {wave.wave + 1} did not pass: of {wave.size} items, {states}"
    return ""


def is_wave_refused(stop: str) -> bool:
    """Return whether a job was stopped because a wave did not pass."""
    return _NOT_PASSED.match(stop) is not None


def without_reason(stop: str) -> str:
    """Return why a job was stopped, without the text of an error, which may be a server's."""
    return stop.partition(": ")[0] if stop.startswith(_GAVE_BACK) else stop
