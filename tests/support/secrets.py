"""Everything that anybody might ever print of an error, or store of it."""

import pickle
import traceback
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

OURS = ("enapter_async", "aiohttp", "asyncio", "cattrs", "json", "tenacity", "tomllib")
"""Modules whose frames hold what this package gave them."""


def traceback_of(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format())


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and whatever it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def locals_of(error: BaseException) -> Iterator[str]:
    """Write each local of each frame that an error came through, as Sentry looks into them."""
    for each in causes(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            module = frame.f_globals.get("__name__", "")
            if module.startswith(OURS):
                for name, value in frame.f_locals.items():
                    yield f"{module}.{frame.f_code.co_name}: {name} = {_deeply(value)}"


def _deeply(value: Any, depth: int = 6) -> str:
    """Write a value and what it contains; a tuple with names is looked into, too."""
    parts = [repr(value)]
    if depth and isinstance(value, Mapping):
        parts += [_deeply(each, depth - 1) for pair in value.items() for each in pair]
    elif depth and isinstance(value, list | tuple | AbstractSet):
        parts += [_deeply(each, depth - 1) for each in value]
    return " ".join(parts)


def shown(error: BaseException) -> str:
    """Write all of an error that anybody might ever print: causes, locals, pickles."""
    parts = [repr(error), str(error), repr(error.args), repr(vars(error))]
    for each in causes(error):
        parts += [repr(each), str(each), repr(each.args), traceback_of(each)]
    parts += locals_of(error)
    parts.append(pickle.dumps(error).decode("latin-1"))
    return "\n".join(parts)
