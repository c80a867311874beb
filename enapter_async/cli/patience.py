"""Prints why a command takes long, because waiting for a server looks like a hang."""

from collections.abc import Callable
from typing import Final

from enapter_async.hooks import AttemptFailed, Event, Waited, Waiting

TOLD_EVERY: Final = 5.0
"""Seconds of waiting between two messages, and before the first."""


class Patience:
    """A hook that prints a line each time that calls have waited for five more seconds."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._why = ""
        self._waited = self._told = 0.0

    def __call__(self, event: Event, /) -> None:
        """Receive an event of a call."""
        if isinstance(event, AttemptFailed):
            status = event.attempt.status
            self._why = f"HTTP {status}" if status else event.attempt.error_type
        elif isinstance(event, Waiting | Waited):
            self._waited += event.seconds
            if self._why and self._waited >= self._told + TOLD_EVERY:
                self._told = self._waited
                self._tell(f"waiting for the server, {self._waited:.0f} s in all: {self._why}")
