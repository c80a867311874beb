"""Runs the cells: round by round, freshly shuffled, each in its own process."""

import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.catalog import PLAIN, Contender, Link
from benchmarks.figures import Cell
from benchmarks.machine import Cores, children_on
from benchmarks.parts import tell
from benchmarks.server import ROOT, Server

LATENCIES: Final = 20
"""A cell lasts longer by this many times the link's latency."""


class CellError(Exception):
    """A contender failed; the message holds the last output of its process."""


class CellTimeoutError(CellError):
    """A contender exceeded its time."""


PATIENCE_SECONDS: Final = 1_800
"""How long a cell of a single benchmark may take."""


@attrs.frozen(kw_only=True)
class Effort:
    """How much is measured.

    A cell ends after `seconds`, but not before four times the concurrency, or after `limit` calls.
    It is warmed up with `warm_up` calls, or twice the concurrency if that is more, so that every
    connection is open. Starting and warming it up may take `patience` seconds. After `budget`
    seconds, if set, no further cell is started, and the running one is abandoned.
    """

    rounds: int = 5
    seconds: float = 1.0
    limit: int = 200_000
    warm_up: int = 256
    patience: float = 30.0
    budget: float | None = None
    seed: int = 1


@attrs.frozen(kw_only=True)
class Planned:
    """One cell to be measured."""

    round: int
    link: Link
    concurrency: int
    contender: Contender

    def __str__(self) -> str:
        over = "" if self.link is PLAIN else f" over {self.link.name}"
        return f"{self.contender.name} at {self.concurrency}{over}, round {self.round + 1}"


def plan(
    contenders: Sequence[Contender],
    concurrencies: Sequence[int],
    effort: Effort,
    link: Link = PLAIN,
) -> Iterator[Planned]:
    """Yield the cells of one link in the order to be measured.

    Contenders to be compared follow each other closely: those of one concurrency together, in a
    different order in each round.
    """
    chance = random.Random(effort.seed)  # noqa: S311 - an order, not a secret
    for number in range(effort.rounds):
        for concurrency in chance.sample(concurrencies, len(concurrencies)):
            for contender in chance.sample(contenders, len(contenders)):
                yield Planned(round=number, link=link, concurrency=concurrency, contender=contender)


def measure(
    planned: Iterator[Planned],
    effort: Effort,
    *,
    servers: Mapping[str, Server],
    cores: Cores | None,
) -> tuple[list[Cell], list[str]]:
    """Measure the plan; return the cells and the failures. It continues after a failure.

    `servers` maps the name of each link to its server.
    """
    cells: list[Cell] = []
    failures: list[str] = []
    end = time.monotonic() + (math.inf if effort.budget is None else effort.budget)
    for each in planned:
        # Twice the seconds, because calls that are in flight at the end still finish.
        seconds = effort.seconds + LATENCIES * each.link.latency
        usual, left = effort.patience + 2 * seconds, end - time.monotonic()
        if left <= 0:
            tell(f"the time is over; {len(cells)} cells were measured")
            break
        tell(f"{each} of {effort.rounds}")
        command = worker_command(
            each.contender, each.concurrency, effort, servers[each.link.name], link=each.link
        )
        try:
            figures = run_worker(command, cores=cores, timeout=min(usual, left))
        except CellError as error:
            if not (isinstance(error, CellTimeoutError) and left < usual):
                failures.append(f"{each}: {error}")
            continue
        cells.append(
            Cell(
                contender=each.contender.name,
                link=each.link.name,
                concurrency=each.concurrency,
                round=each.round,
                **figures,
            )
        )
    return cells, failures


def run_worker(
    command: Sequence[str], *, cores: Cores | None, timeout: float, root: Path = ROOT
) -> dict[str, Any]:
    """Run one cell's process in the checkout at `root`, and return its figures.

    Raises: CellTimeoutError: It took longer than `timeout` seconds, and was ended. CellError: It
        failed.
    """
    try:
        with children_on(cores.client if cores else None):
            done = subprocess.run(
                command,
                cwd=root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
    except subprocess.TimeoutExpired:
        raise CellTimeoutError(f"no end within {timeout:.0f} s") from None
    if done.returncode != 0:
        raise CellError(f"exit {done.returncode}: {' / '.join(done.stderr.splitlines()[-3:])}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def worker_command(
    contender: Contender,
    concurrency: int,
    effort: Effort,
    server: Server,
    *,
    link: Link = PLAIN,
) -> list[str]:
    """Return the command of one cell; it can be run by hand."""
    # If each call takes long, the warm-up makes only as many calls as open all connections, and the
    # cell is longer, so that a fleet job has time to find its pace.
    warm_up = 2 * concurrency if link.latency else max(effort.warm_up, 2 * concurrency)
    seconds = effort.seconds + LATENCIES * link.latency
    where = ["--base-url", server.base_url, "--concurrency", str(concurrency)]
    if contender.program:
        whole = str(max(1, round(seconds)))
        return [sys.executable, "-m", "benchmarks.wrk", *where, "--seconds", whole]
    return [
        sys.executable,
        # An SDK that falls back to a slower transport must fail instead of being measured on it.
        *("-W", "error::RuntimeWarning"),
        *("-m", "benchmarks.worker"),
        *("--driver", contender.driver),
        f"--way={contender.way}",
        *where,
        *("--seconds", str(seconds)),
        *("--limit", str(effort.limit)),
        *("--warm-up", str(warm_up)),
        *(("--ca", str(server.ca)) if server.ca else ()),
        *(("--orjson",) if contender.orjson else ()),
        *(("--uvloop",) if contender.uvloop else ()),
    ]


def in_a_process(
    name: str, base_url: str, cores: Cores | None, /, **settings: Any
) -> dict[str, Any]:
    """Measure a cell of the benchmark `name` in its own process, on the client's core.

    Raises: CellError: It failed, or took too long.
    """
    arguments = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    command = [sys.executable, "-m", f"benchmarks.{name}", "--cell", base_url, *arguments]
    return run_worker(command, cores=cores, timeout=PATIENCE_SECONDS)
