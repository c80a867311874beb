"""Runs the cells: round by round, freshly shuffled, each in a process of its own."""

import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.catalog import PLAIN, Contender, Link
from benchmarks.figures import Cell
from benchmarks.machine import Cores, children_on
from benchmarks.server import ROOT, Server

LATENCIES: Final = 20
"""A cell lasts longer by this many times the link's latency."""


class CellError(Exception):
    """A contender failed; the message has what its process said last."""


class CellTimeoutError(CellError):
    """A contender took longer than it was given."""


@attrs.frozen(kw_only=True)
class Effort:
    """How much is measured.

    A cell ends after `seconds`, though not before four times the concurrency, or after
    `limit` calls. It is warmed up with `warm_up` calls, or twice the concurrency where that is
    more, so that every connection is open. Starting and warming it up may take `patience`
    seconds. After `budget` seconds, where there is one, no further cell is begun, and the one
    under way is given up.
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

    What is compared stands close together in time: a concurrency's contenders follow each
    other, in another order each round.
    """
    chance = random.Random(effort.seed)  # noqa: S311 - an order, no secret
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
    tell: Callable[[str], None],
) -> tuple[list[Cell], list[str]]:
    """Measure what was planned; give the cells, and what failed. It goes on after a failure.

    `servers` has one for the name of each link.
    """
    cells: list[Cell] = []
    failures: list[str] = []
    end = time.monotonic() + (math.inf if effort.budget is None else effort.budget)
    for each in planned:
        # Twice the seconds, because what is under way when they are over still ends.
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
    """Run one cell's process, of the checkout at `root`, and give its figures.

    Raises:
        CellTimeoutError: It took longer than `timeout` seconds, and was ended.
        CellError: It failed.
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
    """Write the command of one cell; it can be run by hand."""
    # Where each call takes long, no more are spared for warming up than open all connections,
    # and a cell is longer, so that a fleet job has the time to find its pace.
    warm_up = 2 * concurrency if link.latency else max(effort.warm_up, 2 * concurrency)
    seconds = effort.seconds + LATENCIES * link.latency
    where = ["--base-url", server.base_url, "--concurrency", str(concurrency)]
    if contender.program:
        whole = str(max(1, round(seconds)))
        return [sys.executable, "-m", "benchmarks.wrk", *where, "--seconds", whole]
    return [
        sys.executable,
        # So that an SDK that falls back to a slower way fails, and is not measured on it.
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
