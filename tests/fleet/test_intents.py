"""No request without its intent: at every arrival, the server looks it up in the journal."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Faults, Hang, ServerFailure, World
from enapter_async.emulator.faults import Target
from enapter_async.fleet import JournalOptions, State
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.callers import turns

DEVICES, ARRIVALS = 400, 1_200


class Witness:
    """Opens the journal read-only at each arrival, and compares intents with arrivals."""

    def __init__(self, path: Path, seq_of: Callable[[str], int]) -> None:
        self._uri = f"{path.as_uri()}?mode=ro"
        self._seq_of = seq_of
        self._read = 0
        self._intents: Counter[int] = Counter()
        self._arrivals: Counter[int] = Counter()
        self.seen = 0
        self.without_intent: list[str] = []

    def __call__(self, target: Target) -> bool:
        if target.method == "GET" or target.device is None:
            return False
        self.seen += 1
        with closing(sqlite3.connect(self._uri, uri=True)) as connection:
            rows = connection.execute(
                "SELECT id, seq, kind FROM event WHERE id > ? ORDER BY id", (self._read,)
            ).fetchall()
        for number, seq, kind in rows:
            self._read = number
            self._intents[seq] += kind == "intent"
        seq = self._seq_of(target.device)
        self._arrivals[seq] += 1
        if self._arrivals[seq] > self._intents[seq]:
            self.without_intent.append(target.device)
        return False


@pytest.mark.timeout(120)
async def test_every_arrival_finds_its_intent(tmp_path: Path) -> None:
    world = World.seeded(DEVICES, 1, role="OWNER", keep_records=False)
    ids = [device.id for device in world]
    operations = [
        UpdateDevice(device_id=ids[number % DEVICES], name=f"name {number}")
        for number in range(ARRIVALS)
    ]
    path = tmp_path / "run.db"
    upcoming = {each: iter(range(place, ARRIVALS, DEVICES)) for place, each in enumerate(ids)}
    # Operations on one device run in order, so its arrivals match its operations one by one.
    witness = Witness(path, lambda device: next(upcoming[device]))
    faults = Faults()
    faults.add(Drop(), when=witness, times=None)
    async with (
        Emulator(world=world, faults=faults) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        # Streamed, because a known input must not name one device in two ways.
        report = await fleet.apply(client, iter(operations), journal=path)
    assert report.counts[State.APPLIED] == ARRIVALS
    assert witness.seen == ARRIVALS
    assert witness.without_intent == []


@pytest.mark.parametrize("power", [True, False])
async def test_each_request_after_an_uncertain_one_has_its_own_intent(
    tmp_path: Path, *, power: bool
) -> None:
    world = World.seeded(400, 1, role="OWNER")
    standalone = [device.id for device in world if device.type == "STANDALONE"]
    operations: list[Operation[Any]] = [
        *(UpdateDevice(device_id=device.id, name="new") for device in world),
        *(GenerateConfig(device_id=each, protocol="MQTT") for each in standalone),
    ]
    path = tmp_path / "run.db"
    seqs = {device.id: seq for seq, device in enumerate(world)}
    witness = Witness(path, seqs.__getitem__)
    faults = Faults()
    faults.add(Drop(), when=witness, times=None, method="PATCH")
    for fault in (Drop(after_effect=True), Drop(), ServerFailure(status=502), Hang()):
        faults.add(fault, times=5, method="PATCH")
    policy = RetryPolicy(attempts=8, base_delay=0.001, max_delay=0.002)
    async with (
        Emulator(world=world, faults=faults) as emulator,
        Client(
            emulator.token,
            base_url=emulator.base_url,
            retry=policy,
            timeouts=Timeouts(connect=1.0, read=0.1),
        ) as client,
    ):
        report = await fleet.apply(
            client,
            operations,
            journal=JournalOptions(path=path, power=power),
            credentials=tmp_path / "c.jsonl",
        )
    assert report.ok
    assert world.log.count_arrivals("PATCH") == witness.seen >= 415
    assert witness.without_intent == []
    with closing(sqlite3.connect(path)) as connection:
        intents = connection.execute("SELECT count(*) FROM event WHERE kind = 'intent'").fetchone()
    assert intents == (witness.seen + len(standalone),)


async def test_an_item_cut_off_before_its_intent_is_held_and_stays_held(
    tmp_path: Path,
) -> None:
    world = World.seeded(10, 1, role="OWNER")
    standalone = next(device.id for device in world if device.type == "STANDALONE")
    # The intent of a new configuration waits for the disk, other rows do not.
    mint = GenerateConfig(device_id=standalone, protocol="MQTT")
    path = tmp_path / "run.db"
    async with (
        Emulator(world=world) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
        fleet.Run(client, [mint], journal=path) as run,
    ):
        await turns(5)
        run.cut()
        (outcome,) = [each async for each in run]
    assert outcome.state is State.HELD
    assert world.log.count_arrivals() == 0
    with closing(read_journal(path)) as journal:
        assert [event.kind for event in journal.events() if event.seq == 0] == ["intent", "held"]
        assert Replay(journal).with_mark(Mark.UNTOUCHED) == (0,)
