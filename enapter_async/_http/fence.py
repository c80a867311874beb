"""Lets the code that starts an attempt still refuse it after its connection was made.

Everything up to the first byte of a request happens at once, except a new connection, for which it
may wait for seconds; or for hours, if the process is suspended meanwhile. The wait concerns only a
few attempts, so the question belongs to the task, and costs nothing where there is no wait.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

MAY_SEND: Final[ContextVar[Callable[[], bool] | None]] = ContextVar("may_send", default=None)
"""Returns whether the attempt of this task may still be sent; None if nothing can prevent it."""
