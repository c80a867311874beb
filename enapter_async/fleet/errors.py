"""Every error of a fleet job.

::

    EnapterError
    ├── ConfigurationError                 nothing was sent
    │   ├── InputError                     a file of operations has problems
    │   ├── InputConflictError             operations contradict each other
    │   ├── RunNotFoundError               there is no such run
    │   └── RunRefusedError                the run cannot be continued by this call
    │       ├── RunBusyError               another runner is at work on it
    │       ├── PlanCarriedOutError        another run has carried the plan out
    │       └── PlanFileError              it is no plan, or not the one that it was
    ├── NotStartedError                    held: nothing was sent for this item
    │   └── StaleError                     its device is not as planned any more
    ├── EarlierError                       what an earlier session's journal says
    ├── UnsteadyFleetError                 the list of devices changed too fast to read
    ├── RunAbortedError                    the run stopped: an abort criterion was met
    ├── WaveNotPassedError                 the run stopped: a wave did not go as it must
    ├── PausedTooLongError                 the run stopped: nothing got through for too long
    ├── JournalError                       the run stopped: its journal cannot be written
    ├── NoRoomError                        the run stopped: no room to keep credentials
    ├── ForeignCancellationError           the run stopped: something cancelled a part of it
    └── AmbiguousOutcomeError
        ├── LeftUnknownError               an earlier session may have done it
        └── ResultLostError
            └── CredentialsNotKeptError    generated, and not kept
"""

from typing import Final

import attrs

from enapter_async.errors import (
    AmbiguousOutcomeError,
    ConfigurationError,
    EnapterError,
    ResultLostError,
)


class NotStartedError(EnapterError):
    """An operation was held: nothing was sent for it, and why stands in the message.

    `because` is the error that stopped the run, or None where an earlier operation of
    the same device is the reason, or the caller's own stop.
    """

    def __init__(self, message: str, *, because: EnapterError | None = None) -> None:
        super().__init__(message)
        self.because = because


class StaleError(NotStartedError):
    """An item was held: its device is no longer as planned, or could not be read."""


class JournalError(EnapterError):
    """The journal could not be written, so that nothing more is sent."""


class ForeignCancellationError(EnapterError):
    """Something of a run was cancelled, and neither by the run nor by whoever waits for it.

    As by a hook, sink, guard or input that lets out the `CancelledError` of a task of its own.
    """


class RunRefusedError(ConfigurationError):
    """A run cannot be continued by this call: another input, server, token, version, runner."""


class RunBusyError(RunRefusedError):
    """Another runner is at work on the run, in this process or in another one."""


class PlanFileError(RunRefusedError):
    """A file is no plan, or no longer the plan that it was; nothing was sent."""


class PlanCarriedOutError(RunRefusedError):
    """Another run has carried the plan out; nothing was sent."""


class RunNotFoundError(ConfigurationError):
    """There is no such run, or more than one."""


class EarlierError(EnapterError):
    """What an earlier session's journal says of an error; `error_type` is its class's name.

    `status` is the HTTP status and `code` the API's first, where it refused; `noun` what
    the operation was about.
    """

    def __init__(
        self,
        message: str,
        *,
        error_type: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        noun: str = "",
    ) -> None:
        super().__init__(message)
        self.noun = noun
        self.error_type = error_type
        self.status = status
        self.code = code
        self.request_id = request_id


PROBLEMS_SHOWN: Final = 20


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that is wrong in a file. `line` counts from 1; 0 means the whole file."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class InputError(ConfigurationError):
    """A file of operations has problems; nothing was sent.

    `problems` holds all of them in order of lines; the message shows the first 20.
    """

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        shown = [f"  {problem}" for problem in problems[:PROBLEMS_SHOWN]]
        if len(problems) > PROBLEMS_SHOWN:
            shown.append(f"  and {len(problems) - PROBLEMS_SHOWN} more")
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source}: {count}, nothing was sent", *shown]))
        self.problems = problems


CONFLICTS_SHOWN: Final = 20


class InputConflictError(ConfigurationError):
    """Operations of one input contradict each other; nothing was sent.

    `conflicts` tells each; the message shows the first 20. Positions count from 0.
    """

    def __init__(self, conflicts: tuple[str, ...]) -> None:
        shown = [f"  {conflict}" for conflict in conflicts[:CONFLICTS_SHOWN]]
        if len(conflicts) > CONFLICTS_SHOWN:
            shown.append(f"  and {len(conflicts) - CONFLICTS_SHOWN} more")
        super().__init__(
            "\n".join(["the operations contradict each other, nothing was sent:", *shown])
        )
        self.conflicts = conflicts


class CredentialsNotKeptError(ResultLostError):
    """Credentials were generated, and the sink that should keep them did not take them.

    The run stops at the first one, because the next would be lost alike.
    """


class NoRoomError(EnapterError):
    """There is no room to keep credentials, so none are generated."""


class LeftUnknownError(AmbiguousOutcomeError):
    """An earlier session may have done it, and this one did not start it.

    Unlike what is held, it may have happened.
    """


class UnsteadyFleetError(EnapterError):
    """Devices came and went faster than their list could be read; try again later."""


class PausedTooLongError(EnapterError):
    """The server let nothing through for too long, or asked for too long a pause."""


class WaveNotPassedError(EnapterError):
    """A wave did not go as it must before a larger one may begin.

    A run with a journal can go on later. It then looks at that wave again, and stops again with
    this error unless the wave has come right by then: what failed was done by `retry_failed`,
    what is unknown was done or acknowledged by `ambiguous`, a device that did not show what was
    set shows it now. `accept_wave` goes on all the same. See `JournalOptions`.
    """


class RunAbortedError(EnapterError):
    """A criterion was met, so that nothing more was started; the run can go on later."""
