"""Another user of this machine, where the tests run as root."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


def open_way_to(folder: Path) -> None:
    """Let other users enter and list a folder of a test, from the temporary folder on down."""
    for each in (folder, *folder.parents):
        if Path(tempfile.gettempdir()) in each.parents:
            each.chmod(0o755)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as another user than root."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
