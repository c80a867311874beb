"""The exit codes of runs, of jobs, and of single operations."""

from collections.abc import Mapping

from enapter_async.cli.exit_codes import Exit
from enapter_async.fleet.distributed.job_status import JobStatus
from enapter_async.fleet.outcomes import Report, State
from enapter_async.fleet.reporting.status import RunStatus


def exit_of_state(state: State) -> Exit:
    """Return the exit code of a single operation that ended in this state.

    If the command names one device, "already gone" is a failure, because the id may be mistyped.
    """
    if state in (State.APPLIED, State.UNCHANGED):
        return Exit.DONE
    if state is State.UNKNOWN:
        return Exit.UNKNOWN
    return Exit.STOPPED if state in (State.HELD, State.PENDING) else Exit.FAILED


def exit_of_report(report: Report) -> Exit:
    """Return the exit code of a session of a run."""
    unknown = report.counts[State.UNKNOWN] > report.acknowledged
    stopped = report.stopped is not None or not report.complete
    return _exit_of(report.counts, unknown=unknown, stopped=stopped)


def exit_of_run(status: RunStatus) -> Exit:
    """Return a run's exit code; while the run is in progress, it reflects the outcomes so far."""
    over = not status.running
    unknown = bool(status.open_ends or status.repeatable)
    stopped = over and (status.counts[State.HELD] > 0 or not status.complete)
    return _exit_of(status.counts, unknown=unknown, stopped=stopped, over=over)


def exit_of_job(status: JobStatus) -> Exit:
    """Return a job's exit code; while it is in progress, it reflects the outcomes so far."""
    unknown, stopped = status.counts[State.UNKNOWN] > 0, status.over and not status.ended
    return _exit_of(status.counts, unknown=unknown, stopped=stopped, over=status.over)


def _exit_of(
    counts: Mapping[State, int], *, unknown: bool, stopped: bool, over: bool = True
) -> Exit:
    if unknown:
        return Exit.UNKNOWN
    if stopped:
        return Exit.STOPPED
    if counts[State.FAILED] or counts[State.DIFFERS]:
        return Exit.FAILED
    left = counts[State.HELD] or counts[State.PENDING]
    return Exit.STOPPED if over and left else Exit.DONE
