"""Kills and stops workers, crashes the database, and reports each broken promise of a job.

python -m tests.distributed.kills --engine pgqueuer --kills 200 --crashes 20
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import attrs

from enapter_async import fleet
from enapter_async.emulator import Emulator, Latency, World
from enapter_async.fleet.distributed.job_records import Control
from enapter_async.fleet.journal.job_database import Row
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.postgres.jobs import PostgresJobs
from enapter_async.fleet.journal.postgres.schema import prepare as prepare_tables
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.operation import Operation, Repeat
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.distributed.engines import ENGINES, OLDER, prepared
from tests.support.forks.starting import programs
from tests.support.postgres import PostgresServer

PATIENCE = 120.0
CONCURRENCY = 8
IMPORTED = [f"enapter_async.fleet.distributed.engines.{name}" for name in ENGINES[1:]]


@attrs.define(kw_only=True)
class Told:
    """What happened, and which promises were broken."""

    jobs: int = 0
    items: int = 0
    kills: int = 0
    stops: int = 0
    crashes: int = 0
    sent_again: int = 0
    unknown: int = 0
    broken: list[str] = attrs.field(factory=list)


@attrs.frozen
class Worker:
    """A worker: the process that was started, and the one that works, which may be a fork."""

    process: asyncio.subprocess.Process
    pid: int

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


@attrs.define(kw_only=True)
class Trial:
    """Jobs over one database, with workers that are disturbed by chance."""

    server: PostgresServer
    address: str
    engine: str
    emulator: Emulator
    folder: Path
    chance: random.Random
    told: Told = attrs.field(factory=Told)
    names: dict[str, Worker] = attrs.field(factory=dict)
    _workers: list[Worker] = attrs.field(factory=list)

    async def take_over(self) -> float:
        """Kill a worker that has a partition; return how long the partition waited."""
        job = await self._submitted(by=1000, max_rate=len(self.emulator.world) / 2)
        control = Control(PostgresJobs(Address.parse(self.address, with_run=False)))
        async with asyncio.timeout(PATIENCE):
            first = await self._owner(control, job, but="")
            log = self.emulator.world.log
            while not log.count_arrivals():  # noqa: ASYNC110 - the emulator has no event for it
                await asyncio.sleep(0.02)
            killed = time.monotonic()
            self.names[first].signal(signal.SIGKILL)
            await self._owner(control, job, but=first)
            took = time.monotonic() - killed
            await self._replace(self.names[first])
            await job.wait()
        await control.close()
        await self._checked(job)
        return took

    async def _owner(self, control: Control, job: fleet.Job, *, but: str) -> str:
        while True:
            [row] = await control.partitions(job.name)
            if row["owner"] not in ("", but):
                return str(row["owner"])
            await asyncio.sleep(0.02)

    async def run(self, kills: int, stops: int, crashes: int, *, apart: float = 0.6) -> Told:
        """Disturb jobs that often, one job after the other, and check each at its end."""
        todo = ["kill"] * kills + ["stop"] * stops + ["crash"] * crashes
        self.chance.shuffle(todo)
        while todo or not self.told.jobs:
            job = await self._submitted()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._disturb(job, todo, apart)
                    await job.wait()
            except TimeoutError:
                self.told.broken.append(f"{job.name} did not end: {await job.status()}")
                break
            await self._checked(job)
        return self.told

    @contextlib.asynccontextmanager
    async def working(self, workers: int) -> AsyncIterator[None]:
        """Keep this number of workers running for as long as the block lasts."""
        try:
            for _ in range(workers):
                await self._start()
            yield
        finally:
            for worker in self._workers:
                worker.signal(signal.SIGCONT)
                worker.signal(signal.SIGTERM)
            for worker in self._workers:
                try:
                    await asyncio.wait_for(worker.process.wait(), 60)
                except TimeoutError:
                    worker.signal(signal.SIGKILL)
                    self.told.broken.append("a worker did not end on SIGTERM")
            self._workers.clear()

    async def _start(self) -> None:
        python = programs(os.environ, *IMPORTED) / "python"
        with (self.folder / "workers.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                python, "-m", "tests.distributed.worker_process",
                self.emulator.base_url, self.address, self.engine, str(self.folder / "kept"),
                f"worker-{len(self.names)}", stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert process.stdout is not None
        worker = Worker(process, int(await process.stdout.readline()))
        self.names[f"worker-{len(self.names)}"] = worker
        self._workers.append(worker)

    async def _submitted(self, *, by: int = 20, max_rate: float = 250.0) -> fleet.Job:
        self.told.jobs += 1
        works: list[Operation] = [  # type: ignore[type-arg]  # of several kinds
            GenerateConfig(device_id=device.id, protocol="MQTT")
            if device.type == "STANDALONE"
            else UpdateDevice(device_id=device.id, name=f"{device.id[:8]} of {self.told.jobs}")
            for device in self.emulator.world
        ]
        job = await fleet.distribute(
            works, f"{self.address}#job-{self.told.jobs}", by=by, base_url=self.emulator.base_url,
            guard=fleet.GuardMode.NONE, abort=None, max_rate=max_rate,
            concurrency=CONCURRENCY,
        )  # fmt: skip
        self.told.items += len(works)
        return job

    async def _disturb(self, job: fleet.Job, todo: list[str], apart: float) -> None:
        while todo:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * apart)
            with contextlib.suppress(fleet.JournalError):
                status = await job.status()
                if status.over:
                    return
                if status.unserved:
                    continue  # all are still starting, and more kills would only keep them from it
            kind = todo.pop()
            if kind == "crash":
                self.told.crashes += 1
                await asyncio.to_thread(self.server.crash)
                await asyncio.sleep(self.chance.uniform(0.1, 0.8))
                await asyncio.to_thread(self.server.start)
                continue
            for worker in [each for each in self._workers if each.process.returncode is not None]:
                self.told.broken.append(f"a worker ended by itself: {worker.process.returncode}")
                self._workers.remove(worker)
                await self._start()
            worker = self.chance.choice(self._workers)
            if kind == "stop":
                self.told.stops += 1
                worker.signal(signal.SIGSTOP)
                await asyncio.sleep(self.chance.uniform(0.5, 1.8))
                worker.signal(signal.SIGCONT)
            else:
                self.told.kills += 1
                worker.signal(signal.SIGKILL)
                await self._replace(worker)

    async def _replace(self, worker: Worker) -> None:
        """Start another worker for one that was killed."""
        await worker.process.wait()
        self._workers.remove(worker)
        await self._start()

    async def _checked(self, job: fleet.Job) -> None:
        control = Control(PostgresJobs(Address.parse(self.address, with_run=False)))
        rows = await control.partitions(job.name)
        await control.close()
        await asyncio.to_thread(self._check, job, rows)

    def _check(self, job: fleet.Job, rows: list[Row]) -> None:
        """Compare the job's journal with what the emulator saw, and forget what it saw."""
        broken, log = self.told.broken, self.emulator.world.log
        intents: Counter[str] = Counter()
        again: Counter[int] = Counter()
        with closing(read_journal(job)) as journal:
            replay = Replay(journal)
            items = {item.seq: item.operation for item in journal.items()}
            for _, seq, kind, _ in journal.marks():
                if kind == "intent":
                    intents[str(items[seq].target().id)] += 1
        for seq, operation in items.items():
            mark, device = Mark(replay.marks[seq]), str(operation.target().id)
            once = operation.repeat is Repeat.ONCE
            made = log.count("generate_config", device_id=device)
            if mark not in (Mark.APPLIED, Mark.UNKNOWN, Mark.INTENDED) or (
                mark is not Mark.APPLIED and not once
            ):
                broken.append(f"{job.name}: {device} ended as {mark.name}")
            if once and made > 1:
                broken.append(f"{job.name}: {device} got {made} configurations")
            if once and mark is Mark.APPLIED and not made:
                broken.append(f"{job.name}: {device} has no configuration, and is said to")
            self.told.unknown += mark is not Mark.APPLIED
            sent = log.count_arrivals("PATCH", device_id=device) + log.count_arrivals(
                "POST", device_id=device
            )
            self.told.sent_again += max(0, sent - 1)
            again[seq] = max(0, sent - 1)
            if sent > intents[device]:
                broken.append(f"{job.name}: {device} got {sent} requests, {intents[device]} known")
        for row in rows:
            number = sum(again[row["first"] + each] for each in range(row["size"]))
            # Each session but the last may leave CONCURRENCY operations without an outcome.
            if number > (row["tries"] - 1) * CONCURRENCY:
                tries = f"{row['tries']} sessions"
                broken.append(f"{job.name}: {number} of a partition were sent again in {tries}")
        log.clear()


