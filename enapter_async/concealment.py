"""Secret texts that are never printed, and errors whose tracebacks do not hold them.

Tools such as Sentry and rich report errors with the local variables of each frame. They would
otherwise store a token or password from this package's frames.
"""

import functools
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Self, TypeVar, final

P = ParamSpec("P")
R = TypeVar("R")


@final
class RawAnswer:
    """The body of an answer that may hold secrets and could not be read.

    Only `reveal` returns it: it appears in no `repr`, message or log, and is not pickled.
    """

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def reveal(self) -> bytes:
        """Return the body of the answer, as the server sent it."""
        return self._body

    def __repr__(self) -> str:
        return f"<RawAnswer of {len(self._body)} bytes>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return RawAnswer, (b"",)


class Secret:
    """A string that is not revealed by printing, formatting, pickling or logging it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "'***'"

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, ("***",)


def clear_frames(error: BaseException) -> None:
    """Clear the locals of the frames of an error and its causes; line numbers stay.

    Frames that are still running, such as the caller's, are left as they are.
    """
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__


def concealing(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that the frames of its errors do not hold its arguments or data."""

    @functools.wraps(function)
    def concealed(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            clear_frames(error)
            del args, kwargs
            raise

    return concealed


def concealing_async(
    function: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Decorate a coroutine function as `concealing` does a plain one."""

    @functools.wraps(function)
    async def concealed(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            clear_frames(error)
            del args, kwargs
            raise

    return concealed
