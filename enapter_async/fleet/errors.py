"""All errors that fleet runs and plans raise or report.

::

    EnapterError
    ├── ConfigurationError                 nothing was sent
    │   ├── InputError                     a file of operations has problems
    │   ├── InputConflictError             operations contradict each other
    │   ├── RunNotFoundError               there is no such run
    │   └── RunRefusedError                the run cannot be continued by this call
    │       ├── RunBusyError               another runner is executing it
    │       │   └── AlreadyResumedError    another process has resumed the job
    │       ├── PlanCarriedOutError        another run has carried out the plan
    │       └── PlanFileError              it is not a plan, or was changed
    ├── NotStartedError                    held: nothing was sent for this item
    │   └── StaleError                     its device is no longer as planned
    ├── EarlierError                       an error of an earlier session, from the journal
    ├── UnsteadyFleetError                 the list of devices changed too fast to read
    ├── RunAbortedError                    the run stopped: an abort criterion was met
    ├── WaveNotPassedError                 the run stopped: a wave did not pass
    ├── PausedTooLongError                 the run stopped: nothing got through for too long
    ├── JournalError                       the run stopped: its journal cannot be written
    │   └── TakenOverError                 another session has taken over the run
    ├── NoRoomError                        the run stopped: no room to store credentials
    ├── ForeignCancellationError           the run stopped: something cancelled a part of it
    └── AmbiguousOutcomeError
        ├── LeftUnknownError               an earlier session may have done it
        └── ResultLostError
            └── CredentialsNotKeptError    generated, but not stored
"""

from collections.abc import Sequence
from typing import Final

import attrs

from enapter_async.errors import (
    AmbiguousOutcomeError,
    ConfigurationError,
    EnapterError,
    ResultLostError,
)


class NotStartedError(EnapterError):
    """An operation was held: nothing was sent for it, and the message says why.

    `because` is the error that stopped the run, or None if the reason is an earlier
    operation on the same device, or that the caller stopped the run.
    """

    def __init__(self, message: str, *, because: EnapterError | None = None) -> None:
        super().__init__(message)
        self.because = because


class StaleError(NotStartedError):
    """An item was held because its device is no longer as planned, or could not be read."""


class JournalError(EnapterError):
    """The journal could not be written, so nothing more is sent."""


class TakenOverError(JournalError):
    """Another session has taken over the run, because this one's lease was over.

    This session no longer writes, and therefore sends nothing; the other session continues the run.
    """


class ForeignCancellationError(EnapterError):
    """A part of a run was cancelled, but neither by the run itself nor by its caller.

    For example, a hook, sink, guard or input let the `CancelledError` of its own task escape.
    """


class RunRefusedError(ConfigurationError):
    """This call cannot continue the run; nothing was sent.

    The run is in use, or its input, server, token or version differs.
    """


class RunBusyError(RunRefusedError):
    """Another runner is executing the run, in this process or another one."""


class AlreadyResumedError(RunBusyError):
    """A job is in progress, because another process has resumed it; the message names that one."""


def busy(run: object) -> str:
    """Return the message of a `RunBusyError`."""
    return f"another runner is executing {run}: wait until it has ended, or stop it (`fleet stop`)"


class PlanFileError(RunRefusedError):
    """The file is not a plan, or the plan was changed; nothing was sent."""


class PlanCarriedOutError(RunRefusedError):
    """Another run has carried out the plan; nothing was sent."""


class RunNotFoundError(ConfigurationError):
    """No run matches, or more than one does."""


class EarlierError(EnapterError):
    """An error of an earlier session, read from the journal; `error_type` is its class name.

    If the API returned an error, `status` is the HTTP status and `code` the first error code.
    `noun` is the kind of object that the operation was about.
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
    """One problem in a file. `line` counts from 1; 0 means the whole file."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


def _listed(what: str, problems: Sequence[object]) -> str:
    shown = [what, *(f"  {each}" for each in problems[:PROBLEMS_SHOWN])]
    left = len(problems) - PROBLEMS_SHOWN
    return "\n".join((*shown, f"  and {left} more") if left > 0 else shown)


class InputError(ConfigurationError):
    """A file of operations has problems; nothing was sent.

    `problems` holds all of them in line order; the message shows the first 20.
    """

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(_listed(f"{source}: {count}; nothing was sent", problems))
        self.problems = problems


class InputConflictError(ConfigurationError):
    """Operations of one input contradict each other; nothing was sent.

    `conflicts` describes each; the message shows the first 20. Positions count from 0.
    """

    def __init__(self, conflicts: tuple[str, ...]) -> None:
        what = "the operations contradict each other; nothing was sent:"
        super().__init__(_listed(what, conflicts))
        self.conflicts = conflicts


class CredentialsNotKeptError(ResultLostError):
    """Credentials were generated, but could not be stored.

    The run stops at the first such error, because the next credentials would be lost too.
    """


class NoRoomError(EnapterError):
    """There is no room to store credentials, so none are generated."""


class LeftUnknownError(AmbiguousOutcomeError):
    """An earlier session may have carried out the operation; this one did not start it.

    Unlike a held operation, it may have been carried out.
    """


class UnsteadyFleetError(EnapterError):
    """Devices came and went faster than their list could be read; try again later."""


class PausedTooLongError(EnapterError):
    """The server let no request through for too long, or requested too long a pause."""


class WaveNotPassedError(EnapterError):
    """A wave did not pass its checks, so the next wave must not start.

    A run with a journal can be resumed later. It then checks that wave again, and stops with the
    same error unless the wave now passes. To pass, failed operations must be done with
    `retry_failed`, unknown ones must be done or acknowledged with `ambiguous`, and all devices must
    show the new values. `accept_wave` continues anyway. See `JournalOptions`.
    """


class RunAbortedError(EnapterError):
    """An abort criterion was met, so nothing more was started; the run can be resumed later."""
