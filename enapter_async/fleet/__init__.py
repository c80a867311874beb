"""Many operations, one intention: `fleet.plan`, `fleet.apply`, `fleet.Run`, `fleet.undo`."""

from enapter_async.fleet.credentials.file import CredentialsFile
from enapter_async.fleet.engine import Run
from enapter_async.fleet.events import (
    RunEvent,
    RunGoesOn,
    RunStopped,
    RunWaiting,
    WaveBegan,
    WavePassed,
)
from enapter_async.fleet.inputs import InputError, Problem, read_operations
from enapter_async.fleet.item import (
    CredentialsNotKeptError,
    LeftUnknownError,
    NoRoomError,
    ResultDiffersError,
)
from enapter_async.fleet.jobs import apply, resume
from enapter_async.fleet.journal.continuing import JournalOptions
from enapter_async.fleet.journal.file import JournalError, RunBusyError, RunRefusedError
from enapter_async.fleet.journal.merging import InputConflictError
from enapter_async.fleet.pacing.pace import PausedTooLongError, Reason, Wait
from enapter_async.fleet.pacing.progress import Estimate
from enapter_async.fleet.planning.file import PlanFileError, PlanHeader, PlanItem
from enapter_async.fleet.planning.guard import Guard, GuardMode, StaleError, StateGuard
from enapter_async.fleet.planning.plan import Plan, read_plan
from enapter_async.fleet.planning.planner import plan
from enapter_async.fleet.planning.selection import Change, Selection, Template
from enapter_async.fleet.planning.sweep import UnsteadyFleetError
from enapter_async.fleet.planning.undoing import Lasting, Undo, undo
from enapter_async.fleet.planning.verdicts import Verdict
from enapter_async.fleet.report import NotStartedError, Outcome, Report, State
from enapter_async.fleet.reporting.page import write_report
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, AbortCriterion, RunAbortedError
from enapter_async.fleet.rollout.waves import HealthGate, Rollout, WaveNotPassedError
from enapter_async.fleet.work import Work

__all__ = [
    "DEFAULT_ABORT",
    "AbortCriterion",
    "Change",
    "CredentialsFile",
    "CredentialsNotKeptError",
    "Estimate",
    "Guard",
    "GuardMode",
    "HealthGate",
    "InputConflictError",
    "InputError",
    "JournalError",
    "JournalOptions",
    "Lasting",
    "LeftUnknownError",
    "NoRoomError",
    "NotStartedError",
    "Outcome",
    "PausedTooLongError",
    "Plan",
    "PlanFileError",
    "PlanHeader",
    "PlanItem",
    "Problem",
    "Reason",
    "Report",
    "ResultDiffersError",
    "Rollout",
    "Run",
    "RunAbortedError",
    "RunBusyError",
    "RunEvent",
    "RunGoesOn",
    "RunRefusedError",
    "RunStopped",
    "RunWaiting",
    "Selection",
    "StaleError",
    "State",
    "StateGuard",
    "Template",
    "Undo",
    "UnsteadyFleetError",
    "Verdict",
    "Wait",
    "WaveBegan",
    "WaveNotPassedError",
    "WavePassed",
    "Work",
    "apply",
    "plan",
    "read_operations",
    "read_plan",
    "resume",
    "undo",
    "write_report",
]
