"""The journal as a file: who may read it, what it refuses, and what its rows contain."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter.operations import operation_from_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import JournalOptions
from enapter_async.fleet.errors import RunBusyError, RunRefusedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.records import digest_of, event_row, item_row, operation_text
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.journal.sqlite.lock import RunLock, is_held
from enapter_async.fleet.journal.sqlite.schema import APPLICATION_ID, VERSION, prepare
from enapter_async.operations.devices import DeleteDevice, UpdateDevice

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")


@pytest.fixture
def journal(path: Path) -> Iterator[SQLiteJournal]:
    with closing(SQLiteJournal.open(path)) as opened:
        yield opened


def rename(device_id: str, name: str = "new") -> UpdateDevice:
    return UpdateDevice(device_id=device_id, name=name)


@POSIX
def test_only_the_owner_can_read_it_and_its_log(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(SQLiteJournal.open(path)) as journal:
            journal.put({"a": "b"})
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"run.db": 0o600, "run.db-wal": 0o600, "run.db-shm": 0o600}


def test_it_is_marked_as_a_journal_of_this_version_with_wal(path: Path) -> None:
    SQLiteJournal.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("look", [SQLiteJournal.open, SQLiteJournal.read])
def test_a_different_version_is_refused_and_named(
    path: Path, look: Callable[[Path], SQLiteJournal]
) -> None:
    SQLiteJournal.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=7")
    with pytest.raises(RunRefusedError, match="version 7, but this release reads version 1"):
        look(path)


def test_another_database_is_refused_and_unchanged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (thing)")
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(RunRefusedError, match="is not a journal"):
        SQLiteJournal.open(path)
    assert path.read_bytes() == before


def test_a_text_file_is_refused_and_unchanged(path: Path) -> None:
    path.write_text("operation,device_id\n" * 100)
    path.chmod(0o600)
    with pytest.raises(RunRefusedError):
        SQLiteJournal.open(path)
    assert path.read_text() == "operation,device_id\n" * 100


@POSIX
def test_a_file_without_wal_is_refused_with_the_reason(path: Path) -> None:
    # Lock files beside the database, as for network disks, rule out shared memory.
    connection = sqlite3.connect(f"{path.as_uri()}?vfs=unix-dotfile", uri=True)
    with closing(connection), pytest.raises(ConfigurationError, match="WAL is needed"):
        prepare(connection, path)


@POSIX
def test_a_journal_that_others_may_read_is_refused(path: Path) -> None:
    SQLiteJournal.open(path).close()
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="mode 0640"):
        SQLiteJournal.open(path)


@POSIX
def test_a_link_is_not_followed(path: Path) -> None:
    SQLiteJournal.open(path).close()
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(ConfigurationError, match="not a plain file"):
        SQLiteJournal.open(link)


def test_a_journal_to_read_must_exist(path: Path) -> None:
    with pytest.raises(RunRefusedError, match="there is no journal"):
        read_journal(path)
    assert not path.exists()


def test_a_reader_sees_what_is_committed_while_it_is_written(
    path: Path, journal: SQLiteJournal
) -> None:
    journal.add([item_row(WorkItem(seq=0, operation=rename("a")))], [], {"x": "y"}, full=False)
    with closing(read_journal(path)) as reader:
        assert reader.facts() == {"x": "y"}
        assert [work.operation for work in reader.items()] == [rename("a")]
        with pytest.raises(sqlite3.OperationalError):
            reader._connection.execute("INSERT INTO run VALUES (?, ?)", ("x", "z"))


def test_an_item_is_read_as_written(journal: SQLiteJournal) -> None:
    full = WorkItem(
        seq=3,
        operation=DeleteDevice(device_id="b"),
        before={"name": "Ü\n", "slug": None},
        group="site-1",
        unit=4,
        wave=2,
        after=1,
        unchanged=True,
        name="Pump\x00",
        type="LUA",
    )
    brief = WorkItem(seq=1, operation=rename("a", "=\u2028\U0001f600"))
    found = full._replace(seq=4, before=None, name="", after=None)
    for _ in journal.begin({}, map(item_row, (brief, full, found))):
        pass
    assert list(journal.items()) == [brief, full, found]
    assert journal.item(3) == full
    assert journal.item(2) is None


def test_a_new_run_is_recorded_completely_or_not_at_all(journal: SQLiteJournal) -> None:
    rows = (
        item_row(WorkItem(seq=number, operation=rename(f"d{number}"))) for number in range(1200)
    )
    steps = journal.begin({"run": "r"}, rows)
    next(steps)
    steps.close()  # type: ignore[attr-defined]  # a generator, as a loop that is left closes it
    assert journal.facts() == {}
    assert list(journal.digests()) == []


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_an_operations_text_is_complete_json(name: str) -> None:
    try:
        operation = rename("dev-1", name)
    except ConfigurationError:
        return
    text = operation_text(operation)
    assert operation_from_json(json.loads(text)) == operation
    assert digest_of(text) == digest_of(operation_text(rename("dev-1", name)))
    assert digest_of(text) != digest_of(operation_text(rename("dev-2", name)))


def test_the_last_event_gives_an_items_state(journal: SQLiteJournal) -> None:
    for _ in journal.begin(
        {}, [item_row(WorkItem(seq=n, operation=rename(f"d{n}"))) for n in (0, 2)]
    ):
        pass
    for kind in ("intent", "unknown", "acknowledged", "intent"):
        journal.add([], [event_row(2, kind, 1, attempt=5)], {}, full=False)
    standing = Replay(journal)
    assert list(standing.marks) == [Mark.UNTOUCHED, Mark.MISSING, Mark.INTENDED]
    assert standing.intents == {2: 5}
    assert standing.acknowledged == set(), "a new intent makes an old acknowledgement void"
    journal.add([], [event_row(2, "held", 1)], {}, full=False)
    assert Replay(journal).marks[2] == Mark.UNTOUCHED


class Growing:
    """A journal to which a run adds an item and its intent before each of the first 10 reads."""

    def __init__(self, journal: SQLiteJournal) -> None:
        self._journal = journal
        self.size = 0

    def __getattr__(self, name: str) -> Any:
        if self.size == 10:
            return getattr(self._journal, name)
        item = WorkItem(seq=self.size, operation=rename(f"d{self.size}"))
        intent = event_row(self.size, "intent", 1, attempt=1)
        self._journal.add([item_row(item)], [intent], {}, full=False)
        self.size += 1
        return getattr(self._journal, name)


def test_items_that_a_run_adds_while_they_are_read_are_read_next_time(
    journal: SQLiteJournal,
) -> None:
    for _ in journal.begin({}, []):
        pass
    growing: Any = Growing(journal)
    replay = Replay(growing)
    while growing.size < 10:
        replay.read_on(growing)
    replay.read_on(growing)
    assert list(replay.marks) == [Mark.INTENDED] * 10


def test_a_second_runner_is_refused_and_the_first_continues(path: Path) -> None:
    first = RunLock.take(path)
    for _ in range(2):
        assert is_held(path)
        with pytest.raises(RunBusyError, match="another runner"):
            RunLock.take(path)
    first.release()
    assert not is_held(path)
    RunLock.take(path).release()


def test_a_lock_is_free_when_its_holder_is_killed(path: Path) -> None:
    code = (
        "import sys, pathlib, time\n"
        "from enapter_async.fleet.journal.sqlite.lock import RunLock\n"
        "lock = RunLock.take(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"  # an upper bound: it is killed earlier
    )
    with subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RunRefusedError):
                RunLock.take(path)
        finally:
            holder.kill()
    RunLock.take(path).release()


def test_an_invalid_lock_file_is_refused_and_named(path: Path) -> None:
    lock = Path(f"{path}.lock")
    lock.write_bytes(b"x" * 8192)
    lock.chmod(0o600)
    assert not is_held(path)
    with pytest.raises(ConfigurationError, match="cannot be used as a lock"):
        RunLock.take(path)
    assert lock.read_bytes() == b"x" * 8192


def test_an_unknown_value_of_ambiguous_is_refused(path: Path) -> None:
    word: Any = "repeat"
    with pytest.raises(ConfigurationError, match="report, regenerate, skip"):
        JournalOptions(path=path, ambiguous=word)
