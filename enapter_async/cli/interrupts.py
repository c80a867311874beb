"""Handles Ctrl-C: first finish requests in flight, then cancel them, then exit immediately."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Self

from enapter_async.cli.exit_codes import Exit

_EXITS: Final = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}
if sys.platform != "win32":
    _EXITS[signal.SIGHUP] = Exit.HUNG_UP


class Interrupts:
    """Handles SIGINT, SIGTERM and SIGHUP in a running event loop, in three steps.

    The first signal calls `first`, the second calls `second`, the third exits the process
    immediately. `exit` is the exit code for the first signal, or None if there was none. SIGHUP can
    arrive more than once, from the system and from shells, so it never counts as a second or third
    signal; if it is ignored, as under `nohup`, it stays ignored. The previous handlers are restored
    on exit. If signals cannot be handled (outside the main thread), it does nothing.
    """

    def __init__(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        self.exit: Exit | None = None
        self._steps = (first, second)
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number, ending in _EXITS.items():
            if ending is Exit.HUNG_UP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            # ValueError: not in the main thread.
            with contextlib.suppress(ValueError):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        ending = _EXITS[signal.Signals(number)]
        if ending is Exit.HUNG_UP and self._count:
            return
        self._count += 1
        if self._count > len(self._steps):
            os._exit(self.exit or ending)
        if self.exit is None:
            self.exit = ending
        if self._loop is not None:
            # Not called directly: a signal handler may interrupt any code.
            self._loop.call_soon_threadsafe(self._steps[self._count - 1])
