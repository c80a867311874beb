"""The common parts of the single benchmarks' commands."""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import Final, NoReturn

from benchmarks.machine import choose_cores, facts, pinning, versions
from benchmarks.report import Report, Section, as_json, as_markdown, as_text

_STARTING: Final = subprocess.Popen.__init__.__code__
_LATER_SECONDS: Final = 0.05


def command_line(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return the command line that all of them share."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write everything to this file"
    )
    return parser


def finish(section: Section, options: argparse.Namespace) -> int:
    """Print one section, write its JSON if requested, and return the exit code."""
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


def tell(line: str) -> None:
    """Show how a measurement goes on."""
    print(line, file=sys.stderr, flush=True)


def begin(main: Callable[[], int]) -> NoReturn:
    """Run a command to its end, or end it cleanly if it receives a signal.

    Both signals leave through the `with` blocks, so that no server outlives the run.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _end)
    sys.exit(main())


def _end(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code is _STARTING:
            # If we left now, the process being started would have no parent, and continue to run.
            Timer(_LATER_SECONDS, os.kill, (os.getpid(), number)).start()
            return
        frame = frame.f_back
    sys.exit(128 + number)
