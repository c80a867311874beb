"""One piece of work of a run: an operation, and all that the engine must know about it."""

from typing import Any, NamedTuple

from enapter_async.operation import Operation


class Work(NamedTuple):
    """An operation with its place in a run. The engine knows nothing but this.

    `seq` counts from 0, in execution order, and names the work within its run; `before` is
    the plain JSON of the guarded fields as they were planned, or None where nothing was
    planned; `group` is what waves are spread over, a site's id, or ""; `unit` numbers the
    works that are finished together or not at all, None for a work of its own; `wave`
    counts from 0; `after` is the `seq` that must end well first; `unchanged` says that the
    wanted state held when it was planned, so that nothing is sent.
    """

    seq: int
    operation: Operation[Any]
    before: Any | None = None
    group: str = ""
    unit: int | None = None
    wave: int = 0
    after: int | None = None
    unchanged: bool = False
