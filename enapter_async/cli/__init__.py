"""The command line: a thin layer over the library."""

import sys
from collections.abc import Sequence
from typing import Final

_EXTRA: Final = frozenset({"click", "rich"})


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
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
    sys.stderr.write(
        f"enapter-async: {missing} is not installed; the command line needs the extra "
        "'cli': pip install 'enapter-async[cli]', or '.[cli]' in a copy of the repository\n"
    )
    return 2
