"""Kills runs at named points and reports each broken promise of the journal.

python -m tests.fleet.kills --kills 200 [--postgres]
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from enapter_async.converter.operations import operation_to_json
from enapter_async.emulator import Drop, Emulator, World
from enapter_async.emulator.faults import Target
from enapter_async.fleet.credentials import kept_in
from enapter_async.fleet.journal.names import prepare_journals, read_journal, store_of
from enapter_async.fleet.journal.records import INTENT
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.operation import Operation, Repeat
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice
from tests.fleet.killed_run import Settings, carry_out
from tests.support.forks.starting import programs
from tests.support.postgres import PostgresServer

CHECKPOINT = "during a checkpoint"
"""Only a file has one."""
MID_REQUEST = "mid-request"
IN_A_RESUME = "in a resume"
POINTS = (
    "before the intent's commit",
    "after the intent's commit",
    MID_REQUEST,
    "between answer and credentials",
    "between credentials and outcome",
    CHECKPOINT,
    "after an outcome",
    "in a drain",
    IN_A_RESUME,
)
CONCURRENCY = 8
PATIENCE = 60.0


@attrs.define(kw_only=True)
class Story:
    """One run that is killed once or twice and then finished."""

    emulator: Emulator
    folder: Path
    operations: list[Operation[Any]]
    chance: random.Random
    database: str = ""
    killed: int = 0
    broken: list[str] = attrs.field(factory=list)
    open_ends: set[int] = attrs.field(factory=set)

    @property
    def journal(self) -> str:
        if self.database:
            return f"{self.database}#{self.folder.name}"
        return str(self.folder / "run.db")

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials.jsonl"

    async def tell(self, point: str) -> None:
        """Run and kill at the point, resume (and kill again), and compare with the emulator."""
        first = "after the intent's commit" if point == IN_A_RESUME else point
        await self._session(first, resume=False)
        if point == IN_A_RESUME:
            await self._session("after the intent's commit", resume=True)
        await self._session("", resume=self._began())
        self._check_the_end()

    def _began(self) -> bool:
        store = store_of(self.journal)
        if not store.exists():
            return False
        with closing(store.read()) as journal:
            return bool(journal.facts())

    async def _session(self, point: str, *, resume: bool) -> None:
        settings = Settings(
            base_url=self.emulator.base_url,
            token=self.emulator.token,
            journal=self.journal,
            credentials=str(self.credentials),
            concurrency=CONCURRENCY,
            operations=None if resume else [operation_to_json(each) for each in self.operations],
            point=point,
            hit=self.chance.randint(1, 4),
        )
        if not point:  # nothing kills it, so it needs no process of its own
            async with asyncio.timeout(PATIENCE):
                await carry_out(settings)
            return
        child = await asyncio.create_subprocess_exec(
            *(programs(os.environ) / "python", "-m", "tests.fleet.killed_run"),
            json.dumps(attrs.asdict(settings)),
        )
        try:
            if point == MID_REQUEST:
                self._kill_at_an_arrival(child.pid)
            async with asyncio.timeout(PATIENCE):
                code = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
        self.emulator.faults.clear()
        if code == -signal.SIGKILL:
            self.killed += 1
            await self._until_free()
            self._check_a_kill()
        elif code != 0:
            self.broken.append(f"a session at {point!r} ended with {code}")

    def _kill_at_an_arrival(self, pid: int) -> None:
        left = self.chance.randint(1, 40)

        def kill(_: Target) -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(pid, signal.SIGKILL)
            return False

        self.emulator.faults.add(Drop(), when=kill, times=None)

    async def _until_free(self) -> None:
        """Wait until the lease of a killed session is over."""
        async with asyncio.timeout(PATIENCE):
            while store_of(self.journal).is_held():  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.02)

    def _check_a_kill(self) -> None:
        """Right after a kill: nothing arrived without an intent, and little is unknown."""
        if not self._began():
            return
        with closing(read_journal(self.journal)) as journal:
            intents = Counter(event.seq for event in journal.events() if event.kind == INTENT)
            open_ends = Replay(journal).with_mark(Mark.INTENDED)
        log = self.emulator.world.log
        for seq, operation in enumerate(self.operations):
            arrivals = len(log.arrivals(operation.subject(), operation.request().method))
            if arrivals > intents[seq]:
                self.broken.append(f"{operation!r}: {arrivals} arrivals, {intents[seq]} intents")
        # Entries that an earlier kill left open may still be queued behind others.
        fresh = set(open_ends) - self.open_ends
        if len(fresh) > CONCURRENCY:
            self.broken.append(f"{len(fresh)} are unknown, and {CONCURRENCY} were in flight")
        self.open_ends.update(open_ends)

    def _check_the_end(self) -> None:
        """In the end everything is as requested, except for generations that were cut off."""
        with closing(read_journal(self.journal)) as journal:
            marks = Replay(journal).marks
            kept = Counter(seq for seq, _ in kept_in(self.credentials, journal.facts()["run"]))
        world = self.emulator.world
        for seq, operation in enumerate(self.operations):
            mark = Mark(marks[seq])
            device_id = str(operation.subject())
            if operation.repeat is not Repeat.ONCE:
                if not mark.done:
                    self.broken.append(f"{operation!r} ended {mark.name}")
                shown = world.device(device_id) if device_id in world else None
                if not operation.holds(shown):
                    self.broken.append(f"{operation!r} does not hold, and is {mark.name}")
                continue
            minted = world.log.count("generate_config", device_id=device_id)
            if mark is Mark.APPLIED:
                if (minted, kept[seq]) != (1, 1):
                    self.broken.append(f"{operation!r}: {minted} minted, {kept[seq]} kept")
            elif mark not in (Mark.INTENDED, Mark.UNKNOWN) or minted > 1 or kept[seq]:
                self.broken.append(f"{operation!r} is {mark.name}, {minted} minted")
            elif seq not in self.open_ends:
                self.broken.append(f"{operation!r} is unknown, and was not in flight at a kill")


def asked_of(world: World) -> list[Operation[Any]]:
    """Return operations for every device, with new configurations and deletions where possible."""
    found: list[Operation[Any]] = []
    for number, device in enumerate(world):
        if device.type != "STANDALONE":
            found.append(UpdateDevice(device_id=device.id, name=f"new {number}"))
        elif number % 5:
            found.append(GenerateConfig(device_id=device.id, protocol="MQTT"))
        else:
            found.append(DeleteDevice(device_id=device.id))
    return found


async def tell_story(point: str, seed: int, database: str = "") -> tuple[int, list[str]]:
    """Kill one run at a point; return how often it was killed, and which promises it broke."""
    chance = random.Random(f"{point}/{seed}")
    world = World.seeded(150, seed, role="OWNER")
    operations = asked_of(world)
    chance.shuffle(operations)
    with tempfile.TemporaryDirectory() as folder:
        async with Emulator(world=world) as emulator:
            story = Story(
                emulator=emulator,
                folder=Path(folder),
                operations=operations,
                chance=chance,
                database=database,
            )
            await story.tell(point)
    return story.killed, story.broken


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")


async def main(kills: int, database: str = "") -> int:
    """Kill that many runs, at each point in turn; return 1 if a promise was broken.

    Their journals are in files, or in the database.
    """
    points = [each for each in POINTS if not (database and each == CHECKPOINT)]
    hits: Counter[str] = Counter()
    broken = 0
    began = time.monotonic()
    seed = 0
    while hits.total() < kills and seed < 2 * kills:
        point = points[seed % len(points)]
        killed, problems = await tell_story(point, seed, database)
        hits[point] += killed
        broken += len(problems)
        for problem in problems:
            tell(f"{point}, seed {seed}: {problem}")
        seed += 1
    for point in points:
        tell(f"{hits[point]:>5} kills {point}")
    tell(f"{hits.total()} kills in {time.monotonic() - began:.0f} s, {broken} promises broken")
    return 1 if broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fleet.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--postgres", action="store_true", help="keep the journals in PostgreSQL")
    options = parser.parse_args()
    if not options.postgres:
        sys.exit(asyncio.run(main(options.kills)))
    with PostgresServer.running() as server:
        where = server.new_database()
        prepare_journals(where)
        sys.exit(asyncio.run(main(options.kills, where)))
