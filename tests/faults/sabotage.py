"""Breaks the package in named ways, one at a time, and shows that the tests catch each.

python -m tests.faults.sabotage [--only NAME] [--jobs 2] [--list]

Each break has its own child process, which runs the tests named in the table; no file is changed.
Then every test that caught something is run once more without a break: it must pass, or it had
caught something else. Exit code 1: a break survived, its text is no longer in the package, or a
test fails without a break.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.faults.breaks import BREAKS, Break, NotThereError
from tests.faults.forked import Trial, Verdict, verdicts

MOST_SECONDS: Final = 120.0
"""The time limit for the tests of one break."""

IMPORTED_FIRST: Final = (
    "enapter_async.emulator",
    "enapter_async.fleet",
    "tests.support.rig",
    "tests.support.tls",
    "tests.fleet.callers",
    "tests.fleet.fleets",
)
"""Modules imported before the children fork, so that each child starts faster."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def sabotage(
    breaks: Mapping[str, Break], *, jobs: int, told: Callable[[str], None] = say
) -> list[str]:
    """Break the package in each of these ways; return the names of those that were not caught."""
    began = time.monotonic()
    wrong = [name for name, each in breaks.items() if not _stands(each, told)]
    trials = [
        Trial(name=name, tests=each.by, prepare=each.apply)
        for name, each in breaks.items()
        if name not in wrong
    ]
    caught: list[Verdict] = []
    for verdict in verdicts(trials, jobs=jobs, seconds=MOST_SECONDS):
        told(f"{verdict.seconds:5.1f} s  {verdict.name}\n         {_told(verdict)}")
        if verdict.state == "caught":
            caught.append(verdict)
        else:
            wrong.append(verdict.name)
    tests = sorted({verdict.test for verdict in caught})
    whole = [Trial(name="unbroken", tests=tests, timeout=60.0)] if tests else []
    for verdict in verdicts(whole, jobs=1, seconds=MOST_SECONDS):
        if verdict.state != "survived":
            wrong.append(verdict.name)
            told(f"unbroken, too: {_told(verdict)}")
    seconds = time.monotonic() - began
    told(f"{len(breaks)} breaks, {len(caught)} caught by {len(tests)} tests, in {seconds:.0f} s")
    return wrong


def _stands(each: Break, told: Callable[[str], None]) -> bool:
    try:
        each.changed()
    except NotThereError as error:
        told(f"         {error}")
        return False
    return True


def _told(verdict: Verdict) -> str:
    if verdict.state == "caught":
        return f"caught by {verdict.test.removeprefix('tests/')}"
    return f"{verdict.state.upper()}\n{verdict.told}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sabotage", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="only names with this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes")
    parser.add_argument("--list", action="store_true", help="list the names, and do nothing")
    asked = parser.parse_args()
    breaks = {name: each for name, each in BREAKS.items() if asked.only in name}
    if not breaks:
        parser.error(f"no break has {asked.only!r} in its name")
    if asked.list:
        for name, each in breaks.items():
            say(f"{name}\n    {each.where}")
        return 0
    for name in IMPORTED_FIRST:
        importlib.import_module(name)
    return 1 if sabotage(breaks, jobs=asked.jobs) else 0


if __name__ == "__main__":
    sys.exit(main())
