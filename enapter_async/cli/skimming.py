"""Reading a command's options and help without importing what it needs to run.

A command line is parsed twice. At first, a command's module leaves out the imports in its block
`if TYPE_CHECKING or imports_all()`: that is enough for help, completion and mistakes. If
the command is to run, such modules are imported again, now completely.
"""

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NoReturn

import click


class RunsError(BaseException):
    """A command is to run; like SystemExit, it is handled in one place."""


_PACKAGE: Final = "enapter_async.cli"
_SKIMMING: Final = ContextVar("skimming", default=False)


def imports_all() -> bool:
    """Return whether a module is to import all that its commands need."""
    return not _SKIMMING.get()


@contextmanager
def skimming() -> Iterator[None]:
    """Let modules of commands leave out imports; at the end, forget those imported meanwhile."""
    known = {*sys.modules}
    reset = _SKIMMING.set(True)
    try:
        yield
    finally:
        _SKIMMING.reset(reset)
        for name in {*sys.modules} - known:
            package, _, module = name.rpartition(".")
            if package == _PACKAGE:
                del sys.modules[name]
                vars(sys.modules[_PACKAGE]).pop(module, None)


def skimmed(command: click.Command) -> click.Command:
    """Return a command; while skimming, one that raises `RunsError` if it is to run."""
    if imports_all() or isinstance(command, click.Group):
        return command
    command = copy.copy(command)
    command.callback = _stop
    return command


def _stop(*_: Any, **__: Any) -> NoReturn:
    raise RunsError
