"""Decides when a run stops automatically, based on the outcomes of a session's operations."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal

import attrs

from enapter_async.errors import (
    AmbiguousOutcomeError,
    CachedAnswerError,
    ConfigurationError,
    DeadlineExceededError,
    EnapterError,
    NotFoundError,
    ResponseError,
    ResultLostError,
)
from enapter_async.fleet.errors import LeftUnknownError, RunAbortedError
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.operation import Operation

FailureType = Literal["all", "failed", "unknown", "differs", "timed_out"]

TYPES: Final = ("all", "failed", "unknown", "differs", "timed_out")
FAILURES: Final = ("failed", "unknown", "differs")
COUNTS: Final = ("executed", *FAILURES, "timed_out")
"""What is counted for the criteria."""
UNUSABLE_OF: Final = 10
"""How many operations at the start of a session are checked for unusable responses."""
UNUSABLE_MOST: Final = 3
"""If this many of their responses fit no schema, the run stops: the server is not the API."""

UNPROVEN_MOST: Final = 3
"""This many unproven 404 responses in a row stop the run: the server is not the API."""

_UNUSABLE: Final = frozenset(
    ("ResponseError", "ResponseMismatchError", "ResponseTooLargeError", "Unconfirmed")
)


@attrs.frozen(kw_only=True)
class AbortCriterion:
    """Stop when too large a share of the operations failed, once enough of them were executed.

    `failure_type` is "failed", "unknown" (it is not known whether it was done), "differs" (done,
    but not as requested), "timed_out" (the deadline passed), or "all" for any of them. The run
    stops when at least `min_executed` operations were executed and these failures are at least
    `threshold_percentage` of them (above 0, up to 100, two decimals). Executed operations are
    those that ended as applied, differs, failed or unknown; unchanged and absent ones do not
    count, since they do not show what a change does.

    Source: the abort criteria of AWS IoT Jobs.
    """

    failure_type: FailureType = "all"
    threshold_percentage: float
    min_executed: int = 1

    def __attrs_post_init__(self) -> None:
        if self.failure_type not in TYPES:
            raise ConfigurationError(
                f"failure_type is {self.failure_type!r}; use one of {', '.join(TYPES)}"
            )
        share = self.threshold_percentage
        if not 0 < share <= 100:
            raise ConfigurationError(
                f"threshold_percentage is {share!r}; it must be above 0 and at most 100"
            )
        if abs(share * 100 - round(share * 100)) > 1e-6:
            raise ConfigurationError(
                f"threshold_percentage is {share!r}; it may have at most two decimals"
            )
        if isinstance(self.min_executed, bool) or self.min_executed < 1:
            raise ConfigurationError(
                f"min_executed is {self.min_executed!r}; it must be a whole number of at least 1"
            )

    def met(self, executed: int, failures: int) -> bool:
        """Return whether this many failures among those executed are too many."""
        if executed < self.min_executed:
            return False
        return failures * 10_000 >= round(self.threshold_percentage * 100) * executed


def first_met(
    criteria: Sequence[AbortCriterion], counts: Mapping[str, int], of: str = "operations"
) -> str:
    """Return which criterion is met by the counts of executed operations and failures, or ""."""
    executed = counts["executed"]
    for each in criteria:
        kinds = FAILURES if each.failure_type == "all" else (each.failure_type,)
        failures = sum(counts[kind] for kind in kinds)
        if each.met(executed, failures):
            named = each.failure_type.replace("_", " ")
            kind = "differs, failed or unknown" if named == "all" else named
            return (
                f"{failures} of {executed} {of} ended as {kind} (limit: "
                f"{each.threshold_percentage:g} % once {each.min_executed} have finished)"
            )
    return ""


def counts_of(outcome: Outcome[Any]) -> tuple[str, ...]:
    """Return the counts for abort criteria to which an outcome adds; none if it is not executed."""
    if outcome.state not in _EXECUTED:
        return ()
    if outcome.state is State.APPLIED:
        return ("executed",)
    late = ("timed_out",) if isinstance(outcome.error, DeadlineExceededError) else ()
    return ("executed", outcome.state.value, *late)


DEFAULT_ABORT: Final = (
    AbortCriterion(failure_type="all", threshold_percentage=5.00, min_executed=50),
    AbortCriterion(failure_type="unknown", threshold_percentage=1.00, min_executed=20),
)
"""Stop if, of at least 50 operations, 5 % were not done as requested, or, of at least 20, 1 % are
unknown.
"""


_APPLIED: Final = State.APPLIED
"""Looked up once, because finding a member of an enumeration is slow."""
_EXECUTED: Final = frozenset({State.APPLIED, State.DIFFERS, State.FAILED, State.UNKNOWN})

Abort = Iterable[AbortCriterion] | AbortCriterion | None
"""The types accepted as a run's abort criteria; None means no criteria."""


