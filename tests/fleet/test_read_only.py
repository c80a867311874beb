"""A run on read-only media can be read, or the error says what is needed."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from enapter_async import fleet
from enapter_async.fleet import RunRefusedError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.sqlite.lock import is_held
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.operations.devices import UpdateDevice
from tests.fleet.test_damaged_files import Known
from tests.support.other_user import NOBODY, as_nobody, open_way_to

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")

DONE = UpdateDevice(device_id="dev-1", name="A")


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    await fleet.apply(Known(), [DONE], journal=made / "journal.db")
    return made


@contextmanager
def not_to_be_written(folder: Path) -> Iterator[None]:
    """Remove write permission from a folder, and root's privilege to bypass that."""
    root = os.geteuid() == 0
    if root:
        open_way_to(folder.parent)
        for each in (folder, *folder.iterdir()):
            os.chown(each, NOBODY, NOBODY)
    folder.chmod(0o500)
    try:
        with as_nobody() if root else nullcontext():
            yield
    finally:
        folder.chmod(0o700)


async def test_a_finished_run_is_readable_on_read_only_media(folder: Path) -> None:
    with not_to_be_written(folder):
        with closing(read_journal(folder / "journal.db")) as journal:
            (row,) = result_rows(journal)
        assert not is_held(folder / "journal.db")
        assert row["state"] == "applied"


async def test_a_run_whose_journal_was_not_closed_has_to_be_copied(
    folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    with closing(sqlite3.connect(folder / "journal.db")) as writing:
        writing.execute("PRAGMA wal_autocheckpoint=0")
        writing.execute("INSERT INTO run VALUES ('note', 'late')")
        writing.commit()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(folder / name, moved / name)
    with (
        not_to_be_written(moved),
        pytest.raises(
            RunRefusedError, match=r"copy journal\.db and journal\.db-wal to a writable folder"
        ),
    ):
        read_journal(moved / "journal.db")
    with closing(read_journal(moved / "journal.db")) as journal:
        assert journal.facts()["note"] == "late"
