"""Texts that show themselves to nobody, and tracebacks whose frames hold none of them.

Who reports errors with the locals of each frame, as Sentry and rich do, would store a token or
a password that some frame of ours held while an error passed through it.
"""

import functools
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Secret:
    """A text that shows itself to nobody who prints, formats, pickles or logs it."""

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
    """Empty the frames that an error and its causes came through; their lines stay.

    Frames that are still running, such as the caller's, are left as they are.
    """
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__


def concealing(function: Callable[P, R]) -> Callable[P, R]:
    """Let no error out of a function with frames that hold what the function was given or read."""

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
    """Do for a coroutine function what `concealing` does for a plain one."""

    @functools.wraps(function)
    async def concealed(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            clear_frames(error)
            del args, kwargs
            raise

    return concealed
