"""Runs the stories of many seeds, or of one.

python -m tests.simulation --seeds 50000 [--first N] [--jobs 2] [--break NAME]
python -m tests.simulation --seed 1234 --trace
"""

import argparse
import contextlib
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator

from tests.faults.breaks import SIMULATED
from tests.simulation.seeds import tell
from tests.simulation.story import Story

MOST_SHOWN = 20
MANY = 50


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def repeating(seed: int) -> str:
    """Return the command that runs a seed's story again."""
    return f"python -m tests.simulation --seed {seed} --trace"


def problems_of(seed: int) -> tuple[list[str], Counter[str]]:
    """Return the faults found in a seed's story, and what it tried."""
    try:
        story = tell(seed)
    except Exception:  # noqa: BLE001 - a story that cannot be played is a finding, too
        return [traceback.format_exc()], Counter()
    return story.broken, Counter(story.tried)


def first_caught(name: str, seeds: Iterable[int]) -> int | None:
    """Return the first of some seeds that detects a break, or None."""
    with SIMULATED[name].applied():
        return next((seed for seed in seeds if problems_of(seed)[0]), None)


def show(seed: int, *, trace: bool) -> int:
    """Run one seed's story."""
    story: Story = tell(seed)
    for line in story.trace.lines() if trace else ():
        say(line)
    for problem in story.broken:
        say(f"BROKEN: {problem}")
    say(f"seed {seed}: {len(story.broken)} promises broken")
    return 1 if story.broken else 0


def tell_many(seeds: range, jobs: int) -> int:
    """Run the stories of many seeds, and print a summary."""
    began = time.monotonic()
    tried: Counter[str] = Counter()
    bad = 0
    for seed, (problems, counts) in zip(seeds, _found(seeds, jobs), strict=True):
        tried += counts
        if problems:
            bad += 1
            if bad <= MOST_SHOWN:
                say(f"seed {seed}: {problems[0]}\n    {repeating(seed)}")
    for what, number in sorted(tried.items()):
        say(f"{number:>9} {what}")
    seconds = time.monotonic() - began
    say(f"{len(seeds)} seeds from {seeds.start} in {seconds:.0f} s: {bad} broke a promise")
    return 1 if bad else 0


def _found(seeds: range, jobs: int) -> Iterator[tuple[list[str], Counter[str]]]:
    if jobs == 1:
        yield from map(problems_of, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(problems_of, seeds, chunksize=MANY)


def show_break(name: str, seeds: range) -> int:
    """Print which seed detects a break first."""
    names = list(SIMULATED) if name == "all" else [name]
    missed = 0
    for each in names:
        seed = first_caught(each, seeds)
        missed += seed is None
        say(f"{'never' if seed is None else seed:>8}  {each}")
    return 1 if missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--seed", type=int, help="run only this seed")
    parser.add_argument("--trace", action="store_true", help="print what happened when")
    parser.add_argument("--break", dest="broken", help="break the package in this or in every way")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    if asked.seed is None and asked.broken is not None:
        return show_break(asked.broken, seeds)
    with contextlib.ExitStack() as stack:
        if asked.broken is not None:
            stack.enter_context(SIMULATED[asked.broken].applied())
        if asked.seed is not None:
            return show(asked.seed, trace=asked.trace)
        return tell_many(seeds, asked.jobs)


if __name__ == "__main__":
    sys.exit(main())
