"""Exit codes: the result of a command, for scripts."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from enapter_async.errors import AmbiguousOutcomeError, EnapterError, StillPendingError


class Exit(enum.IntEnum):
    """The process's exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNKNOWN = 3
    STOPPED = 4
    REFUSED = 5
    CHANGES = 6
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Final[Mapping[Exit, str]] = MappingProxyType(
    {
        Exit.DONE: "everything was done; for a run in progress, nothing has gone wrong so far",
        Exit.FAILED: "something failed and was not done, or was done with a different result "
        "(`differs`)",
        Exit.USAGE: "wrong usage or input; nothing was sent",
        Exit.UNKNOWN: "at least one outcome is unknown (takes precedence over 1 and 4)",
        Exit.STOPPED: "stopped, for example by a 401, or something is `pending`; `fleet "
        "resume` carries out what was not started, and follows the rest",
        Exit.REFUSED: "refused: the run is in use, or the input, server, token or version differs; "
        "nothing was sent",
        Exit.CHANGES: "`fleet plan --check` or `fleet drift` found a difference",
        Exit.HUNG_UP: "interrupted because its terminal was closed (SIGHUP)",
        Exit.INTERRUPTED: "interrupted by Ctrl-C (SIGINT)",
        Exit.TERMINATED: "interrupted by SIGTERM",
    }
)


def exit_of_error(error: EnapterError) -> Exit:
    """Return the exit code of a single call that raised this error."""
    if isinstance(error, AmbiguousOutcomeError):
        return Exit.UNKNOWN
    return Exit.STOPPED if isinstance(error, StillPendingError) else Exit.FAILED
