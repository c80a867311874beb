"""Compares this SDK with bare aiohttp, httpx and the official SDK, in one run.

Exit code 0: everything was measured. 1: a contender failed, or (with --smoke) fell behind its
reference, or (with --all) a bound was missed. 2: the arguments are wrong. 130, 143: a signal ended
it.
"""

import argparse
import contextlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from benchmarks import authority, comparison, everything, smoke
from benchmarks.catalog import BASELINE, CONTENDERS, LINKS, NAMES, PLAIN, Link
from benchmarks.grid import Effort
from benchmarks.machine import Cores, choose_cores, facts, pinning, versions
from benchmarks.parts import begin, tell
from benchmarks.report import Report, Section, as_json, as_markdown, as_text
from benchmarks.server import Server, ServerStartError, serving


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    default = Effort()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--full", action="store_true", help="add the uvloop and orjson variants")
    what.add_argument("--smoke", action="store_true", help="brief, at 64 only; what CI runs")
    what.add_argument(
        "--note-reference", action="store_true", help="update the reference of --smoke"
    )
    what.add_argument("--all", action="store_true", help="this in full and every other benchmark")
    what.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}"
    )
    parser.add_argument("--concurrency", nargs="+", type=_whole, default=[1, 16, 64, 256])
    parser.add_argument(
        "--links",
        nargs="+",
        choices=[link.name for link in LINKS],
        help="default: plain; with --full and --all: every one",
    )
    parser.add_argument("--rounds", type=_whole, default=default.rounds)
    parser.add_argument(
        "--seconds", type=_positive, default=default.seconds, help="seconds for each cell"
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of the shuffling")
    parser.add_argument(
        "--brief", action="store_true", help="with --all: only check that everything runs"
    )
    parser.add_argument("--server", choices=("auto", "nginx", "raw"), default="auto")
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write everything to this file"
    )
    parser.add_argument(
        "--plots", type=Path, metavar="FOLDER", help="draw PNG and SVG in this folder"
    )
    options = parser.parse_args(arguments)
    if options.brief and not options.all:
        parser.error("--brief goes with --all")
    return options


def chosen(options: argparse.Namespace) -> tuple[comparison.Scope, list[str]]:
    """Return the comparison to run, and notes on contenders that cannot run."""
    names = [one.name for one in CONTENDERS]
    if options.full or options.all:
        names = list(NAMES)
    elif options.only:
        names = [BASELINE, *(name for name in options.only if name != BASELINE)]
    contenders, notes = comparison.present(names)
    every = [link.name for link in LINKS] if options.full or options.all else [PLAIN.name]
    links = [link for link in LINKS if link.name in (options.links or every)]
    if any(link.tls for link in links) and not authority.available():
        notes.append("TLS left out: the openssl command is missing")
        links = [link for link in links if not link.tls]
    return comparison.Scope(
        contenders=contenders, concurrencies=options.concurrency, links=links
    ), notes


def compared(options: argparse.Namespace, cores: Cores | None) -> Section:
    """Run the comparison that the options select."""
    scope, notes = chosen(options)
    effort = Effort(rounds=options.rounds, seconds=options.seconds, seed=options.seed)
    if options.brief:
        effort = attrs.evolve(effort, rounds=1, seconds=min(0.2, options.seconds))
    with contextlib.ExitStack() as stack:
        servers = {
            link.name: stack.enter_context(_serving(options, cores, link)) for link in scope.links
        }
        cells, failures = comparison.compare(scope, effort, servers=servers, cores=cores)
    return comparison.section(cells, effort=effort, servers=servers, notes=notes, failures=failures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the options select, print it, and return the exit code."""
    options = parse(arguments)
    cores = choose_cores()
    started, machine = datetime.now(UTC).isoformat(timespec="seconds"), facts()
    try:
        if options.note_reference:
            return _note(options, cores, {"date": started, "machine": machine})
        if options.smoke:
            with _serving(options, cores, PLAIN) as server:
                found, good = smoke.smoke(server, cores)
            sections = [found]
        else:
            sections = [compared(options, cores)]
            good = not sections[0].failures
    except ServerStartError as error:
        tell(f"the server did not start: {error}")
        return 1
    report = Report(
        started=started,
        machine=machine,
        versions=versions(),
        pinning=pinning(cores),
        sections=tuple(sections),
    )
    _write(report, options.json)
    if options.all:
        for section in everything.others(cores, server=options.server, brief=options.brief):
            report = attrs.evolve(report, sections=(*report.sections, section))
            # After each, because all of them together take long.
            _write(report, options.json)
        good = all(section.good for section in report.sections)
    if options.plots:
        everything.draw(report, options.plots)
    print(as_markdown(report) if options.markdown else as_text(report))
    return 0 if good else 1


def _write(report: Report, file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(as_json(report), indent=1) + "\n", "utf-8")


def _note(options: argparse.Namespace, cores: Cores | None, told: dict[str, object]) -> int:
    with contextlib.ExitStack() as stack:
        kinds = ("nginx", "raw") if options.server == "auto" else (options.server,)
        servers = [
            stack.enter_context(serving(kind, core=cores.server if cores else None))
            for kind in kinds
        ]
        noted = smoke.note(servers, cores, facts=told)
    smoke.REFERENCE.write_text(json.dumps(noted, indent=2) + "\n", "utf-8")
    tell(f"written: {smoke.REFERENCE}")
    return 0


def _serving(
    options: argparse.Namespace, cores: Cores | None, link: Link
) -> contextlib.AbstractContextManager[Server]:
    return serving(options.server, core=cores.server if cores else None, link=link)


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


if __name__ == "__main__":
    begin(main)
