"""The rate at which attempts may start: a state machine without I/O or a clock of its own.

A single refusal (429, or 503 with Retry-After) reveals nothing about the rate: servers limit per
device, shard their limiters, count other users. So attempts are judged in cohorts, by the share
that was refused, and a trial at a lower rate shows whether the rate matters at all::

                     too many refused: cut to the accepted rate
         ┌────────┐ ─────────────────────────────────────────▶ ┌─────────┐
    ────▶│  open  │                                            │  trial  │
         └────────┘ ◀───────────────────────────────────────── └─────────┘
            ▲  ▲      as many as before: it is chance               │ fewer: the rate matters
            │  │      (remembered as `base`), the old rate returns  ▼
            │  │                                               ┌─────────┐
            │  └─────────────────────────────────────────────  │ ceiling │ grows as a cubic:
            │         far above the ceiling, growth is free    └─────────┘ back, flat, beyond
            │
            │  a run of refusals freezes everything until the attempts in flight end:
            │      some passed: that is the rate, doubled while it is calm
            │      none passed: a pause (Retry-After or doubling), then one probe
            └── the probe passed: the mean rate since the last pause, doubled while it is calm

Sources: CUBIC (RFC 9438) for the growth; Wald's test for the trial; BBR (Cardwell et al.,
2016) for the idea that a loss is not congestion.
"""

import math
from collections.abc import Callable
from typing import Final

from enapter_async.limits.cohorts import MIN_SPAN_S, SPAN_S, Cohort, Trial, tolerated
from enapter_async.limits.pace import Pace, RecentRefusals
from enapter_async.limits.places import Places

ENOUGH: Final = 20
"""How many attempts fill a cohort."""
ENOUGH_WHILE_DOUBLING: Final = 6
"""How many attempts fill a cohort while the rate is doubled, and each cohort is a guess."""
MARGIN: Final = 0.02
"""The share of refusals, beyond chance, that does not reduce the rate."""
HEAVY: Final = 0.5
"""At this share of refusals or more, the rate becomes the accepted rate, without a reduction."""
CUT: Final = 0.8
"""The fraction of the accepted rate that remains after a cut."""
PLATEAU: Final = 4
"""After how many calm cohorts the rate is back at the ceiling; growth is free after twice these."""
ADDED_PER_S: Final = 0.4
"""The least growth of the rate per second of a calm cohort, in attempts per second; as it is the
same for all clients, it evens out the shares of several clients of one server."""
LOWEST_RATE: Final = 1.0
MOST_BASE: Final = 0.3
"""The largest share of refusals that is attributed to chance."""
BASE_HALVED_AFTER_S: Final = 10.0
"""The half-life of the known share, after which it is tested again."""
SURE: Final = 3.0
MOST_SURE: Final = 12.0
"""The evidence that ends a trial, as a logarithm: at first, and at most after wrong verdicts."""
TRIED: Final = 20
"""The minimum number of attempts before a trial attributes refusals to chance."""
IN_A_ROW: Final = 6
"""The number of consecutive refusals that freezes everything."""
FREEZE_S: Final = 2.0
"""The longest time that a freeze waits for attempts in flight."""
MEASURED_S: Final = 0.1
"""The rate measured in a freeze becomes the ceiling only if the freeze lasts at least this long."""
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0
LONGEST_TOLD_PAUSE_S: Final = 900.0
"""The longest pause that a server's Retry-After can impose on all calls."""
FORGOTTEN_AFTER_S: Final = 60.0
"""After this time without an attempt, knowledge of the server is out of date."""
CATCH_UP_S: Final = 0.002
"""The maximum lateness of a timer that is compensated."""


