"""The exit codes of runs and of single operations."""

from enapter_async.cli.exit_codes import Exit
from enapter_async.fleet.outcomes import Report, State


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
    """Return the exit code of a run."""
    if report.counts[State.UNKNOWN] > report.acknowledged:
        return Exit.UNKNOWN
    if report.stopped is not None or not report.complete:
        return Exit.STOPPED
    if report.counts[State.FAILED] or report.counts[State.DIFFERS]:
        return Exit.FAILED
    left = report.counts[State.HELD] or report.counts[State.PENDING]
    return Exit.STOPPED if left else Exit.DONE