def check_criteria(criteria: Any) -> tuple[AbortCriterion, ...]:
    """Return the criteria as a tuple, which is empty for None.

    Raises:
        ConfigurationError: an object given is not an `AbortCriterion`.
    """
    if criteria is None:
        return ()
    if isinstance(criteria, AbortCriterion):
        return (criteria,)
    found = tuple(criteria) if isinstance(criteria, Iterable) else (criteria,)
    for each in found:
        if not isinstance(each, AbortCriterion):
            raise ConfigurationError(
                f"abort must be of type AbortCriterion, such as "
                f"AbortCriterion(threshold_percentage=5), or a list of them, not "
                f"{type(each).__name__}"
            )
    return found


def parse_criterion(text: str) -> AbortCriterion:
    """Parse a criterion in the command line's notation: `all:5%:50`, or `unknown:1%`.

    Raises:
        ConfigurationError: the text is invalid; the message says why.
    """
    kind, _, rest = text.partition(":")
    share, _, least = rest.partition(":")
    try:
        percentage = float(share.strip().removesuffix("%"))
        executed = int(least) if least else 1
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is not a criterion; write TYPE:PERCENT%:LEAST, such as all:5%:50"
        ) from None
    return AbortCriterion(
        failure_type=kind.strip().replace("-", "_"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # checked within
        threshold_percentage=percentage,
        min_executed=executed,
    )


class AbortJudge:
    """Counts the outcomes of this session, and decides when a criterion is met."""

    def __init__(self, criteria: tuple[AbortCriterion, ...]) -> None:
        self._criteria = criteria
        self._counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self._failed = False
        """Whether any operation failed; until then, no criterion is met."""
        self._unusable = 0
        self._unproven = 0

    @property
    def executed(self) -> int:
        """How many operations were executed."""
        return self._counts["executed"]

    def judge(self, outcome: Outcome[Any]) -> RunAbortedError | None:
        """Record an outcome; if a limit is now exceeded, return the error that stops the run."""
        if outcome.error is None and not self._failed and outcome.state is _APPLIED:
            self._counts["executed"] += 1
            return None
        if isinstance(outcome.error, LeftUnknownError):
            return None  # executed by an earlier session
        added = counts_of(outcome)
        if not added:
            return None
        for name in added:
            self._counts[name] += 1
        self._failed |= len(added) > 1
        reason = self._other_server(outcome.operation, outcome.error)
        reason = reason or first_met(self._criteria, self._counts)
        return RunAbortedError(reason) if reason else None

    def _other_server(self, operation: Operation[Any], error: EnapterError | None) -> str:
        """Return why the server seems not to be the API; "" if it seems to be."""
        self._unproven = self._unproven + 1 if _is_unproven(operation, error) else 0
        if self._unproven == UNPROVEN_MOST:
            return (
                f"{UNPROVEN_MOST} operations in a row got a 404 that does not come from an "
                f"Enapter API; check base_url"
            )
        if self.executed <= UNUSABLE_OF and _is_unusable(error):
            self._unusable += 1
            if self._unusable == UNUSABLE_MOST:
                return (
                    f"{UNUSABLE_MOST} of the first {self.executed} responses fit no schema: "
                    "this is not the API, or a different version of it; check base_url"
                )
        return ""


def _is_unproven(operation: Operation[Any], error: EnapterError | None) -> bool:
    """Return whether an operation ended with a 404 that does not come from a known API."""
    if isinstance(error, AmbiguousOutcomeError) and operation.holds(None):
        return bool(error.attempts) and error.attempts[-1].status == HTTPStatus.NOT_FOUND
    return isinstance(error, NotFoundError) and not error.proven


def _is_unusable(error: EnapterError | None) -> bool:
    if error is None:
        return False
    if isinstance(error, ResponseError):
        return not isinstance(error, CachedAnswerError)
    last = error.attempts[-1].error_type if error.attempts else ""
    # Without failed attempts, the result was lost in storage: the response was usable.
    return last in _UNUSABLE or (isinstance(error, ResultLostError) and bool(error.attempts))
