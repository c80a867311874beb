"""Ctrl-C, three times: finish what is under way, cut it off, leave at once."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from enapter_async.cli.exit_codes import Exit


class Interrupts:
    """Turns SIGINT and SIGTERM into two steps and a way out, inside a running event loop.

    The first signal calls `first`, the second `second`, the third ends the process at
    once. `exit` is then the exit code of the first signal, else None. Handlers that stood
    before are put back at the end. Where signals cannot be handled (another thread than the
    main one), it does nothing.
    """

    def __init__(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        self.exit: Exit | None = None
        self._steps = (first, second)
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # ValueError: this is not the main thread.
            with contextlib.suppress(ValueError):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._count += 1
        ending = Exit.TERMINATED if number == signal.SIGTERM else Exit.INTERRUPTED
        if self._count > len(self._steps):
            os._exit(self.exit or ending)
        if self.exit is None:
            self.exit = ending
        if self._loop is not None:
            # Not called here: a signal handler may run in the middle of anything.
            self._loop.call_soon_threadsafe(self._steps[self._count - 1])
