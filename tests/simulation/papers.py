"""Reads the files that a run leaves on the disk, without any code of the package."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs

from tests.simulation.world import Asked

INTENT: Final = "intent"
ENDS: Final = ("applied", "unchanged", "absent", "differs", "pending", "failed", "unknown", "held")
DONE: Final = ("applied", "unchanged", "absent")
UNTOUCHED: Final = ""


def asked_in(text: str) -> Asked:
    """Parse an operation as a journal stores it."""
    told = json.loads(text)
    verb = told.pop("operation").removeprefix("device.")
    address = told.pop("device_id")
    return Asked(verb, address, tuple(sorted((name, str(told[name])) for name in told)))


@attrs.define
class Paper:
    """A journal's records of one item. `kinds` are the intents and ends, in order."""

    seq: int
    asked: Asked
    wave: int
    kinds: list[str] = attrs.field(factory=list)

    @property
    def last(self) -> str:
        return self.kinds[-1] if self.kinds else UNTOUCHED


def has_begun(journal: Path) -> bool:
    """Return whether a file records the start of a run."""
    if not journal.exists():
        return False
    with closing(sqlite3.connect(journal)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'run'").fetchall()
        return bool(tables and connection.execute("SELECT count(*) FROM run").fetchone()[0])


def read_journal(journal: Path) -> dict[Asked, Paper]:
    """Return a journal's records of each item, or nothing if no run was started in it."""
    if not has_begun(journal):
        return {}
    with closing(sqlite3.connect(journal)) as connection:
        rows = connection.execute("SELECT seq, operation, wave FROM item ORDER BY seq").fetchall()
        papers = {seq: Paper(seq, asked_in(text), wave) for seq, text, wave in rows}
        events = "SELECT seq, kind FROM event WHERE seq IS NOT NULL ORDER BY id"
        for seq, kind in connection.execute(events):
            if kind == INTENT or kind in ENDS:
                papers[seq].kinds.append(kind)
    return {paper.asked: paper for paper in papers.values()}


def wave_notes(journal: Path) -> tuple[frozenset[int], frozenset[int]]:
    """Return the waves that did not pass, according to a journal, and those accepted anyway."""
    if not has_begun(journal):
        return frozenset(), frozenset()
    refused, accepted = set(), set()
    with closing(sqlite3.connect(journal)) as connection:
        events = "SELECT kind, detail FROM event WHERE seq IS NULL ORDER BY id"
        for kind, detail in connection.execute(events):
            wave = json.loads(detail or "{}").get("wave", 0) - 1
            if kind == "wave not passed":
                refused.add(wave)
            elif kind == "wave passed" and json.loads(detail).get("accepted"):
                accepted.add(wave)
    return frozenset(refused), frozenset(accepted)


class Reader:
    """Reads a journal while a run writes to it, as another process would."""

    def __init__(self, journal: Path) -> None:
        self._connection = sqlite3.connect(journal)
        self._seqs: dict[Asked, tuple[int, int]] = {}

    def place(self, asked: Asked) -> tuple[int, int] | None:
        """Return seq and wave of an item that is on the disk."""
        if asked not in self._seqs:
            for seq, text, wave in self._connection.execute(
                "SELECT seq, operation, wave FROM item"
            ):
                self._seqs[asked_in(text)] = (seq, wave)
        return self._seqs.get(asked)

    def waves(self) -> dict[Asked, int]:
        """Return the wave of each item that is on the disk."""
        rows = self._connection.execute("SELECT operation, wave FROM item")
        return {asked_in(text): wave for text, wave in rows}

    def intents(self, asked: Asked) -> int:
        """Count the intents of an item that are on the disk."""
        place = self.place(asked)
        if place is None:
            return 0
        counting = "SELECT count(*) FROM event WHERE seq = ? AND kind = 'intent'"
        return int(self._connection.execute(counting, place[:1]).fetchone()[0])

    def close(self) -> None:
        self._connection.close()


def kept_secrets(credentials: Path) -> Iterator[tuple[str, str]]:
    """Yield the device and secret of each complete line in a credentials file."""
    if not credentials.exists():
        return
    for line in credentials.read_bytes().split(b"\n"):
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if "config" not in row:
            continue  # part of an answer, of which nothing is known except that it arrived
        told = row["config"]["mqtt_credentials"]
        yield row["device_id"], told.get("password") or told["private_key"]


def photograph(folder: Path) -> dict[str, bytes]:
    """Return the contents of a folder's files, as a kill at this moment would leave them."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.endswith(("-shm", ".lock"))
    }


def restore(folder: Path, picture: dict[str, bytes]) -> None:
    """Restore a folder to a snapshot."""
    for path in folder.iterdir():
        path.unlink()
    for name, data in picture.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)
