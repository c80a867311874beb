"""The pace that a run was allowed: who receives it, and what its journal keeps."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import Client, fleet
from enapter_async.emulator import Emulator, TooManyRequests
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.outcomes import RunEvent, RunPaceChanged
from enapter_async.fleet.pace_notes import PaceNotes, pace_in, pace_noted
from enapter_async.fleet.reporting.summary import summarize
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.limits.pace import Pace
from enapter_async.limits.pacing import Pacing
from tests.fleet.callers import rename
from tests.fleet.ticking import Ticking

LIMITED = Pace(rate=47.0, declared=False, in_flight=64, paused_s=0.0, refused=20, ended=900)
OPEN = attrs.evolve(LIMITED, rate=None, refused=0, ended=0)
PAUSED = attrs.evolve(LIMITED, paused_s=12.0)


@attrs.define
class Paper:
    notes: list[dict[str, Any]] = attrs.Factory(list)

    def note(self, _kind: str, details: Any) -> None:
        self.notes.append(dict(details))


def test_limits_and_pauses_are_reported_at_once_and_rate_steps_once_a_second() -> None:
    ticking, paper, told = Ticking(), Paper(), list[RunEvent]()
    notes = PaceNotes(ticking.clock(), told.append, paper.note)
    for pace in (OPEN, LIMITED, attrs.evolve(LIMITED, rate=48.0), PAUSED, LIMITED, OPEN, OPEN):
        notes.take(pace)
    assert [each.pace for each in told if isinstance(each, RunPaceChanged)] == [
        LIMITED,
        PAUSED,
        LIMITED,
        OPEN,
    ]
    notes.take(LIMITED)
    ticking.pass_by(1.0)
    notes.take(attrs.evolve(LIMITED, rate=50.0))
    assert [each["rate"] for each in paper.notes] == [47.0, 47.0, 47.0, None, 47.0, 50.0]
    read = pace_in(paper.notes[0])
    assert read == attrs.evolve(LIMITED, in_flight=0)
    assert str(read) == "47/s, the server refused 20 of the last 900"


def test_random_refusals_are_recorded_at_the_end_and_count_from_the_start() -> None:
    clock, paper = Ticking().clock(), Paper()
    limiter = AdaptiveLimiter(Pacing(), clock)

    def refuse() -> None:
        permit = limiter.try_acquire()
        assert permit is not None
        limiter.refused(permit, None)

    refuse()
    with pace_noted(limiter, clock, lambda _: None, paper.note):
        refuse()
        refuse()
        assert paper.notes == []
    assert [each["refused_in_all"] for each in paper.notes] == [2]
    with pace_noted(limiter, clock, lambda _: None, paper.note):
        pass
    assert len(paper.notes) == 1


@pytest.mark.parametrize("details", [{}, {"rate": "fast", "refused": 1, "ended": 2}])
def test_a_note_without_a_pace_is_ignored(details: dict[str, Any]) -> None:
    assert pace_in(details) is None


async def test_a_period_of_refusals_is_reported_and_recorded(
    tmp_path: Path,
) -> None:
    async with Emulator(devices=60, seed=1) as emulator:
        emulator.faults.add(TooManyRequests(retry_after=None), method="PATCH", times=12)
        told: list[RunEvent] = []
        journal = tmp_path / "journal.db"
        async with Client(emulator.token, base_url=emulator.base_url) as client:
            operations = [rename(each.id) for each in emulator.world if each.permits("OWNER")]
            running = asyncio.create_task(
                fleet.apply(client, operations, journal=journal, abort=None, on_event=told.append)
            )
            report = await running
        assert report.ok
    assert any(isinstance(each, RunPaceChanged) for each in told)
    with closing(read_journal(journal)) as read:
        course = summarize(read)["course"]
    assert course["refused"] == 12
    assert course["paces"][0] == [0, "open", None]
    assert {kind for _, kind, _ in course["paces"]} == {"open", "limited"}
    at = [at for at, _, _ in course["paces"]]
    assert at == sorted(at)
    assert fleet.status(journal).pace is None, "the run is over"
