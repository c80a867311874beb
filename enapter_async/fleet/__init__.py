"""Plan, apply and undo many operations as one run: `plan`, `apply`, `Run`, `undo`.

`distribute` and `Worker` carry out one run, then called a job, by several processes. Names are
imported on first use: a program that plans nothing should not wait for the import of plans.
"""

from typing import TYPE_CHECKING, Any

from enapter_async._door import public

if TYPE_CHECKING:
    from enapter_async.errors import ResultDiffersError as ResultDiffersError
    from enapter_async.fleet.apply_and_resume import apply, resume
    from enapter_async.fleet.credentials import CredentialsFile
    from enapter_async.fleet.desired_files import read_desired
    from enapter_async.fleet.distributed.job import Job, distribute
    from enapter_async.fleet.distributed.job_status import JobStatus
    from enapter_async.fleet.distributed.worker import Worker
    from enapter_async.fleet.errors import (
        AlreadyResumedError,
        CredentialsNotKeptError,
        EarlierError,
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
        RunNotFoundError,
        RunRefusedError,
        StaleError,
        TakenOverError,
        UnsteadyFleetError,
        WaveNotPassedError,
    )
    from enapter_async.fleet.inputs import Work, WorkItem
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

__all__ = [
    "DEFAULT_ABORT",
    "AbortCriterion",
    "AlreadyResumedError",
    "Change",
    "CredentialsFile",
    "CredentialsNotKeptError",
    "EarlierError",
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
    "RunNotFoundError",
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

_HOMES = {
    "errors": "ResultDiffersError",
    "fleet.apply_and_resume": "apply resume",
    "fleet.credentials": "CredentialsFile",
    "fleet.desired_files": "read_desired",
    "fleet.distributed.job": "Job distribute",
    "fleet.distributed.job_status": "JobStatus",
    "fleet.distributed.worker": "Worker",
    "fleet.errors": (
        "AlreadyResumedError CredentialsNotKeptError EarlierError ForeignCancellationError "
        "InputConflictError InputError JournalError LeftUnknownError NoRoomError NotStartedError "
        "PausedTooLongError PlanCarriedOutError PlanFileError Problem "
        "RunAbortedError RunBusyError RunNotFoundError RunRefusedError StaleError TakenOverError "
        "UnsteadyFleetError WaveNotPassedError"
    ),
    "fleet.inputs": "Work WorkItem",
    "fleet.journal.names": "prepare_journals request_stop",
    "fleet.journal.options": "JournalOptions",
    "fleet.operation_files": "read_operations",
    "fleet.options": "RunOptions",
    "fleet.outcomes": (
        "Outcome Report RunEvent RunGoesOn RunPaceChanged RunStopped RunWaiting "
        "State WaveBegan WavePassed"
    ),
    "fleet.planning.decisions": "Verdict",
    "fleet.planning.drift": "Guard GuardMode StateGuard",
    "fleet.planning.exporting": "export",
    "fleet.planning.plan": "Plan read_plan",
    "fleet.planning.plan_file": "PlanHeader PlanItem",
    "fleet.planning.planner": "plan",
    "fleet.planning.rollback": "Lasting Undo UndoOnly undo",
    "fleet.progress": "Estimate",
    "fleet.reporting.html": "write_report",
    "fleet.reporting.status": "RunStatus status",
    "fleet.rollout.abort": "AbortCriterion DEFAULT_ABORT",
    "fleet.rollout.waves": "Gate HealthGate Rollout",
    "fleet.run": "Run",
    "fleet.waits": "Reason Wait",
    "operations.device_plans": "Change Export",
    "operations.device_selection": "PropertyCondition Selection Template",
}
"""The modules that define the names, each with its names."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        return globals().setdefault(name, public(__name__, _HOMES, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
