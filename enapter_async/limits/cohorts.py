"""Groups of attempts that are judged together, and a test to distinguish chance from overload."""

import math
from typing import Final

SPAN_S: Final = 0.25
"""The shortest time for which attempts are gathered into one cohort, in seconds."""
LONG_SPAN_S: Final = 1.0
FEW: Final = 4
"""The number of attempts that is sufficient once a cohort is `LONG_SPAN_S` old."""
MIN_SPAN_S: Final = 0.02
"""The shortest time over which a rate is measured, in seconds."""


class Cohort:
    """The attempts that started within one time span, in one epoch.

    A share of refusals is meaningful only for attempts that started at the same rate, so a
    cohort belongs to one `epoch`, which ends when the rate changes. It is also the permit of each
    of its attempts: the caller that ends an attempt passes the cohort in which it started.
    """

    __slots__ = ("began", "closed_at", "epoch", "in_flight", "judged", "passed", "refused")

    def __init__(self, epoch: int, began: float) -> None:
        self.epoch = epoch
        self.began = began
        self.closed_at: float | None = None
        self.in_flight = 0
        self.passed = 0
        self.refused = 0
        self.judged = False

    @property
    def started(self) -> int:
        """How many attempts started in the cohort and were not withdrawn."""
        return self.in_flight + self.passed + self.refused

    @property
    def ended(self) -> int:
        """How many attempts were answered."""
        return self.passed + self.refused

    @property
    def share(self) -> float:
        """The share of the answered attempts that were refused."""
        return self.refused / self.ended

    def is_full(self, now: float, enough: int) -> bool:
        """Return whether the cohort needs no more attempts."""
        age, started = now - self.began, self.started
        return age >= SPAN_S and (started >= enough or (age >= LONG_SPAN_S and started >= FEW))

    def rate(self, number: int) -> float:
        """Return `number` attempts as attempts per second of the cohort's span."""
        end = self.began if self.closed_at is None else self.closed_at
        return number / max(end - self.began, MIN_SPAN_S)


def tolerated(base: float, margin: float, number: int) -> float:
    """Return the largest share of refusals among `number` attempts that does not mean overload.

    The result is the sum of the share that is always refused (`base`), a margin, and two standard
    deviations.
    """
    share = base + margin
    return share + 2.0 * math.sqrt(share * (1.0 - share) / number)


class Trial:
    """Uses a lower rate to find out whether refusals depend on the rate at all.

    This is Wald's sequential probability ratio test over the attempts of the trial. It decides
    whether they end as before (`share`), or as expected of a server that is no longer overloaded
    (`calm`). `restore` is the rate to restore if the refusals turn out not to depend on the rate.

    Source: A. Wald, "Sequential Tests of Statistical Hypotheses", 1945.
    """

    __slots__ = ("_if_passed", "_if_refused", "evidence", "number", "refused", "restore", "share")

    HIGHEST: Final = 0.6
    LEAST_DIFFERENCE: Final = 0.02

    def __init__(self, share: float, calm: float, restore: float | None) -> None:
        self.share = share
        self.restore = restore
        self.number = 0
        self.refused = 0
        self.evidence = 0.0
        """The log-likelihood ratio: same share against calm server."""
        same = min(self.HIGHEST, max(share, calm + self.LEAST_DIFFERENCE))
        self._if_refused = math.log(same / calm)
        self._if_passed = math.log((1.0 - same) / (1.0 - calm))

    def count(self, *, refused: bool) -> None:
        """Count an attempt of the trial that ended."""
        self.number += 1
        self.refused += refused
        self.evidence += self._if_refused if refused else self._if_passed

    @property
    def found(self) -> float:
        """The share of refusals among the attempts of the trial."""
        return self.refused / self.number

    @property
    def is_worse(self) -> bool:
        """Whether refusals rose at the lower rate, because the server's capacity fell."""
        return self.found > 1.6 * self.share + 0.03
