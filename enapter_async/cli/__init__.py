"""The command line: a thin skin over the library."""

import sys
from collections.abc import Sequence
from typing import Final

_EXTRA: Final = frozenset({"click", "rich"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code, as `enapter-async --help` lists them."""
    try:
        from enapter_async.cli.app import run  # noqa: PLC0415 - click is an optional dependency
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write(
            f"enapter-async: {error.name} is not installed; the command line needs the extra "
            "'cli': pip install 'enapter-async[cli]'\n"
        )
        return 2
    return run(argv)
