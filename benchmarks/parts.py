"""What the commands of single benchmarks have in common."""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks.machine import choose_cores, facts, pinning, versions
from benchmarks.report import Report, Section, as_json, as_markdown, as_text


def command_line(name: str, description: str | None) -> argparse.ArgumentParser:
    """Make the command line that each of them has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    return parser


def finish(section: Section, options: argparse.Namespace) -> int:
    """Print one section, write its JSON where that was asked for, and give the exit code."""
    report = Report(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=facts(),
        versions=versions(),
        pinning=pinning(choose_cores()),
        sections=(section,),
    )
    if options.json:
        options.json.write_text(json.dumps(as_json(report), indent=1) + "\n", "utf-8")
    print(as_markdown(report) if options.markdown else as_text(report))
    return 0 if section.good else 1


def begin(main: Callable[[], int]) -> NoReturn:
    """Run a command to its end, and end it cleanly where it is told to stop before.

    Both signals leave by way of the `with` blocks, so that no server outlives the run.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _end)
    sys.exit(main())


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
