"""The input of a run, and the checks on it before anything is sent."""

import itertools
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, Final, NamedTuple

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.outcomes import OperationT
from enapter_async.operation import Operation, Repeat

_in_jobs: Final = Operation.not_in_jobs
"""What most operations inherit: a job carries them out, so they need not be asked."""

Operations = Iterable[OperationT] | AsyncIterable[OperationT]


class WorkItem(NamedTuple):
    """An operation with its position in a run; the engine knows nothing else about it.

    `seq` counts from 0, in execution order, and identifies the item within its run. `before`
    contains the guarded fields as plain JSON, as they were when the plan was made; without a plan
    it is None. `group` is the id of a site (waves are spread over sites), or "". `unit` is a number
    shared by items that are completed together or not at all; it is None for an independent item.
    `wave` counts from 0. `after` is the `seq` that must succeed first. `unchanged` means that the
    target was already in the wanted state when the plan was made, so nothing is sent. `plan` is the
    plan's id. `name` and `type` are those of the target if it was read, and only shown to people.
    """

    seq: int
    operation: Operation[Any]
    before: Any | None = None
    group: str = ""
    unit: int | None = None
    wave: int = 0
    after: int | None = None
    unchanged: bool = False
    name: str = ""
    type: str = ""
    plan: str = ""


Work = WorkItem
"""The old name of `WorkItem`, kept for existing programs."""


class Input:
    """The input of a run: any iterable, plain or asynchronous, read as items.

    Each element is checked once: immediately in a collection, otherwise when it is pulled. An
    element that is not an operation raises `ConfigurationError`; so does an operation with a secret
    result, if `secrets` is false, and one that jobs do not carry out.
    """

    def __init__(self, operations: Any, *, secrets: bool = True) -> None:
        wrong_kind = isinstance(operations, (str, bytes, Mapping, Operation))
        if wrong_kind or not isinstance(operations, (Iterable, AsyncIterable)):
            raise ConfigurationError(
                f"operations must be an iterable of operations, plain or asynchronous, such as a "
                f"list, or fleet.read_operations(path) for a file; it is of type "
                f"{type(operations).__name__}"
            )
        self._operations: Any = operations
        self._secrets = secrets
        self._numbered = False
        """Whether an element of a known input is a `WorkItem` itself."""
        self.known = isinstance(operations, Collection)
        """Whether it has a length and can be read repeatedly."""
        self.waits = isinstance(operations, AsyncIterable)
        """Whether it is asynchronous and may wait, so it is not read further after a stop."""
        self.planned = False
        """Whether an item of a known input has its `before` state."""
        self.plan = ""
        """The id of the plan that contains the once-only operations of a known input, if any."""
        if isinstance(operations, Collection):
            for position, each in enumerate(operations):
                # Inlined, so that a usual element costs no function call.
                if (
                    not isinstance(each, Operation)
                    or (each.answer.secret and not secrets)
                    or type(each).not_in_jobs is not _in_jobs
                ):
                    item = self._checked(each, position)
                    self._numbered |= isinstance(each, WorkItem)
                    self.planned |= item.before is not None
                    if item.plan and item.operation.repeat is Repeat.ONCE:
                        self.plan = self.plan or item.plan

    def __len__(self) -> int:
        """Return the number of items of a known input."""
        return len(self._operations)

    def items(self, without: Collection[int] = ()) -> Iterator[WorkItem]:
        """Return the items of a known input, except those with a `seq` in `without`; repeatable."""
        items: Iterator[WorkItem] = map(WorkItem, itertools.count(), self._operations)
        if self._numbered:
            items = (
                each if isinstance(each, WorkItem) else WorkItem(position, each)
                for position, each in enumerate(self._operations)
            )
        return (item for item in items if item.seq not in without) if without else items

    def pulled(self) -> Iterator[WorkItem] | AsyncIterator[WorkItem]:
        """Return an iterator that pulls the items, an async one if the input is asynchronous."""
        return self.pulled_async() if self.waits else self.pulled_plain()

    def pulled_plain(self) -> Iterator[WorkItem]:
        """Return an iterator that pulls the items of a plain input."""
        return self.items() if self.known else self._pulled()

    def _pulled(self) -> Iterator[WorkItem]:
        for position, each in enumerate(self._operations):
            yield self._checked(each, position)

    async def pulled_async(self) -> AsyncIterator[WorkItem]:
        """Yield the items as they are pulled, from an asynchronous or a plain input."""
        if self.waits:
            position = 0
            async for each in self._operations:
                yield self._checked(each, position)
                position += 1
            return
        for item in self.pulled_plain():
            yield item

    def _checked(self, each: Any, position: int) -> WorkItem:
        item = each if isinstance(each, WorkItem) else WorkItem(position, each)
        if not isinstance(item.operation, Operation):
            raise ConfigurationError(
                f"operations[{position}] must be an operation, such as UpdateDevice(…); it is of "
                f"type {type(each).__name__}"
            )
        if item.operation.answer.secret and not self._secrets:
            raise ConfigurationError(
                f"operations[{position}] generates credentials; choose where to store them with "
                f"`credentials=` (a path or a callable), or use fleet.Run and take them from "
                f"outcome.result"
            )
        if type(item.operation).not_in_jobs is not _in_jobs and (
            why := item.operation.not_in_jobs()
        ):
            raise ConfigurationError(f"operations[{position}] cannot be part of a job: {why}")
        return item
