"""Equal operations and contradictory ones, found before the first request."""

import itertools
from array import array
from collections.abc import Collection, Iterator
from typing import Any, Final

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.source import as_work
from enapter_async.fleet.work import Work
from enapter_async.operation import Operation, Repeat

CONFLICTS_SHOWN: Final = 20


class InputConflictError(ConfigurationError):
    """Operations of one input contradict each other; nothing was sent.

    `conflicts` tells each; the message shows the first 20. Positions count from 0.
    """

    def __init__(self, conflicts: tuple[str, ...]) -> None:
        shown = [f"  {conflict}" for conflict in conflicts[:CONFLICTS_SHOWN]]
        if len(conflicts) > CONFLICTS_SHOWN:
            shown.append(f"  and {len(conflicts) - CONFLICTS_SHOWN} more")
        super().__init__(
            "\n".join(["the operations contradict each other, nothing was sent:", *shown])
        )
        self.conflicts = conflicts


def numbered(operations: Collection[Any]) -> Iterator[Work]:
    """Return the works of an input: a work as it is, an operation under its position."""
    return (as_work(each, position) for position, each in enumerate(operations))


def merged(operations: Collection[Any]) -> frozenset[int]:
    """Return the seq of each operation that equals an earlier one, and is therefore left out.

    Raises:
        InputConflictError: two values are set for one field of one device, or something is
            asked of a device after its deletion.
    """
    repeated = _repeated_subjects(operations)
    by_subject: dict[str, _Subject] = {}
    equal: list[int] = []
    conflicts: list[str] = []
    if repeated:
        for work in numbered(operations):
            name = work.operation.subject()
            if name is None or hash(name) not in repeated:
                continue
            subject = by_subject.setdefault(name, _Subject())
            if subject.holds_equal(work):
                equal.append(work.seq)
            else:
                conflicts.extend(subject.take(work))
    if conflicts:
        raise InputConflictError(tuple(conflicts))
    return frozenset(equal)


def _repeated_subjects(operations: Collection[Any]) -> frozenset[int]:
    """Return the hashes of devices that come more than once, in eight bytes an operation."""
    hashes = array("q")
    for work in numbered(operations):
        name = work.operation.subject()
        if name is not None:
            hashes.append(hash(name))
    found = sorted(hashes)
    return frozenset(one for one, other in itertools.pairwise(found) if one == other)


class _Subject:
    """What an input asks of one device."""

    __slots__ = ("_deleted_at", "_fields", "_operations")

    def __init__(self) -> None:
        self._operations: list[Operation[Any]] = []
        self._fields: dict[str, tuple[Any, int]] = {}
        self._deleted_at: int | None = None

    def holds_equal(self, work: Work) -> bool:
        return work.unit is None and work.operation in self._operations

    def take(self, work: Work) -> Iterator[str]:
        """Add a work, and tell what it contradicts."""
        operation = work.operation
        name = operation.subject()
        self._operations.append(operation)
        if self._deleted_at is not None:
            yield f"operation {work.seq} comes after operation {self._deleted_at} deletes {name}"
        if operation.repeat is not Repeat.CONVERGENT or work.unit is not None:
            return
        if operation.holds(None):
            self._deleted_at = work.seq
        for field, value in (operation.request().body or {}).items():
            before, seq = self._fields.setdefault(field, (value, work.seq))
            if before != value:
                yield (
                    f"operations {seq} and {work.seq} set {field} of {name} "
                    f"to {before!r} and {value!r}"
                )
