"""What the commands of single benchmarks have in common."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

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
