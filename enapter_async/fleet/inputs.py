"""What may be given as the input of a run, and what is refused before it is sent."""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, NamedTuple

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.outcomes import OperationT
from enapter_async.operation import Operation, Repeat

Operations = Iterable[OperationT] | AsyncIterable[OperationT]


class WorkItem(NamedTuple):
    """An operation with its place in a run. The engine knows nothing but this.

    `seq` counts from 0, in execution order, and names the item within its run; `before` is
    the plain JSON of the guarded fields as they were planned, or None where nothing was
    planned; `group` is what waves are spread over, a site's id, or ""; `unit` numbers the
    items that are finished together or not at all, None for an item of its own; `wave`
    counts from 0; `after` is the `seq` that must end well first; `unchanged` says that the
    wanted state held when it was planned, so that nothing is sent; `plan` is the plan's id.
    """

    seq: int
    operation: Operation[Any]
    before: Any | None = None
    group: str = ""
    unit: int | None = None
    wave: int = 0
    after: int | None = None
    unchanged: bool = False
    plan: str = ""


class Input:
    """The input of a run: any iterable, plain or asynchronous, read as items.

    Each thing of it is checked once: those of a collection when it is given, any others as
    they are pulled. A thing that is no operation raises `ConfigurationError`; so does one
    whose result is secret, where `secrets` says that none may be.
    """

    def __init__(self, operations: Any, *, secrets: bool = True) -> None:
        wrong_kind = isinstance(operations, (str, bytes, Mapping, Operation))
        if wrong_kind or not isinstance(operations, (Iterable, AsyncIterable)):
            raise ConfigurationError(
                f"operations is a {type(operations).__name__}; give an iterable of operations, "
                "plain or asynchronous"
            )
        self._operations: Any = operations
        self._secrets = secrets
        self.known = isinstance(operations, Collection)
        """Whether it has a length, and may be read again and again."""
        self.waits = isinstance(operations, AsyncIterable)
        """Whether it waits by itself, so that it is not read on after a stop."""
        self.planned = False
        """Whether an item of a known input says what was there before."""
        self.plan = ""
        """The id of the plan that once-only operations of a known input are from, if any."""
        if isinstance(operations, Collection):
            for position, each in enumerate(operations):
                # Without a call for each that is as most are.
                if not isinstance(each, Operation) or (each.answer.secret and not secrets):
                    item = self._checked(each, position)
                    self.planned |= item.before is not None
                    if item.plan and item.operation.repeat is Repeat.ONCE:
                        self.plan = self.plan or item.plan

    def __len__(self) -> int:
        """Return how many items a known input has."""
        return len(self._operations)

    def items(self, without: Container[int] = ()) -> Iterator[WorkItem]:
        """Yield the items of a known input, anew at each call, but for some numbers."""
        for position, each in enumerate(self._operations):
            item = each if isinstance(each, WorkItem) else WorkItem(position, each)
            if item.seq not in without:
                yield item

    def pulled(self) -> Iterator[WorkItem] | AsyncIterator[WorkItem]:
        """Return the items as they are pulled, an async iterator where the input waits."""
        if self.waits:
            return self.pulled_async()
        return self.items() if self.known else self._pulled()

    def _pulled(self) -> Iterator[WorkItem]:
        for position, each in enumerate(self._operations):
            yield self._checked(each, position)

    async def pulled_async(self) -> AsyncIterator[WorkItem]:
        """Yield the items as they are pulled, whether the input waits or not."""
        if self.waits:
            position = 0
            async for each in self._operations:
                yield self._checked(each, position)
                position += 1
            return
        for item in self.items() if self.known else self._pulled():
            yield item

    def _checked(self, each: Any, position: int) -> WorkItem:
        item = each if isinstance(each, WorkItem) else WorkItem(position, each)
        if not isinstance(item.operation, Operation):
            raise ConfigurationError(
                f"operations[{position}] is a {type(each).__name__}, no operation"
            )
        if item.operation.answer.secret and not self._secrets:
            raise ConfigurationError(
                f"operations[{position}] mints credentials; say with `credentials=` where they go "
                "(a path, or a callable), or use fleet.Run and take them from outcome.result"
            )
        return item
