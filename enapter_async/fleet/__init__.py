"""Plan, apply and undo many operations as one run: `plan`, `apply`, `Run`, `undo`.

`distribute` and `Worker` carry out one run, then called a job, by several processes.
"""

from enapter_async.errors import ResultDiffersError as ResultDiffersError
from enapter_async.fleet.apply_and_resume import apply, resume
from enapter_async.fleet.credentials import CredentialsFile
from enapter_async.fleet.desired_files import read_desired
from enapter_async.fleet.distributed.job import Job, distribute
from enapter_async.fleet.distributed.job_status import JobStatus
from enapter_async.fleet.distributed.worker import Worker
from enapter_async.fleet.errors import (
    CredentialsNotKeptError,
    ForeignCancellationError,
    InputConflictError,
    InputError,
    JournalError,
    LeftUnknownError,
    NoRoomError,
    NotStartedError,
    PausedTooLongError,
    PlanCarriedOutError,
    PlanFileError,
    Problem,
    RunAbortedError,
    RunBusyError,
    RunRefusedError,
    StaleError,
    TakenOverError,
    UnsteadyFleetError,
    WaveNotPassedError,
)
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import prepare_journals, request_stop
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.operation_files import read_operations
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import (
    Outcome,
    Report,
    RunEvent,
    RunGoesOn,
    RunPaceChanged,
    RunStopped,
    RunWaiting,
    State,
    WaveBegan,
    WavePassed,
)
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.drift import Guard, GuardMode, StateGuard
from enapter_async.fleet.planning.exporting import export
from enapter_async.fleet.planning.plan import Plan, read_plan
from enapter_async.fleet.planning.plan_file import PlanHeader, PlanItem
from enapter_async.fleet.planning.planner import plan
from enapter_async.fleet.planning.rollback import Lasting, Undo, UndoOnly, undo
from enapter_async.fleet.progress import Estimate
from enapter_async.fleet.reporting.html import write_report
from enapter_async.fleet.reporting.status import RunStatus, status
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, AbortCriterion
from enapter_async.fleet.rollout.waves import Gate, HealthGate, Rollout
from enapter_async.fleet.run import Run
from enapter_async.fleet.waits import Reason, Wait
from enapter_async.operations.device_plans import Change, Export
from enapter_async.operations.device_selection import PropertyCondition, Selection, Template

Work = WorkItem
"""The old name of `WorkItem`, kept for existing programs."""

__all__ = [
    "DEFAULT_ABORT",
    "AbortCriterion",
    "Change",
    "CredentialsFile",
    "CredentialsNotKeptError",
    "Estimate",
    "Export",
    "ForeignCancellationError",
    "Gate",
    "Guard",
    "GuardMode",
    "HealthGate",
    "InputConflictError",
    "InputError",
    "Job",
    "JobStatus",
    "JournalError",
    "JournalOptions",
    "Lasting",
    "LeftUnknownError",
    "NoRoomError",
    "NotStartedError",
    "Outcome",
    "PausedTooLongError",
    "Plan",
    "PlanCarriedOutError",
    "PlanFileError",
    "PlanHeader",
    "PlanItem",
    "Problem",
    "PropertyCondition",
    "Reason",
    "Report",
    "Rollout",
    "Run",
    "RunAbortedError",
    "RunBusyError",
    "RunEvent",
    "RunGoesOn",
    "RunOptions",
    "RunPaceChanged",
    "RunRefusedError",
    "RunStatus",
    "RunStopped",
    "RunWaiting",
    "Selection",
    "StaleError",
    "State",
    "StateGuard",
    "TakenOverError",
    "Template",
    "Undo",
    "UndoOnly",
    "UnsteadyFleetError",
    "Verdict",
    "Wait",
    "WaveBegan",
    "WaveNotPassedError",
    "WavePassed",
    "Work",
    "WorkItem",
    "Worker",
    "apply",
    "distribute",
    "export",
    "plan",
    "prepare_journals",
    "read_desired",
    "read_operations",
    "read_plan",
    "request_stop",
    "resume",
    "status",
    "undo",
    "write_report",
]
