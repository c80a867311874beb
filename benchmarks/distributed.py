"""What a worker of a distributed job costs, compared with one process and a journal in a file.

    python -m benchmarks.distributed                        # CPU time, in turn, in one run
    python -m benchmarks.distributed --large 1000000        # 3 workers: memory and disk over time

A database, an emulator and, for its engine, Temporal's development server are started; each worker
is a separate process, whose CPU time and memory are measured. Partitions of one operation show what
a partition costs by itself, and how much of it is the engine's own, compared with the job's tables.
Exit code 0: a worker needs at most 1.15 (the job's tables, PgQueuer) or 1.3 (Temporal) of the CPU
time, and an engine at most 5 ms of it for each partition; with --large, an operation takes at most
600 bytes of the database, and no worker's memory grows by more than a quarter after the first
third. 1: more.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.drivers import TOKEN
from benchmarks.figures import Verdict, spread
from benchmarks.grid import in_a_process
from benchmarks.journal import WARM_UP, emulated, operations
from benchmarks.machine import choose_cores
from benchmarks.parts import begin, command_line, finish, tell
from benchmarks.postgres import disk_bytes, own_database
from benchmarks.report import Section, Table
from benchmarks.server import ROOT
from enapter_async import Client, fleet
from enapter_async.fleet.distributed.engine import Engine
from enapter_async.fleet.distributed.engines.pgqueuer import HEARTBEAT_S
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from tests.distributed.engines import ENGINES, prepared
from tests.distributed.worker_process import engine_at

MOST_CPU: Final = {"tables": 1.15, "pgqueuer": 1.15, "temporal": 1.3}
MOST_OWN_MS: Final = 5.0
"""How much CPU time an engine may need for each partition."""
MOST_BYTES: Final = 600.0
MOST_GROWTH: Final = 1.25
COUNT: Final = 20_000
ROUNDS: Final = 3
SIZE: Final = 2000
TINY: Final = 200
"""How many partitions of one operation show what a partition costs."""
WORKERS: Final = 3
SAMPLE_S: Final = 1.0
WAYS: Final = ("plain", *ENGINES)


async def cell(base_url: str, *, count: int, way: str, place: str) -> dict[str, Any]:
    """Carry out one job, alone; for a plain job, `place` is the journal's file."""
    async with Client(TOKEN, base_url=base_url) as client:
        await fleet.apply(client, operations(WARM_UP))
        engine = None
        if way != "plain":  # so that imports, once for a process, do not count
            engine = engine_at(way, place, HEARTBEAT_S)
            connect(Address.parse(place)).close()
        began, cpu = time.perf_counter(), time.process_time()
        if way == "plain":
            await fleet.apply(client, list(operations(count)), journal=place)
        else:
            await work(base_url, place, engine)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"per_second": count / seconds, "cpu_us": cpu / count * 1e6}


async def work(base_url: str, place: str, engine: Engine | None) -> None:
    """Work on a job until it is over."""

    def client_for(**settings: Any) -> Client:
        return Client(TOKEN, base_url=base_url, **settings)

    async with fleet.Worker(client_for, place, slots=1, engine=engine) as worker:
        await worker.finish()


def started(arguments: Sequence[str]) -> "subprocess.Popen[str]":
    """Start this module in its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.distributed", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def apart(base_url: str, count: int, way: str, place: str) -> dict[str, Any]:
    """Measure a cell in its own process."""
    settings = {"count": count, "way": way, "place": place}
    return await asyncio.to_thread(in_a_process, "distributed", base_url, None, **settings)


async def submitted(base_url: str, place: str, count: int, size: int = SIZE) -> fleet.Job:
    """Submit a job in partitions of `size` operations."""
    return await fleet.distribute(list(operations(count)), place, by=size, base_url=base_url)


@contextlib.asynccontextmanager
async def _engines(address: str, folder: Path) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for engine in ENGINES:
            await stack.enter_async_context(prepared(engine, address, folder))
        yield


async def measure(base_url: str, address: str, rounds: int, count: int) -> list[dict[str, Any]]:
    """Do the same job in each way in turn; return the measurements, round by round."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        async with _engines(address, Path(folder)):
            for number in range(rounds):
                for way in WAYS if number % 2 else WAYS[::-1]:
                    tell(f"distributed: round {number + 1} of {rounds}, {way}")
                    place = str(Path(folder) / f"journal-{number}.db")
                    if way != "plain":
                        place = f"{address}#{way}-{number}"
                        await submitted(base_url, place, count)
                    cost = await apart(base_url, count, way, place)
                    cost |= await each_partition(base_url, address, way, number)
                    found.append({"round": number, "way": way, **cost})
    return found


async def each_partition(base_url: str, address: str, way: str, number: int) -> dict[str, float]:
    """Return the CPU time that a partition costs by itself, if the job has partitions."""
    if way == "plain":
        return {}
    place = f"{address}#tiny-{way}-{number}"
    await submitted(base_url, place, TINY, 1)
    cost = await apart(base_url, TINY, way, place)
    return {"partition_ms": cost["cpu_us"] / 1000}


