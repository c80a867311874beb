"""Compares this SDK with bare aiohttp and with the official SDK, in one run.

Exit code 0: all was measured. 1: a contender failed, or (with --smoke) fell below its floor.
2: the arguments are wrong. 130, 143: it was ended by a signal.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import attrs

from benchmarks.catalog import BASELINE, CONTENDERS, FLOORS, TARGETS, VARIANTS, Contender
from benchmarks.figures import judge
from benchmarks.grid import Effort, measure, plan
from benchmarks.machine import Cores, choose_cores, facts, versions
from benchmarks.report import Record, as_json, as_markdown, as_text, describe
from benchmarks.server import Server, ServerStartError, serving

SMOKE: Final = Effort(rounds=3, seconds=0.3, limit=20_000, warm_up=128, patience=8.0, budget=17.0)
SMOKE_CONCURRENCY: Final = 64
SMOKE_TRIES: Final = 2


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    default = Effort()
    names = [contender.name for contender in (*CONTENDERS, *VARIANTS)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="add the uvloop and orjson variants")
    parser.add_argument("--smoke", action="store_true", help="brief, at 64 only; judge the floors")
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--concurrency", nargs="+", type=_whole, default=[1, 16, 64, 256])
    parser.add_argument("--rounds", type=_whole, default=default.rounds)
    parser.add_argument("--seconds", type=_positive, default=default.seconds, help="for each cell")
    parser.add_argument("--seed", type=int, default=default.seed, help="of the shuffling")
    parser.add_argument("--server", choices=("auto", "nginx", "raw"), default="auto")
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    options = parser.parse_args(arguments)
    if options.smoke and (options.full or options.only):
        parser.error("--smoke chooses its contenders itself")
    return options


def choose(options: argparse.Namespace) -> tuple[list[Contender], list[str]]:
    """Give the contenders to measure, and notes on those that cannot be."""
    wanted = [*CONTENDERS, *(VARIANTS if options.full else ())]
    if options.only:
        named = {BASELINE, *options.only}
        wanted = [one for one in (*CONTENDERS, *VARIANTS) if one.name in named]
    present, notes = [], []
    for contender in wanted:
        if missing := contender.missing():
            notes.append(f"{contender.name} left out: {' and '.join(missing)} not installed")
        else:
            present.append(contender)
    return present, notes


def compare(options: argparse.Namespace, server: Server, cores: Cores | None) -> Record:
    """Measure everything that the options ask for."""
    contenders, notes = choose(options)
    effort, concurrencies = SMOKE, [SMOKE_CONCURRENCY]
    if not options.smoke:
        effort = Effort(rounds=options.rounds, seconds=options.seconds)
        concurrencies = options.concurrency
    effort = attrs.evolve(effort, seed=options.seed)
    started, machine = datetime.now(UTC).isoformat(timespec="seconds"), facts()
    cells, failures = measure(
        plan(contenders, concurrencies, effort), effort, server=server, cores=cores, tell=_tell
    )
    measured = {cell.contender for cell in cells}
    failures += [f"{one.name} was never measured" for one in contenders if one.name not in measured]
    return Record(
        started=started,
        effort=effort,
        server=server,
        cores=cores,
        machine=machine,
        versions=versions(),
        notes=notes,
        failures=failures,
        cells=cells,
        judgements=judge(cells, TARGETS),
    )


def smoke(options: argparse.Namespace, server: Server, cores: Cores | None) -> tuple[Record, bool]:
    """Measure briefly; once more where a floor was missed, since the machine may be busy."""
    for attempt in range(SMOKE_TRIES):
        record = compare(options, server, cores)
        floors = judge(record.cells, FLOORS)
        for floor in floors:
            _tell(f"try {attempt + 1}: {describe(floor, expected='floor')}")
        incomplete = bool(record.failures or record.notes)
        good = not incomplete and all(floor.met for floor in floors)
        if good or incomplete:
            break
    return record, good


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, print it, and give the exit code."""
    options = parse(arguments)
    cores = choose_cores()
    try:
        with serving(options.server, core=cores.server if cores else None) as server:
            if options.smoke:
                record, good = smoke(options, server, cores)
            else:
                record = compare(options, server, cores)
                good = not record.failures
    except ServerStartError as error:
        _tell(f"the server did not start: {error}")
        return 1
    if options.json:
        options.json.write_text(json.dumps(as_json(record), indent=2) + "\n", "utf-8")
    print(as_markdown(record) if options.markdown else as_text(record))
    return 0 if good else 1


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError("it must be above 0, and at most 3600")
    return number


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    # Both leave by way of the `with` blocks, so that no server outlives the run.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _end)
    sys.exit(main())
