"""One logger tree, silent by default: a line for the outcome of each call and attempt.

A program that sets up logging itself passes `hooks=[CallLog()]` to its client and reads the
logger `enapter_async.calls`. For a quick look, set `ENAPTER_LOG=debug` (or `info`):
`Client.from_env` and the command line then print to standard error. Importing the package
configures nothing; only failures in a web backend are written to standard error if no logging
was set up.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final

from enapter_async.concealment import concealing
from enapter_async.environment import LOG_VARIABLE
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Attempt,
    ConfigurationError,
    EnapterError,
)
from enapter_async.hooks import (
    AttemptFailed,
    AttemptPassed,
    CallEnded,
    CallStarted,
    Event,
    Hook,
    ReadBack,
    Waited,
    Waiting,
)
from enapter_async.operation import Operation
from enapter_async.routes import ids_of
from enapter_async.text import plain

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO}
_OFF: Final = frozenset(("", "0", "off", "none"))
_LONGEST: Final = 300
_WAITED_FOR: Final = {
    "turn": "another write to the same device",
    "gate": "a place in the client's limiter",
    "pace": "the job's pace",
}
_TREE: Final = logging.getLogger("enapter_async")
_TREE.addHandler(logging.NullHandler())
_CALLS: Final = logging.getLogger("enapter_async.calls")
BACKEND: Final = "enapter_async.backend"
"""The logger of details that a backend does not send to browsers: the cause of a response, why
a job stopped. It writes even if nothing is configured, as Python does for unhandled exceptions."""


class _WhereNobodyListens(logging.Handler):
    """Writes warnings as Python itself would if the program has not set up logging."""

    def emit(self, record: logging.LogRecord) -> None:
        last = logging.lastResort
        set_up = [*_TREE.handlers, *logging.getLogger().handlers]
        if last is not None and all(isinstance(each, logging.NullHandler) for each in set_up):
            last.handle(record)


logging.getLogger(BACKEND).addHandler(_WhereNobodyListens(logging.WARNING))


class CallLog:
    """A hook that logs each attempt, each wait, and each call's end: `Client(hooks=[CallLog()])`.

    Lines go to the logger `enapter_async.calls`: successful attempts and short waits as DEBUG,
    failures and the ends of calls as INFO, an uncertain outcome as WARNING. They contain ids, but
    never a token, a name, a body or credentials; a server's message is reduced to one line without
    control characters.
    """

    def __call__(self, event: Event, /) -> None:
        """Log one event."""
        level = _level(event)
        if level is None or not _CALLS.isEnabledFor(level):
            return
        what = f"call {event.call} {_called(event.operation)}"
        _CALLS.log(level, "%s: %s", what, _said(event), extra={"enapter_call": event.call})


def _level(event: Event) -> int | None:
    match event:
        case AttemptPassed() | Waited() | ReadBack() | CallStarted():
            return logging.DEBUG
        case AttemptFailed() | Waiting():
            return logging.INFO
        case CallEnded(error=AmbiguousOutcomeError()):
            return logging.WARNING
        case CallEnded():
            return logging.INFO
        case _:
            return None


def _called(operation: Operation[Any]) -> str:
    """Return an operation as text with only its ids."""
    return " ".join((type(operation).__name__, *map(plain, ids_of(operation).values())))


def _said(event: Event) -> str:
    said = type(event).__name__
    match event:
        case CallStarted(base_url=base_url):
            said = f"starts, at {plain(base_url)}"
        case AttemptPassed(number=number, status=status, elapsed=elapsed, request_id=request):
            said = f"attempt {number}: HTTP {status}, {_time(elapsed)}{_request(request)}"
        case AttemptFailed(attempt=attempt):
            said = _failed(attempt)
        case Waited(seconds=seconds, reason=reason, pace=pace):
            said = f"waited {_time(seconds)} for {_WAITED_FOR.get(reason, plain(reason))}"
            said += f": {plain(pace)}" if pace else ""
        case Waiting(reason="settle"):
            said = "reads back, to determine the outcome"
        case Waiting(seconds=seconds, reason=reason):
            said = f"waits {_time(seconds)} ({plain(reason)})"
        case ReadBack(status=status, error_type=kind, elapsed=elapsed):
            said = f"read back: {_answer(status, kind)}, {_time(elapsed)}"
        case CallEnded():
            said = _ended(event)
    return said


def _failed(attempt: Attempt) -> str:
    asked = attempt.retry_after
    after = "" if asked is None else f", the server requests {_time(asked)}"
    return (
        f"attempt {attempt.number}: {_answer(attempt.status, attempt.error_type)}, "
        f"{attempt.certainty.value}, {_time(attempt.elapsed)}{after}"
    )


def _answer(status: int | None, kind: str | None) -> str:
    if status is None:
        return plain(kind)
    return f"HTTP {status}" if kind is None else f"HTTP {status} ({plain(kind)})"


def _ended(event: CallEnded) -> str:
    failed = len(event.attempts)
    tail = f", {_time(event.elapsed)}" + (f", {failed} failed attempts" if failed > 1 else "")
    if event.cancelled:
        return "cancelled by its caller" + tail
    if event.error is not None:
        return f"ended in {_reason(event.error)}{tail}"
    if event.already_absent:
        return "done: it was already gone" + tail
    return ("done, as a read shows" if event.settled else "done") + tail


def _reason(error: EnapterError) -> str:
    text = plain(error)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    request = getattr(error, "request_id", None)
    return f"{type(error).__name__}: {text}{_request(request)}"


def _request(request: str | None) -> str:
    return "" if request is None else f" [request {plain(request)[:_LONGEST]}]"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.3g} s"


class _ToStandardError(logging.Handler):
    """Writes to the current standard error, which a progress display may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as each handler of logging does
            self.handleError(record)


_PRINTER: Final = _ToStandardError()
_PRINTER.setFormatter(
    logging.Formatter("{asctime}.{msecs:03.0f} {levelname:<7} {message}", "%H:%M:%S", style="{")
)


@concealing
def asked_for(environ: Mapping[str, str]) -> tuple[Hook, ...]:
    """Return the hooks that `ENAPTER_LOG` requests, and send their lines to standard error.

    While the variable is set, `enapter_async` logs only to standard error. Safe to repeat.

    Raises:
        ConfigurationError: the value is not debug, info or off.
    """
    wanted = environ.get(LOG_VARIABLE, "").strip().lower()
    if wanted in _OFF:
        return ()
    if wanted not in _LEVELS:
        raise ConfigurationError(f"{LOG_VARIABLE} must be debug, info or off; got {wanted[:40]!a}")
    _TREE.setLevel(_LEVELS[wanted])
    _TREE.propagate = False
    _TREE.addHandler(_PRINTER)
    return (CallLog(),)
