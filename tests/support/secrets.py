"""Everything about an error that might ever be printed or stored."""

import pickle
import traceback
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

OURS = ("enapter_async", "aiohttp", "asyncio", "cattrs", "json", "tenacity", "tomllib")
"""Modules whose frames hold values that this package passed to them."""


def traceback_of(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format())


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def locals_of(error: BaseException) -> Iterator[str]:
    """Write every local of every frame that an error passed through, as Sentry does."""
    for each in causes(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            module = frame.f_globals.get("__name__", "")
            if module.startswith(OURS):
                for name, value in frame.f_locals.items():
                    yield f"{module}.{frame.f_code.co_name}: {name} = {_deeply(value)}"


def _deeply(value: Any, depth: int = 6) -> str:
    """Write a value and everything in it, named tuples included."""
    parts = [repr(value)]
    if depth and isinstance(value, Mapping):
        parts += [_deeply(each, depth - 1) for pair in value.items() for each in pair]
    elif depth and isinstance(value, list | tuple | AbstractSet):
        parts += [_deeply(each, depth - 1) for each in value]
    return " ".join(parts)


def shown(error: BaseException) -> str:
    """Write everything that might ever be printed of an error: causes, locals, pickles."""
    parts = [repr(error), str(error), repr(error.args), repr(vars(error))]
    for each in causes(error):
        parts += [repr(each), str(each), repr(each.args), traceback_of(each)]
    parts += locals_of(error)
    parts.append(pickle.dumps(error).decode("latin-1"))
    return "\n".join(parts)
