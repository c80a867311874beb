"""Plan, apply and undo many operations as one run: `plan`, `apply`, `Run`, `undo`.

`distribute` and `Worker` carry out one run, then called a job, by several processes. Names are
imported on first use: a program that plans nothing should not wait for the import of plans.
"""

from typing import TYPE_CHECKING

from enapter_async._door import lazy

if TYPE_CHECKING:
    from enapter_async.errors import ResultDiffersError as ResultDiffersError
    from enapter_async.fleet.apply_and_resume import apply as apply
    from enapter_async.fleet.apply_and_resume import resume as resume
    from enapter_async.fleet.credentials import CredentialsFile as CredentialsFile
    from enapter_async.fleet.desired_files import read_desired as read_desired
    from enapter_async.fleet.distributed.job import Job as Job
    from enapter_async.fleet.distributed.job import distribute as distribute
    from enapter_async.fleet.distributed.job_status import JobStatus as JobStatus
    from enapter_async.fleet.distributed.worker import Worker as Worker
    from enapter_async.fleet.errors import AlreadyResumedError as AlreadyResumedError
    from enapter_async.fleet.errors import CredentialsNotKeptError as CredentialsNotKeptError
    from enapter_async.fleet.errors import EarlierError as EarlierError
    from enapter_async.fleet.errors import ForeignCancellationError as ForeignCancellationError
    from enapter_async.fleet.errors import InputConflictError as InputConflictError
    from enapter_async.fleet.errors import InputError as InputError
    from enapter_async.fleet.errors import JournalError as JournalError
    from enapter_async.fleet.errors import LeftUnknownError as LeftUnknownError
    from enapter_async.fleet.errors import NoRoomError as NoRoomError
    from enapter_async.fleet.errors import NotStartedError as NotStartedError
    from enapter_async.fleet.errors import PausedTooLongError as PausedTooLongError
    from enapter_async.fleet.errors import PlanCarriedOutError as PlanCarriedOutError
    from enapter_async.fleet.errors import PlanFileError as PlanFileError
    from enapter_async.fleet.errors import Problem as Problem
    from enapter_async.fleet.errors import RunAbortedError as RunAbortedError
    from enapter_async.fleet.errors import RunBusyError as RunBusyError
    from enapter_async.fleet.errors import RunNotFoundError as RunNotFoundError
    from enapter_async.fleet.errors import RunRefusedError as RunRefusedError
    from enapter_async.fleet.errors import StaleError as StaleError
    from enapter_async.fleet.errors import TakenOverError as TakenOverError
    from enapter_async.fleet.errors import UnsteadyFleetError as UnsteadyFleetError
    from enapter_async.fleet.errors import WaveNotPassedError as WaveNotPassedError
    from enapter_async.fleet.inputs import Work as Work
    from enapter_async.fleet.inputs import WorkItem as WorkItem
    from enapter_async.fleet.journal.names import prepare_journals as prepare_journals
    from enapter_async.fleet.journal.names import request_stop as request_stop
    from enapter_async.fleet.journal.options import JournalOptions as JournalOptions
    from enapter_async.fleet.operation_files import read_operations as read_operations
    from enapter_async.fleet.options import RunOptions as RunOptions
    from enapter_async.fleet.outcomes import Outcome as Outcome
    from enapter_async.fleet.outcomes import Report as Report
    from enapter_async.fleet.outcomes import RunEvent as RunEvent
    from enapter_async.fleet.outcomes import RunGoesOn as RunGoesOn
    from enapter_async.fleet.outcomes import RunPaceChanged as RunPaceChanged
    from enapter_async.fleet.outcomes import RunStopped as RunStopped
    from enapter_async.fleet.outcomes import RunWaiting as RunWaiting
    from enapter_async.fleet.outcomes import State as State
    from enapter_async.fleet.outcomes import WaveBegan as WaveBegan
    from enapter_async.fleet.outcomes import WavePassed as WavePassed
    from enapter_async.fleet.planning.decisions import Verdict as Verdict
    from enapter_async.fleet.planning.drift import Guard as Guard
    from enapter_async.fleet.planning.drift import GuardMode as GuardMode
    from enapter_async.fleet.planning.drift import StateGuard as StateGuard
    from enapter_async.fleet.planning.exporting import export as export
    from enapter_async.fleet.planning.plan import Plan as Plan
    from enapter_async.fleet.planning.plan import read_plan as read_plan
    from enapter_async.fleet.planning.plan_file import PlanHeader as PlanHeader
    from enapter_async.fleet.planning.plan_file import PlanItem as PlanItem
    from enapter_async.fleet.planning.planner import plan as plan
    from enapter_async.fleet.planning.rollback import Lasting as Lasting
    from enapter_async.fleet.planning.rollback import Undo as Undo
    from enapter_async.fleet.planning.rollback import UndoOnly as UndoOnly
    from enapter_async.fleet.planning.rollback import undo as undo
    from enapter_async.fleet.progress import Estimate as Estimate
    from enapter_async.fleet.reporting.html import write_report as write_report
    from enapter_async.fleet.reporting.status import RunStatus as RunStatus
    from enapter_async.fleet.reporting.status import status as status
    from enapter_async.fleet.rollout.abort import DEFAULT_ABORT as DEFAULT_ABORT
    from enapter_async.fleet.rollout.abort import AbortCriterion as AbortCriterion
    from enapter_async.fleet.rollout.waves import Gate as Gate
    from enapter_async.fleet.rollout.waves import HealthGate as HealthGate
    from enapter_async.fleet.rollout.waves import Rollout as Rollout
    from enapter_async.fleet.run import Run as Run
    from enapter_async.fleet.waits import Reason as Reason
    from enapter_async.fleet.waits import Wait as Wait
    from enapter_async.operations.device_plans import Change as Change
    from enapter_async.operations.device_plans import Export as Export
    from enapter_async.operations.device_selection import PropertyCondition as PropertyCondition
    from enapter_async.operations.device_selection import Selection as Selection
    from enapter_async.operations.device_selection import Template as Template

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
    __all__, __getattr__, __dir__ = lazy(__name__, _HOMES)
    # This one is a public name of the package above, and can only be imported from here, too.
    __all__ = [name for name in __all__ if name != "ResultDiffersError"]
