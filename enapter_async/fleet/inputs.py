"""What may be given as the input of a run, and what is refused before it is sent."""

from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.outcomes import OperationT
from enapter_async.operation import Operation

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


def check_input(operations: Any) -> None:
    """Refuse what is no input, and a collection with a thing in it that is no operation.

    Raises:
        ConfigurationError: says what was given.
    """
    wrong_kind = isinstance(operations, (str, bytes, Mapping, Operation))
    if wrong_kind or not isinstance(operations, (Iterable, AsyncIterable)):
        raise ConfigurationError(
            f"operations is a {type(operations).__name__}; give an iterable of operations, "
            "plain or asynchronous"
        )
    if isinstance(operations, Collection):
        for index, item in enumerate(operations):
            check_item(item, index)


def check_item(item: Any, index: int) -> None:
    """Refuse what is no operation.

    Raises:
        ConfigurationError: says what stands where, counted from 0.
    """
    if not isinstance(item, (Operation, WorkItem)):
        raise ConfigurationError(f"operations[{index}] is a {type(item).__name__}, no operation")


def as_items(operations: Operations[Any]) -> Iterable[WorkItem] | AsyncIterable[WorkItem]:
    """Return the items of an input, lazily: an item as it is, an operation under its position.

    A thing that is neither raises `ConfigurationError` when it is pulled.
    """
    if isinstance(operations, AsyncIterable):
        return _as_items_async(operations)
    return _as_items(operations)


def _as_items(operations: Iterable[Any]) -> Iterator[WorkItem]:
    for position, each in enumerate(operations):
        yield WorkItem(position, each) if isinstance(each, Operation) else as_item(each, position)


async def _as_items_async(operations: AsyncIterable[Any]) -> AsyncIterator[WorkItem]:
    position = 0
    async for each in operations:
        yield as_item(each, position)
        position += 1


def as_item(each: Any, position: int) -> WorkItem:
    """Return a thing of the input as an item.

    Raises:
        ConfigurationError: it is neither an operation nor an item.
    """
    if isinstance(each, WorkItem):
        return each
    check_item(each, position)
    return WorkItem(position, each)


def without_secrets(operations: Operations[OperationT]) -> Operations[OperationT]:
    """Refuse operations that mint credentials: a collection at once, else as they come.

    Raises:
        ConfigurationError: says where the first one stands, counted from 0.
    """
    if isinstance(operations, AsyncIterable):
        return _without_secrets_async(operations)
    if not isinstance(operations, Collection):
        return _without_secrets(operations)
    for index, operation in enumerate(operations):
        _refuse_secret(operation, index)
    return operations


def _without_secrets(operations: Iterable[Any]) -> Iterator[Any]:
    for index, operation in enumerate(operations):
        if not isinstance(operation, Operation) or operation.answer.secret:
            _refuse_secret(operation, index)
        yield operation


async def _without_secrets_async(
    operations: AsyncIterable[OperationT],
) -> AsyncIterator[OperationT]:
    index = 0
    async for operation in operations:
        _refuse_secret(operation, index)
        yield operation
        index += 1


def _refuse_secret(operation: Any, index: int) -> None:
    if isinstance(operation, WorkItem):
        operation = operation.operation
    if not isinstance(operation, Operation) or not operation.answer.secret:
        return
    raise ConfigurationError(
        f"operations[{index}] mints credentials; say with `credentials=` where they go "
        "(a path, or a callable), or use fleet.Run and take them from outcome.result"
    )


def numbered(operations: Collection[Any]) -> Iterator[WorkItem]:
    """Return the items of an input: an item as it is, an operation under its position."""
    return (as_item(each, position) for position, each in enumerate(operations))
