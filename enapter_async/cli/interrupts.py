"""Ctrl-C, three times: finish what is in flight, cut it off, leave at once."""

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
    """Turns SIGINT, SIGTERM and SIGHUP into two steps and a way out, in a running event loop.

    The first signal calls `first`, the second `second`, the third ends the process at
    once; `exit` is then the exit code of the first signal, else None. A hang-up comes more
    than once, from the system and from shells, so it is a first signal or none; where it is
    ignored, as under `nohup`, it stays so. Handlers that stood before are put back at the
    end. Where signals cannot be handled (another thread than the main one), it does nothing.
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
            # ValueError: this is not the main thread.
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
            # Not called here: a signal handler may run in the middle of anything.
            self._loop.call_soon_threadsafe(self._steps[self._count - 1])
