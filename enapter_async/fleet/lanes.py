"""Which operations may start: those of one device go in input order, one at a time."""

from collections import deque
from typing import Any, Generic

from enapter_async.fleet.report import OperationT, State


class Lanes(Generic[OperationT]):
    """Parks an operation behind an earlier one of the same device; knows no tasks.

    An operation without a subject (a read) never waits. Once an operation of a device did
    not end well, `blocked_by` names how; that memory grows with such devices only, one
    small entry each, because forgetting one would let its later operations run.
    Two spellings of one device, its id and its slug, are two subjects.
    """

    def __init__(self) -> None:
        self._parked: dict[str, deque[OperationT]] = {}
        self._blocked: dict[str, State] = {}

    def admit(self, operation: OperationT) -> bool:
        """Say whether the operation may start at once; otherwise park it."""
        subject = operation.subject()
        if subject is None:
            return True
        lane = self._parked.get(subject)
        if lane is None:
            self._parked[subject] = deque()
            return True
        lane.append(operation)
        return False

    def release(self, operation: OperationT, state: State) -> OperationT | None:
        """Take note that an admitted operation ended; give the one that may start now."""
        subject = operation.subject()
        if subject is None:
            return None
        if state is State.FAILED or state is State.UNKNOWN:
            self._blocked.setdefault(subject, state)
        lane = self._parked[subject]
        if lane:
            return lane.popleft()
        del self._parked[subject]
        return None

    def blocked_by(self, operation: Any) -> State | None:
        """Tell how an earlier operation of the same device failed to end well, or None."""
        subject = operation.subject()
        return None if subject is None else self._blocked.get(subject)
