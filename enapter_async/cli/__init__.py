"""The command line: a thin layer over the library."""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

_EXTRA: Final = frozenset({"click", "rich"})
_DEFERRED: Final = frozenset(
    {"candidates", "connecting", "device_view", "following", "objects", "summary", "writing"}
)
"""Modules that are imported when a command runs, and not when its options and help are read."""


class _Deferred(ModuleType):
    """A module that is imported when one of its names is first used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return a deferred module to `from enapter_async.cli import …`."""
        if name in _DEFERRED:
            return _Deferred(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `enapter-async --help` lists them."""
    try:
        from enapter_async.cli.descriptors import raise_limit  # noqa: PLC0415 - as the next
        from enapter_async.cli.streams import harden  # noqa: PLC0415 - click is optional

        harden()
        raise_limit()
        # Click is an optional dependency; commands that need rich import it when they run.
        from enapter_async.cli.app import run  # noqa: PLC0415 - click is an optional dependency

        return run(argv)
    except KeyboardInterrupt:  # during the imports; a command handles it itself
        return 130
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
    sys.stderr.write(
        f"enapter-async: {missing} is not installed; the command line needs the extra "
        "'cli': pip install 'enapter-async[cli]', or '.[cli]' in a copy of the repository\n"
    )
    return 2
