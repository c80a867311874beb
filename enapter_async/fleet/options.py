"""The options of a run, with their defaults."""

import os
from typing import Any, Final, Self, TypedDict

import attrs

from enapter_async.api.accepted import WAIT
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.credentials import CredentialsSink
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.obstacles import MAX_PAUSE
from enapter_async.fleet.outcomes import OnEvent
from enapter_async.fleet.planning.drift import Guard, GuardMode
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, Abort, AbortCriterion, check_criteria
from enapter_async.fleet.rollout.waves import Rollout

Credentials = str | os.PathLike[str] | CredentialsSink


CARRIED: Final = ("concurrency", "check", "guard", "max_pause", "wait")
"""The options of a job that hold for the run of each of its partitions, too."""


class SessionKeywords(TypedDict, total=False):
    """Options that may change each time a run is resumed; see `RunOptions`."""

    concurrency: int
    abort: Abort
    check: bool
    guard: Guard | GuardMode | None
    max_pause: float
    wait: float
    on_event: OnEvent | None
    credentials: Credentials | None


class RunKeywords(SessionKeywords, total=False):
    """Options that may be chosen when a run is started; see `RunOptions`."""

    journal: str | os.PathLike[str] | JournalOptions | None
    rollout: Rollout | None
    again: bool


def _guard(given: Any) -> Guard | GuardMode:
    if given is None:
        return GuardMode.AUTO
    if isinstance(given, str):
        if given not in tuple(GuardMode):
            raise ConfigurationError(
                f"guard is {given!r}; use one of {', '.join(GuardMode)}, or a custom guard"
            )
        return GuardMode(given)
    guard: Guard = given
    return guard


def _journal(given: Any) -> JournalOptions | None:
    return given if isinstance(given, JournalOptions | None) else JournalOptions(path=given)


def _check_seconds(name: str, value: object, *, above: bool = False) -> None:
    """Raise if a setting is not a number of seconds, such as a `timedelta`; it may be infinite."""
    seconds = value if isinstance(value, int | float) and not isinstance(value, bool) else -1
    if not (seconds > 0 if above else seconds >= 0):
        bound = " above 0" if above else ", at least 0"
        raise ConfigurationError(f"{name} is {value!r}; it must be a number of seconds{bound}")


@attrs.frozen(kw_only=True)
class RunOptions:
    """Options for how a run is carried out; see `fleet.Run` for the details of each option.

    `concurrency` is the maximum number of operations in flight. `journal` is the path of a file,
    the address of a run in PostgreSQL, or `JournalOptions`. `rollout` splits the input into waves.
    `abort` contains the criteria that stop the run; None means no criteria. `credentials` is the
    path of a file or a callable that receives generated configurations. With `check` each device is
    read before it is written. `guard` checks that devices are still as planned: a mode of
    `StateGuard`, or a custom guard. The run stops if no request gets through for `max_pause`
    seconds. An operation that the API only accepts, such as a command, is followed for at most
    `wait` seconds, and then `pending`. `on_event` is called with events that concern the run as a
    whole. A plan with once-only operations can be carried out only once; with `again`, this is
    neither checked nor recorded.

    Raises:
        ConfigurationError: a value is invalid; the message says which values are valid.
    """

    concurrency: int = 64
    journal: JournalOptions | None = attrs.field(default=None, converter=_journal)
    rollout: Rollout | None = None
    abort: tuple[AbortCriterion, ...] = attrs.field(default=DEFAULT_ABORT, converter=check_criteria)
    credentials: Credentials | None = None
    check: bool = False
    guard: Guard | GuardMode = attrs.field(default=GuardMode.AUTO, converter=_guard)
    max_pause: float = MAX_PAUSE
    wait: float = WAIT
    on_event: OnEvent | None = None
    again: bool = False

    def __attrs_post_init__(self) -> None:
        most: object = self.concurrency
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise ConfigurationError(
                f"concurrency is {most!r}; it must be a whole number, at least 1"
            )
        rollout: object = self.rollout
        if not isinstance(rollout, Rollout | None):
            raise ConfigurationError(
                f"rollout is {rollout!r}; pass waves such as fleet.Rollout(waves=(1, '10%'))"
            )
        _check_seconds("max_pause", self.max_pause, above=True)
        _check_seconds("wait", self.wait)

    @classmethod
    def of(cls, options: Self | None, keywords: RunKeywords) -> Self:
        """Return the options, overridden by the keywords."""
        return attrs.evolve(options, **keywords) if options is not None else cls(**keywords)
