"""Many operations, one intention: `fleet.apply` and `fleet.Run`."""

from enapter_async.fleet.continuing import JournalOptions
from enapter_async.fleet.credentials import CredentialsFile
from enapter_async.fleet.engine import Run
from enapter_async.fleet.inputs import InputError, Problem, read_operations
from enapter_async.fleet.item import CredentialsNotKeptError, NoRoomError, ResultDiffersError
from enapter_async.fleet.jobs import apply, resume
from enapter_async.fleet.journal import JournalError, RunRefusedError
from enapter_async.fleet.merging import ConflictError
from enapter_async.fleet.report import NotStartedError, Outcome, Report, State
from enapter_async.fleet.work import Work

__all__ = [
    "ConflictError",
    "CredentialsFile",
    "CredentialsNotKeptError",
    "InputError",
    "JournalError",
    "JournalOptions",
    "NoRoomError",
    "NotStartedError",
    "Outcome",
    "Problem",
    "Report",
    "ResultDiffersError",
    "Run",
    "RunRefusedError",
    "State",
    "Work",
    "apply",
    "read_operations",
    "resume",
]