def section(found: Sequence[Mapping[str, Any]], count: int) -> Section:
    """Summarize, and judge the medians of the ratios within a round."""
    of = {way: [each for each in found if each["way"] == way] for way in WAYS}
    plain = {each["round"]: each["cpu_us"] for each in of["plain"]}
    tables = {each["round"]: each["partition_ms"] for each in of["tables"]}
    own = {
        way: [each["partition_ms"] - tables[each["round"]] for each in of[way]] for way in ENGINES
    }
    rows = tuple(
        (
            way,
            *(f"{statistics.median(each[key] for each in of[way]):,.1f}" for key in KEYS),
            *(
                (
                    f"{statistics.median(each['partition_ms'] for each in of[way]):.1f}",
                    f"{statistics.median(own[way]):.1f}",
                )
                if way in own
                else ("", "")
            ),
        )
        for way in WAYS
    )
    return Section(
        name="distributed",
        title="What a worker of a distributed job costs",
        lead=(
            f"{count:,} updates in partitions of {SIZE:,} against the emulator, by one worker with "
            f"one slot; {len(plain)} rounds, medians, ratios within a round."
        ),
        tables=(
            Table(
                headings=(
                    "partitions from",
                    "a second",
                    "CPU µs per operation",
                    "CPU ms per partition",
                    "of it the engine's",
                ),
                rows=rows,
            ),
        ),
        verdicts=tuple(
            Verdict(
                what=f"the worker's CPU time with {way} / one process with a file",
                found=spread(each["cpu_us"] / plain[each["round"]] for each in of[way]),
                bound=MOST_CPU[way],
                at_most=True,
            )
            for way in ENGINES
        )
        + tuple(
            Verdict(
                what=f"CPU ms of {way} itself for each partition",
                found=spread(own[way]),
                bound=MOST_OWN_MS,
                at_most=True,
            )
            for way in ENGINES
            if way != "tables"
        ),
        data={"jobs": list(found)},
    )


KEYS: Final = ("per_second", "cpu_us")


@attrs.define
class Large:
    """Three workers on one large job, with samples of their memory."""

    base_url: str
    address: str
    count: int

    async def run(self) -> Section:
        """Carry out the job, and judge memory and disk."""
        before = disk_bytes(self.address)
        began = time.perf_counter()
        job = await submitted(self.base_url, f"{self.address}#large", self.count)
        submission = time.perf_counter() - began
        tell(f"distributed: submitted in {submission:.0f} s")
        arguments = ["--cell", self.base_url, "--count", "0", "--way", "tables"]
        workers = [
            started([*arguments, "--place", f"{self.address}#large", "--quiet"])
            for _ in range(WORKERS)
        ]
        samples: list[list[int]] = [[] for _ in workers]
        try:
            watching = asyncio.create_task(self._sample(workers, samples))
            status = await job.wait()
            watching.cancel()
        finally:
            for worker in workers:
                worker.terminate()
                worker.wait()
        if not status.ok:
            raise RuntimeError(f"the large job ended so: {status}")
        return self._section(samples, (disk_bytes(self.address) - before) / self.count, status)

    async def _sample(self, workers: Sequence[Any], samples: list[list[int]]) -> None:
        while True:
            for worker, found in zip(workers, samples, strict=True):
                with contextlib.suppress(OSError, StopIteration):
                    found.append(resident(worker.pid))
            await asyncio.sleep(SAMPLE_S)

    def _section(self, samples: list[list[int]], used: float, status: fleet.JobStatus) -> Section:
        growth = [grown(found) for found in samples]
        return Section(
            name="distributed-large",
            title="A large job by three workers",
            lead=(
                f"{self.count:,} updates in {status.partitions} partitions, in "
                f"{status.elapsed:,.0f} s."
            ),
            tables=(
                Table(
                    headings=("worker", "MiB after a third", "MiB at most"),
                    rows=tuple(
                        (str(number), f"{found[len(found) // 3] >> 20}", f"{max(found) >> 20}")
                        for number, found in enumerate(samples, start=1)
                    ),
                ),
            ),
            verdicts=(
                Verdict(
                    what="bytes of the database for each operation",
                    found=spread([used]),
                    bound=MOST_BYTES,
                    at_most=True,
                ),
                Verdict(
                    what="a worker's most memory / its memory after a third",
                    found=spread(growth),
                    bound=MOST_GROWTH,
                    at_most=True,
                ),
            ),
            data={"memory": samples},
        )


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


def grown(found: Sequence[int]) -> float:
    """Return the peak memory after the first third, as a multiple of the memory at that point."""
    later = found[len(found) // 3 :]
    return max(later) / later[0]


@contextlib.contextmanager
def _surroundings(count: int) -> Iterator[tuple[str, str]]:
    cores = choose_cores()
    with own_database() as address:
        fleet.prepare_journals(address)
        with emulated(max(count, WARM_UP), cores.server if cores else None) as base_url:
            yield base_url, address


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, and return the exit code."""
    parser = command_line("distributed", __doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="operations per job")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--large", type=int, metavar="COUNT", help="one job of three workers")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quiet:
        asyncio.run(work(options.cell, options.place, None))
        return 0
    if options.cell:
        count, way, place = options.count, options.way, options.place
        print(json.dumps(asyncio.run(cell(options.cell, count=count, way=way, place=place))))
        return 0
    with _surroundings(options.large or options.count) as (base_url, address):
        if options.large:
            found = asyncio.run(Large(base_url, address, options.large).run())
        else:
            measured = asyncio.run(measure(base_url, address, options.rounds, options.count))
            found = section(measured, options.count)
    return finish(found, options)


if __name__ == "__main__":
    begin(main)
