"""Temporary data that does not fit on the disk is reported as an error of the package."""

import sqlite3
import sys
from contextlib import closing

import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.scratch import open_scratch

if sys.platform != "win32":
    import resource

LARGE = "INSERT INTO line VALUES (zeroblob(30000000))"
"""Writes more than the database keeps in memory."""


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit file sizes")
@pytest.mark.parametrize("way", ["execute", "executemany", "executescript"])
def test_a_full_disk_is_reported_with_a_remedy(way: str) -> None:
    arguments: tuple[list[tuple[()]], ...] = ([()],) if way == "executemany" else ()
    with closing(open_scratch()) as scratch:
        scratch.execute("CREATE TABLE line (text)")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(ConfigurationError, match="free some space, or set SQLITE_TMPDIR"):
                getattr(scratch, way)(LARGE, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            getattr(scratch, way)("INSERT INTO none VALUES (1)", *arguments)