@contextlib.asynccontextmanager
async def trial_of(
    engine: str, seed: int, server: PostgresServer, *, devices: int = 150, workers: int = 3
) -> AsyncIterator[Trial]:
    """Set up a trial with a database and an emulator of its own."""
    with tempfile.TemporaryDirectory() as folder:
        address = server.new_database()
        with closing(connect(Address.parse(address, with_run=False))) as connection:
            prepare_tables(connection)
        world = World.seeded(devices, seed, role="OWNER")
        async with prepared(engine, address, Path(folder)), Emulator(world=world) as emulator:
            emulator.faults.add(Latency(seconds=0.02), times=None)
            trial = Trial(
                server=server, address=address, engine=engine, emulator=emulator,
                folder=Path(folder), chance=random.Random(seed),
            )  # fmt: skip
            async with trial.working(workers):
                yield trial
            log = (Path(folder) / "workers.log").read_text("utf-8")
            if "Traceback" in log:
                trial.told.broken.append(log[log.index("Traceback") :][:3000])


async def _main(engine: str, kills: int, crashes: int, seed: int) -> Told:
    with PostgresServer.running() as server:
        async with trial_of(engine, seed, server) as trial:
            sys.stdout.write(f"{engine}: taken over after {await trial.take_over():.1f} s\n")
            stops = kills * 3 // 10
            return await trial.run(kills - stops, stops, crashes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=(*ENGINES, OLDER), default="tables")
    parser.add_argument("--kills", type=int, default=200, help="3 of 10 are stopped instead")
    parser.add_argument("--crashes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    result = asyncio.run(_main(given.engine, given.kills, given.crashes, given.seed))
    sys.stdout.write(f"{given.engine}: {result} in {time.monotonic() - began:.0f} s\n")
    sys.exit(bool(result.broken))