class Controller:
    """Decides when the next attempt may start, and learns from the result of each one.

    `max_in_flight` and `max_rate` (per second, or None) are never exceeded; `uniform(a, b)`
    returns a random number. All times are monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_in_flight: int,
        max_rate: float | None,
        uniform: Callable[[float, float], float],
    ) -> None:
        self._places = Places(max_in_flight)
        self._max_rate = max_rate
        self._uniform = uniform
        self._recent = RecentRefusals()
        self._last_began = -math.inf
        self.in_flight = 0
        self.refusals = 0
        """How many attempts were refused since the start."""
        self.epoch = 0
        """How often the allowed rate has changed."""
        self._cohort: Cohort | None = None
        self._earlier: Cohort | None = None
        self._forget()

    def _forget(self) -> None:
        """Reset to the state for an unknown server."""
        self._rate: float | None = None
        self._ceiling: float | None = None
        self._calm = 0
        self._doubling = False
        self._places.restart()
        self._base = 0.0
        self._base_found_at = 0.0
        self._trial: Trial | None = None
        self._claimed = False
        self._sure = SURE
        self._in_a_row = 0
        self._told_s = 0.0
        self._frozen_at: float | None = None
        self._passed_since_frozen = 0
        self._paused_until = 0.0
        self._pauses = 0
        self._probing = False
        self._probe: Cohort | None = None
        self._resumed_at: float | None = None
        self._passed_since_resumed = 0
        self._new_epoch()

    # When the next attempt may start.

    def holds_back(self, cohort: Cohort) -> bool:
        """Return whether an attempt that has begun should not be sent any more."""
        return self._frozen_at is not None or (self._probing and cohort.epoch != self.epoch)

    def opens_at(self, now: float) -> float:
        """Return when the next attempt may start; infinity if one must end first."""
        if self._frozen_at is not None:
            if now < self._frozen_at + FREEZE_S:
                return self._frozen_at + FREEZE_S
            self._thaw(now)
        if self._probing:
            if self._probe is not None and self._probe.in_flight:
                return math.inf
        elif self.in_flight >= self._places.allowed:
            return math.inf
        rate = self._allowed
        if rate is None:
            return self._paused_until
        return max(self._paused_until, self._last_began + 1.0 / rate)

    def try_begin(self, now: float) -> Cohort | None:
        """Start an attempt and return its cohort, or None if none may start now; usually fast."""
        cohort = self._cohort
        if (
            cohort is None
            or self._allowed is not None
            or self._probing
            or self._frozen_at is not None
            or self.in_flight >= self._places.allowed
            or now - cohort.began >= SPAN_S
        ):
            return self.begin(now) if self.opens_at(now) <= now else None
        self._last_began = now
        cohort.in_flight += 1
        self.in_flight += 1
        return cohort

    def begin(self, now: float) -> Cohort:
        """Count the start of an attempt that `opens_at` allows; return its cohort."""
        rate, cohort = self._allowed, self._cohort
        if cohort is None or now - cohort.began >= SPAN_S:
            cohort = self._fitting_cohort(now)
        if rate is None:
            self._last_began = now
        else:
            due = self._last_began + 1.0 / rate
            self._last_began = due if now - due < CATCH_UP_S else now
        cohort.in_flight += 1
        self.in_flight += 1
        if self._probing:
            self._probe = cohort
        return cohort

    def _fitting_cohort(self, now: float) -> Cohort:
        """Return the cohort of a starting attempt: a new one if the last one is full."""
        if now - self._last_began > FORGOTTEN_AFTER_S and not (self.in_flight or self._probing):
            self._forget()
        if self._resumed_at is None:
            self._resumed_at = now
        enough = ENOUGH_WHILE_DOUBLING if self._doubling else ENOUGH
        if self._cohort is not None and self._cohort.is_full(now, enough):
            self._close(self._cohort, now)
        if self._cohort is None:
            self._cohort = Cohort(self.epoch, now)
        return self._cohort

    def _close(self, cohort: Cohort, now: float) -> None:
        cohort.closed_at = now
        self._cohort = None
        earlier, self._earlier = self._earlier, cohort
        if earlier is not None and 4 * earlier.ended >= 3 * earlier.started:
            self._judge(earlier, now)  # unfinished attempts do not delay the verdict
        if not cohort.in_flight:
            self._judge(cohort, now)

    # How an attempt ended.

    def passed(self, cohort: Cohort, now: float) -> None:
        """Count an attempt that received any answer other than a refusal."""
        cohort.passed += 1
        self._in_a_row = 0
        self._passed_since_resumed += 1
        if self._frozen_at is not None:
            self._passed_since_frozen += 1
        if self.in_flight >= self._places.tested_from:
            self._places.grow()
        if self._trial is not None:
            self._count_in_trial(self._trial, cohort, now, refused=False)
        if cohort.closed_at is None and self._frozen_at is None:
            self.in_flight -= 1
            cohort.in_flight -= 1
        else:
            self._end(cohort, now)
        if self._probing and cohort.epoch == self.epoch:
            self._resume(now)

    def refused(self, cohort: Cohort, now: float, retry_after: float | None) -> None:
        """Count an attempt refused for too many requests, with the requested delay, if any."""
        cohort.refused += 1
        self.refusals += 1
        self._told_s = max(self._told_s if self._in_a_row else 0.0, retry_after or 0.0)
        self._in_a_row += 1
        if self._trial is not None:
            self._count_in_trial(self._trial, cohort, now, refused=True)
        if self._probing:
            self._end(cohort, now)
            if cohort.epoch == self.epoch:
                self._pause(now)
            return
        if self._in_a_row >= IN_A_ROW and self._frozen_at is None:
            self._frozen_at = now
            self._passed_since_frozen = 0
        self._end(cohort, now)

    def dropped(self, cohort: Cohort, now: float) -> None:
        """Withdraw an attempt that reveals nothing about the server: cancelled, or not sent."""
        self._end(cohort, now)

    def lost(self, cohort: Cohort, now: float, *, unreachable: bool = False) -> None:
        """Withdraw an attempt that got no answer, and allow fewer in flight.

        The attempt timed out, or the host was `unreachable`; it must not be flooded when it
        returns.
        """
        if unreachable:
            self._places.resume()
        else:
            self._places.lost(cohort.began, now)
        self._end(cohort, now)

    def _end(self, cohort: Cohort, now: float) -> None:
        self.in_flight -= 1
        cohort.in_flight -= 1
        if cohort.closed_at is not None and not cohort.in_flight:
            self._judge(cohort, now)
        if self._frozen_at is not None and not self.in_flight:
            self._thaw(now)

    # Learning from the results.

    def _set_rate(self, rate: float | None) -> None:
        self._rate = rate
        self._new_epoch()

    def _new_epoch(self) -> None:
        """Start a new epoch, because the rate or its meaning has changed."""
        rates = (self._max_rate, None if self._probing else self._rate)
        self._allowed = min((rate for rate in rates if rate is not None), default=None)
        self.epoch += 1
        self._cohort = None
        self._earlier = None

    def _judge(self, cohort: Cohort, now: float) -> None:
        """Learn from a cohort that has ended, or almost ended."""
        if cohort.judged or cohort.epoch != self.epoch or not cohort.ended:
            return
        cohort.judged = True
        self._recent.add(now, cohort.refused, cohort.ended)
        trial, claimed = self._trial, self._claimed
        if trial is not None and cohort.share <= max(MOST_BASE, 2.0 * trial.share):
            return  # the trial itself decides
        self._claimed = False
        if cohort.refused < 2 or cohort.share <= tolerated(self._base, MARGIN, cohort.ended):
            self._grow(cohort, now)
            return
        if claimed:  # refused more at the restored rate, so it was not chance after all
            self._base = 0.0
            self._sure = min(MOST_SURE, self._sure + 2.0)
        self._cut(cohort)

    def _grow(self, cohort: Cohort, now: float) -> None:
        if self._base and now - self._base_found_at > BASE_HALVED_AFTER_S:
            self._base /= 2.0
            self._base_found_at = now
        rate, ceiling = self._rate, self._ceiling
        if rate is None or cohort.rate(cohort.started) <= 0.6 * rate:
            return  # the rate was not used, so nothing is known about it
        self._calm += 1
        over = self._calm - 2 * PLATEAU
        if self._doubling or ceiling is None:
            grown = 2.0 * rate
        elif over <= 0:
            grown = ceiling * (1.0 + (1.0 - CUT) * (self._calm / PLATEAU - 1.0) ** 3)
        else:
            grown = rate * min(2.0, 1.1 + 0.1 * over)
        span = 1.0 if cohort.closed_at is None else cohort.closed_at - cohort.began
        self._set_rate(max(grown, rate + ADDED_PER_S * span))

    def _cut(self, cohort: Cohort) -> None:
        accepted, share = cohort.rate(cohort.passed), cohort.share
        chance_alone = 2.0 * math.sqrt(0.2 / cohort.ended)
        may_be_chance = share <= MOST_BASE + chance_alone
        self._trial = Trial(share, self._base + MARGIN, self._rate) if may_be_chance else None
        self._doubling = False
        self._ceiling = accepted
        self._calm = 0
        kept = CUT if share < HEAVY else 1.0
        self._set_rate(max(LOWEST_RATE, accepted * kept / (1.0 - self._base)))

    def _count_in_trial(self, trial: Trial, cohort: Cohort, now: float, *, refused: bool) -> None:
        if cohort.epoch != self.epoch:
            return
        trial.count(refused=refused)
        if trial.evidence <= -self._sure:
            self._trial = None
        elif trial.evidence >= self._sure and trial.number >= TRIED:
            self._trial = None
            if not trial.is_worse:
                self._base = min(MOST_BASE, trial.found)
                self._base_found_at = now
                self._claimed = True
                self._ceiling = trial.restore
                self._calm = PLATEAU
                self._set_rate(trial.restore)

    def _thaw(self, now: float) -> None:
        """End a freeze: use the rate that passed during it, or pause if nothing passed."""
        frozen_at = now if self._frozen_at is None else self._frozen_at
        self._frozen_at = None
        self._in_a_row = 0
        self._trial = None
        self._calm = 0
        if not self._passed_since_frozen:
            self._pause(now)
            return
        span = now - frozen_at
        accepted = self._passed_since_frozen / max(span, MIN_SPAN_S)
        self._doubling = span < MEASURED_S
        self._ceiling = None if self._doubling else accepted
        self._set_rate(max(LOWEST_RATE, accepted * (1.0 if self._doubling else CUT)))

    def _pause(self, now: float) -> None:
        """Allow no attempt for a while, then one probe."""
        doubled = FIRST_PAUSE_S * 2.0 ** min(self._pauses, 10)
        drawn = self._uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, doubled)
        self._paused_until = now + (min(self._told_s, LONGEST_TOLD_PAUSE_S) or drawn)
        self._pauses += 1
        self._probing = True
        self._probe = None
        self._in_a_row = 0
        self._new_epoch()

    def _resume(self, now: float) -> None:
        """Continue after a successful probe, at the mean rate since the start of the last pause."""
        since = now if self._resumed_at is None else self._resumed_at
        mean = self._passed_since_resumed / max(SPAN_S, now - since)
        self._resumed_at, self._passed_since_resumed = now, 0
        self._probing = False
        self._probe = None
        self._pauses = 0
        self._paused_until = 0.0
        self._places.resume()
        self._doubling = True
        self._ceiling = None
        self._calm = 0
        self._set_rate(max(LOWEST_RATE, mean))

    # What users see.

    def pace(self, now: float) -> Pace:
        """Return the currently allowed rate and number in flight, with the reason."""
        rate = self._allowed
        refused, ended = self._recent.counts(now)
        return Pace(
            rate=rate,
            declared=rate is not None and rate == self._max_rate,
            in_flight=self._places.allowed,
            paused_s=max(0.0, self._paused_until - now) if self._probing else 0.0,
            refused=refused,
            ended=ended,
            refused_in_all=self.refusals,
        )
