"""Run commands as another user of this machine, if the tests run as root."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


def open_way_to(folder: Path) -> None:
    """Let other users enter and list a test's folder, from the temporary folder downwards."""
    for each in (folder, *folder.parents):
        if Path(tempfile.gettempdir()) in each.parents:
            each.chmod(0o755)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user other than root."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
