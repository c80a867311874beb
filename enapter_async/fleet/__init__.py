"""Many operations, one intention: `fleet.apply` and `fleet.Run`."""

from enapter_async.fleet.credentials import CredentialsFile
from enapter_async.fleet.engine import Run, apply
from enapter_async.fleet.inputs import InputError, Problem, read_operations
from enapter_async.fleet.item import CredentialsNotKeptError
from enapter_async.fleet.report import NotStartedError, Outcome, Report, State

__all__ = [
    "CredentialsFile",
    "CredentialsNotKeptError",
    "InputError",
    "NotStartedError",
    "Outcome",
    "Problem",
    "Report",
    "Run",
    "State",
    "apply",
    "read_operations",
]
