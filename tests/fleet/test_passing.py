"""Waves across sessions: none starts before the previous one has passed, in whichever session."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Reply
from enapter_async.emulator.faults import Target
from enapter_async.fleet import JournalOptions, Report, State
from enapter_async.fleet.errors import WaveNotPassedError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.outcomes import RunEvent, RunWaiting, WaveBegan, WavePassed
from enapter_async.fleet.reporting.summary import summarize
from enapter_async.fleet.rollout.waves import HealthGate, Rollout
from enapter_async.fleet.waits import Reason
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice
from tests.fleet.callers import rename
from tests.support.clock import FakeClock

REFUSED = Reply(
    status=409,
    content_type="application/json",
    body=b'{"errors": [{"code": "conflict", "message": "Not now."}]}',
)
ROLLOUT = Rollout(waves=(2, 3, "rest"))


@pytest.fixture
def renames(emulator: Emulator) -> list[UpdateDevice]:
    return [rename(device.id) for device in emulator.world]


class Session:
    """Runs a job once, and records its events and the arrivals."""

    def __init__(self, emulator: Emulator) -> None:
        self.events: list[RunEvent] = []
        self.clock = FakeClock()
        self._emulator = emulator
        self._before = len(emulator.world.log.arrivals())

    async def run(
        self,
        operations: Any,
        journal: Any,
        *,
        rollout: Rollout | None = None,
        until: Callable[[RunEvent], bool] = lambda _: False,
    ) -> Report:
        """Run it, and stop it at an event."""

        def on_event(event: RunEvent) -> None:
            self.events.append(event)
            if until(event):
                job.stop()

        client = Client(
            self._emulator.token,
            base_url=self._emulator.base_url,
            retry=RetryPolicy(attempts=1),
            clock=self.clock.clock(),
        )
        async with client:
            job: fleet.Run[Any] = fleet.Run(
                client,
                operations,
                journal=journal,
                rollout=rollout,
                abort=None,
                concurrency=1,
                on_event=on_event,
            )
            async with job:
                async for _ in job:
                    pass
        return job.report

    @property
    def arrived(self) -> list[str]:
        return [each.method for each in self._emulator.world.log.arrivals()[self._before :]]

    @property
    def began(self) -> list[int]:
        return [event.number for event in self.events if isinstance(event, WaveBegan)]

    @property
    def passed(self) -> list[tuple[int, int]]:
        return [(e.number, e.read_back) for e in self.events if isinstance(e, WavePassed)]


def at(reason: Reason) -> Callable[[RunEvent], bool]:
    """Return a predicate: does an event say that a run waits for something?"""
    return lambda event: isinstance(event, RunWaiting) and event.wait.reason is reason


def notes(path: Path) -> list[tuple[str, int]]:
    with closing(read_journal(path)) as journal:
        return [
            (each.kind, each.details["wave"])
            for each in journal.notes()
            if each.kind.startswith("wave")
        ]


def nth_change(number: int) -> Callable[[Target], bool]:
    """Return a predicate: is a request the `number`-th change, counted from 1?"""
    seen = 0

    def when(target: Target) -> bool:
        nonlocal seen
        seen += target.method == "PATCH"
        return target.method == "PATCH" and seen == number

    return when


async def test_a_resume_reads_back_what_an_earlier_session_applied(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    first = Session(emulator)
    report = await first.run(renames, path, rollout=ROLLOUT, until=at(Reason.READ_BACK))
    assert report.counts[State.APPLIED] == 2
    again = Session(emulator)
    report = await again.run(None, path)
    assert report.ok
    assert again.arrived == ["GET"] * 2 + ["PATCH"] * 3 + ["GET"] * 3 + ["PATCH"] * 15
    assert again.passed == [(1, 2), (2, 3), (3, 0)]


async def test_a_passed_wave_is_not_verified_again(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    first = Session(emulator)
    stopping = WaveBegan(number=3, size=15, waves=3)
    await first.run(renames, path, rollout=ROLLOUT, until=lambda event: event == stopping)
    again = Session(emulator)
    assert (await again.run(None, path)).ok
    assert again.arrived == ["PATCH"] * 15
    once_more = Session(emulator)
    assert (await once_more.run(None, path)).ok
    assert once_more.arrived == []


async def test_a_resume_stops_if_an_earlier_wave_does_not_show_its_values(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    await Session(emulator).run(renames, path, rollout=ROLLOUT, until=at(Reason.READ_BACK))
    changed = renames[0].device_id
    emulator.world.update(changed, name="of somebody else")
    for _ in range(2):
        again = Session(emulator)
        report = await again.run(None, path)
        assert isinstance(report.stopped, WaveNotPassedError)
        assert "1 of 2 devices read back do not show the new values" in str(report.stopped)
        assert "PATCH" not in again.arrived
    emulator.world.update(changed, name="new")
    assert (await Session(emulator).run(None, path)).ok


@pytest.mark.parametrize("wave", [1, 2])
async def test_a_resume_stops_again_while_failures_remain(
    emulator: Emulator, path: Path, renames: list[UpdateDevice], wave: int
) -> None:
    emulator.faults.add(REFUSED, when=nth_change(1 if wave == 1 else 3))
    first = await Session(emulator).run(renames, path, rollout=ROLLOUT)
    assert isinstance(first.stopped, WaveNotPassedError)
    again = Session(emulator)
    report = await again.run(None, path)
    assert isinstance(report.stopped, WaveNotPassedError)
    assert f"wave {wave} did not pass: UpdateDevice of" in str(report.stopped)
    assert "--accept-wave" in str(report.stopped)
    assert again.arrived == []
    assert report.counts == first.counts
    retried = Session(emulator)
    assert (await retried.run(None, JournalOptions(path=path, retry_failed=True))).ok
    read_back = 2 if wave == 1 else 3
    assert retried.passed[0] == (wave, read_back), "with those of the earlier session"


async def test_a_wave_is_accepted_once_and_for_all(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    emulator.faults.add(REFUSED, method="PATCH")
    await Session(emulator).run(renames, path, rollout=ROLLOUT)
    accepting = Session(emulator)
    options = JournalOptions(path=path, accept_wave=True)
    stopping = WaveBegan(number=3, size=None, waves=None)
    report = await accepting.run(None, options, until=lambda event: event == stopping)
    assert accepting.began == [2, 3]
    assert report.counts[State.FAILED] == 1
    report = await Session(emulator).run(None, path)
    assert report.stopped is None
    assert (report.counts[State.APPLIED], report.counts[State.FAILED]) == (19, 1)
    assert notes(path)[:3] == [("wave begun", 1), ("wave not passed", 1), ("wave passed", 1)]


async def test_only_a_reported_wave_can_be_accepted(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    await Session(emulator).run(renames, path, rollout=ROLLOUT, until=at(Reason.READ_BACK))
    emulator.world.update(renames[0].device_id, name="of somebody else")
    options = JournalOptions(path=path, accept_wave=True)
    report = await Session(emulator).run(None, options)
    assert isinstance(report.stopped, WaveNotPassedError)
    assert report.counts[State.APPLIED] == 2
    report = await Session(emulator).run(None, options)
    assert report.ok


@pytest.mark.parametrize(
    ("ambiguous", "passes"), [("report", False), ("skip", True), ("regenerate", True)]
)
async def test_an_unknown_outcome_blocks_the_next_wave_until_a_decision(
    emulator: Emulator, path: Path, ambiguous: Any, *, passes: bool
) -> None:
    minting = next(each.id for each in emulator.world if each.type == "STANDALONE")
    others = [each.id for each in emulator.world if each.id != minting]
    operations: list[Operation[Any]] = [
        GenerateConfig(device_id=minting, protocol="MQTT"),
        *(rename(device_id) for device_id in others[:3]),
    ]
    emulator.faults.add(Drop(after_effect=True), method="POST")
    first = await Session(emulator).run(operations, path, rollout=Rollout(waves=(1,)))
    assert isinstance(first.stopped, WaveNotPassedError)
    again = Session(emulator)
    report = await again.run(None, JournalOptions(path=path, ambiguous=ambiguous))
    assert (report.stopped is None) is passes
    assert report.counts[State.APPLIED] == {"report": 0, "skip": 3, "regenerate": 4}[ambiguous]


async def test_a_hold_and_the_health_gate_survive_a_session(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    for device in emulator.world:
        emulator.world.change(device.id, connectivity="ONLINE")
    rollout = Rollout(waves=(2, "rest"), hold=60.0, health=HealthGate(most_lost=0.0))
    await Session(emulator).run(renames, path, rollout=rollout, until=at(Reason.HOLD))
    emulator.world.change(renames[0].device_id, connectivity="OFFLINE")
    again = Session(emulator)
    report = await again.run(None, path)
    assert isinstance(report.stopped, WaveNotPassedError)
    assert "1 of 2 devices that were online before it are no longer online" in str(report.stopped)
    assert again.clock.sleeps == [60.0]
    assert again.arrived == ["GET"] * 4, "two are read back, and two checked for health"
    emulator.world.change(renames[0].device_id, connectivity="ONLINE")
    assert (await Session(emulator).run(None, path)).ok


async def test_values_replaced_by_a_later_wave_need_not_be_shown_on_retry(
    emulator: Emulator, path: Path
) -> None:
    """A device of the first wave keeps its new name only until the third wave deletes it."""
    leaf = next(each.id for each in emulator.world if not emulator.world.below(each.id))
    devices = [each.id for each in emulator.world if each.id != leaf]
    operations: list[Operation[Any]] = [rename(devices[0]), rename(leaf)]
    operations += [rename(each) for each in devices[1:5]]
    operations.append(DeleteDevice(device_id=leaf))
    emulator.faults.add(REFUSED, method="PATCH")
    rollout = Rollout(waves=(2, 1, "rest"))
    await Session(emulator).run(operations, path, rollout=rollout)
    await Session(emulator).run(None, JournalOptions(path=path, accept_wave=True))
    retried = Session(emulator)
    report = await retried.run(None, JournalOptions(path=path, retry_failed=True))
    assert report.ok
    assert retried.arrived == ["PATCH", "GET"], "only retried items are read back"


async def test_a_finished_run_whose_last_wave_was_not_read_back_reads_it_back(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    few = renames[:2]
    await Session(emulator).run(few, path, rollout=ROLLOUT, until=at(Reason.READ_BACK))
    again = Session(emulator)
    assert (await again.run(None, path)).ok
    assert again.arrived == ["GET", "GET"]
    once_more = Session(emulator)
    assert (await once_more.run(None, path)).ok
    assert once_more.arrived == []


async def test_a_proxys_404_does_not_confirm_a_deletion(emulator: Emulator, path: Path) -> None:
    leaves = [each.id for each in emulator.world if not emulator.world.below(each.id)][:2]
    page = Reply(status=404, content_type="text/html", body=b"<html>no such page</html>")
    emulator.faults.add(page, method="GET", times=None)
    operations = [DeleteDevice(device_id=each) for each in leaves]
    report = await Session(emulator).run(operations, path, rollout=Rollout(waves=(1,)))
    assert isinstance(report.stopped, WaveNotPassedError)


async def test_a_run_without_waves_has_no_such_notes(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    assert (await Session(emulator).run(renames, path)).ok
    assert notes(path) == []


async def test_the_report_names_the_wave_that_did_not_pass(
    emulator: Emulator, path: Path, renames: list[UpdateDevice]
) -> None:
    emulator.faults.add(REFUSED, method="PATCH")
    await Session(emulator).run(renames, path, rollout=ROLLOUT)
    with closing(read_journal(path)) as journal:
        told = summarize(journal)["notes"]
    assert [kind for _, kind, _ in told] == ["wave not passed"]
    assert told[0][2]["wave"] == 1
    assert json.dumps(told[0][2]).count("ended as 'failed'") == 1
