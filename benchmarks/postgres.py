"""The cost of a journal in PostgreSQL, compared with one in a file, in turn, in one run.

    python -m benchmarks.postgres                          # a server of its own, fsync on
    python -m benchmarks.postgres --address postgresql://user@host/database

Each job is a separate process; so are the emulator, and the database with its own processes, whose
CPU time is not counted. Exit code 0: a worker with its journal in PostgreSQL needs at most 1.10 of
the CPU time of one with a file, and an operation at most 600 bytes of the database. 1: more.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.drivers import TOKEN
from benchmarks.figures import Verdict, spread
from benchmarks.grid import in_a_process
from benchmarks.journal import WARM_UP, emulated, operations
from benchmarks.machine import choose_cores
from benchmarks.parts import begin, command_line, finish, tell
from benchmarks.report import Section, Table
from enapter_async import Client, fleet
from enapter_async.fleet.inputs import Input
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.postgres.rows import write_run
from enapter_async.fleet.journal.records import item_row
from tests.support.postgres import PostgresServer, is_installed

MOST_CPU: Final = 1.10
MOST_BYTES: Final = 600.0
COUNT: Final = 20_000
ROUNDS: Final = 5
WAYS: Final = ("file", "postgres")
_TABLES: Final = ("run", "fact", "item", "event")


async def cell(base_url: str, *, count: int, journal: str) -> dict[str, Any]:
    """Measure one job, whose input is a list."""
    async with Client(TOKEN, base_url=base_url) as client:
        await fleet.apply(client, operations(WARM_UP))
        work = list(operations(count))
        began, cpu = time.perf_counter(), time.process_time()
        report = await fleet.apply(client, work, journal=journal)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if report.counts[fleet.State.APPLIED] != count:
        raise RuntimeError(f"the fleet's report is {dict(report.counts)}")
    return {"per_second": count / seconds, "cpu_us": cpu / count * 1e6}


def disk_bytes(address: str) -> int:
    """Return how much of the database's disk its journals take, with their indexes."""
    sizes = " + ".join(f"pg_total_relation_size('enapter_fleet.{each}')" for each in _TABLES)
    with closing(connect(Address.parse(address, with_run=False))) as connection:
        row = connection.execute(f"SELECT {sizes}").fetchone()
    return int(row[0])


def submission_us(address: str, count: int) -> float:
    """Return the microseconds for each operation in which a whole run is written."""
    items = Input(list(operations(count))).items()
    with closing(connect(Address.parse(address, with_run=False))) as connection:
        began = time.perf_counter()
        with connection.transaction():
            write_run(connection.cursor(), f"submitted-{began}", {"a": "b"}, map(item_row, items))
        return (time.perf_counter() - began) / count * 1e6


def measure(base_url: str, address: str, rounds: int, count: int) -> list[dict[str, Any]]:
    """Do the same job in each way in turn; return the measurements, round by round."""
    found = []
    stamp = int(time.time())
    for number in range(rounds):
        tell(f"postgres: round {number + 1} of {rounds}")
        for way in WAYS if number % 2 else WAYS[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                journal = str(Path(folder) / "journal.db")
                if way == "postgres":
                    journal = f"{address}#benchmark-{stamp}-{number}"
                before = disk_bytes(address)
                measured = in_a_process("postgres", base_url, None, count=count, journal=journal)
            used = (disk_bytes(address) - before) / count
            found.append({"round": number, "way": way, "bytes": used, **measured})
        found.append({"round": number, "way": "submission", "us": submission_us(address, count)})
    return found


def section(found: Sequence[Mapping[str, Any]], count: int) -> Section:
    """Summarize, and judge the medians of the ratios within a round."""
    of = {way: [cell for cell in found if cell["way"] == way] for way in (*WAYS, "submission")}
    plain = {cell["round"]: cell["cpu_us"] for cell in of["file"]}
    submitted = statistics.median(cell["us"] for cell in of["submission"])

    def median(way: str, key: str) -> str:
        return f"{statistics.median(cell[key] for cell in of[way]):,.1f}"

    return Section(
        name="postgres",
        title="What a journal in PostgreSQL costs its worker",
        lead=(
            f"`fleet.apply` of a list of {count:,} updates against the emulator; {len(plain)} "
            f"rounds, medians, ratios within a round. A whole run is submitted in {submitted:.1f} "
            "µs for each operation."
        ),
        tables=(
            Table(
                headings=("journal", "a second", "CPU µs per operation", "bytes per operation"),
                rows=tuple(
                    (way, *(median(way, key) for key in ("per_second", "cpu_us", "bytes")))
                    for way in WAYS
                ),
            ),
        ),
        verdicts=(
            Verdict(
                what="the worker's CPU time with PostgreSQL / with a file",
                found=spread(cell["cpu_us"] / plain[cell["round"]] for cell in of["postgres"]),
                bound=MOST_CPU,
                at_most=True,
            ),
            Verdict(
                what="bytes of the database for each operation",
                found=spread(cell["bytes"] for cell in of["postgres"]),
                bound=MOST_BYTES,
                at_most=True,
            ),
        ),
        data={"jobs": list(found)},
    )


@contextlib.contextmanager
def own_database() -> Iterator[str]:
    """Start a server for this run, which waits for its disk, as the tests start theirs."""
    if not is_installed():
        raise RuntimeError("PostgreSQL is not installed; give --address")
    with PostgresServer.running() as server:
        server.crash()
        server.start(fsync="on")
        yield server.new_database()


def run(address: str | None, *, rounds: int, count: int) -> Section:
    """Measure and summarize, with a server of its own unless there is an address."""
    cores = choose_cores()
    with contextlib.ExitStack() as stack:
        where = address or stack.enter_context(own_database())
        fleet.prepare_journals(where)
        base_url = stack.enter_context(
            emulated(max(count, WARM_UP), cores.server if cores else None)
        )
        return section(measure(base_url, where, rounds, count), count)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, and return the exit code."""
    parser = command_line("postgres", __doc__)
    parser.add_argument("--address", help="a database whose user may create a schema")
    parser.add_argument("--count", type=int, default=COUNT, help="operations per job")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--journal", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.cell:
        measured = cell(options.cell, count=options.count, journal=options.journal)
        print(json.dumps(asyncio.run(measured)))
        return 0
    found = run(
        options.address,
        rounds=options.rounds,
        count=options.count,
    )
    return finish(found, options)


if __name__ == "__main__":
    begin(main)
