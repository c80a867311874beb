"""Writes a run's figures between the marks of the two READMEs, and its plots into docs/images/.

    python -m benchmarks --all --json run.json
    python -m benchmarks.publish run.json

The text between `<!-- benchmarks: NAME -->` and `<!-- /benchmarks: NAME -->` is replaced: `summary`
in README.md, `figures` in benchmarks/README.md. Nothing else is touched. Exit code 0: written. 1: a
mark is missing, or the run is from another version.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import plots
from benchmarks.catalog import BASELINE, PLAIN
from benchmarks.figures import Cell, Spread, cpu_ratio, of, wall_ratio
from benchmarks.report import PLOTS, Report, as_markdown, from_json, verdict_rows
from benchmarks.server import ROOT

COMMAND: Final = "python -m benchmarks --all --json run.json"
LEAST_ROUNDS: Final = 3
"""With fewer rounds, the spread is too uncertain to be shown."""
TARGETED: Final = ("comparison", "decode", "imports")
"""The sections whose targets README.md shows."""
SUMMARY: Final = {
    "sdk": "this SDK",
    "sdk+orjson": "with orjson",
    "sdk+orjson+uvloop": "with orjson and uvloop",
    "sdk-fleet": "by `fleet.apply`",
    "sdk-fleet-journal": "with a journal",
    "sdk-session": "over a session of yours",
    "official": "official SDK",
    "httpx": "httpx",
}
"""The columns of README.md's table."""


def replaced(text: str, name: str, inside: str) -> str:
    """Return a string with everything between two marks replaced.

    Raises: ValueError: The marks do not occur exactly once.
    """
    begin, end = f"<!-- benchmarks: {name} -->", f"<!-- /benchmarks: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{begin} … {end} does not occur exactly once")
    # A function, so that nothing in the text is interpreted as a reference to a group.
    return pattern.sub(lambda _: f"{begin}\n{inside.strip()}\n{end}", text)


def summary(report: Report) -> str:
    """Return the generated part of README.md: the ratios, the plot, the targets."""
    comparison = report.section("comparison")
    if comparison is None:
        raise ValueError("the run has no comparison")
    if comparison.data["effort"]["rounds"] < LEAST_ROUNDS:
        raise ValueError(f"the run has fewer than {LEAST_ROUNDS} rounds")
    cells = [Cell(**each) for each in comparison.data["cells"]]
    names = [name for name in SUMMARY if any(cell.contender == name for cell in cells)]
    rounds = comparison.data["effort"]["rounds"]
    server = comparison.data["servers"].get(PLAIN.name, "a server")
    lead = (
        "CPU time per operation in units of bare aiohttp's on the default loop in the same round "
        "(less is better); after the\nslash, requests per second in the same units (more is "
        f"better; wall time varies on shared machines). Medians of {rounds} rounds,\nall safety "
        f"on; one core for the client, one for {server}; {report.machine['python']}, "
        f"{report.started[:10]}, `{COMMAND}`:"
    )
    concurrencies = sorted({cell.concurrency for cell in cells if cell.link == PLAIN.name})
    lines = [
        lead,
        "",
        f"| at once | {' | '.join(SUMMARY[name] for name in names)} | aiohttp |",
        f"|---|{'---|' * (len(names) + 1)}",
        *(f"| {at} | {' | '.join(_row(cells, names, at))} |" for at in concurrencies),
    ]
    lines += ["", f"![{PLOTS['comparison'][1]}](docs/images/{PLOTS['comparison'][0]})", ""]
    found = [section for name in TARGETED if (section := report.section(name)) is not None]
    verdicts = [verdict for section in found for verdict in section.verdicts]
    return "\n".join([*lines, *verdict_rows(verdicts)])


def figures(report: Report) -> str:
    """Return the generated part of benchmarks/README.md: the whole report."""
    told = as_markdown(report, level=3, figures=Path("../docs/images"))
    return f"Made by `{COMMAND}` and `python -m benchmarks.publish run.json`.\n\n{told}"


def _row(cells: Sequence[Cell], names: Sequence[str], at: int) -> list[str]:
    own = of(cells, BASELINE, at)
    ratios = [
        f"{_short(cpu_ratio(cells, name, against=BASELINE, concurrency=at))} / "
        f"{_short(wall_ratio(cells, name, against=BASELINE, concurrency=at))}"
        for name in names
    ]
    if not own:
        return [*ratios, ""]
    cpu = statistics.median(cell.cpu_us_per_request for cell in own)
    rate = statistics.median(cell.requests_per_second for cell in own)
    return [*ratios, f"{cpu:,.0f} µs / {rate:,.0f} a second"]


def _short(found: Spread | None) -> str:
    return "" if found is None else f"{found.median:.{3 if found.median < 0.1 else 2}f}"


def publish(report: Report, root: Path) -> list[Path]:
    """Write both READMEs of a checkout, and its plots; return the files written."""
    texts = {
        root / "README.md": ("summary", summary(report)),
        root / "benchmarks" / "README.md": ("figures", figures(report)),
    }
    # Everything is created before anything is written, so that a missing mark leaves no partial
    # result.
    made = {
        path: replaced(path.read_text("utf-8"), name, inside)
        for path, (name, inside) in texts.items()
    }
    for path, text in made.items():
        path.write_text(text, "utf-8")
    return [*made, *plots.draw(report, root / "docs" / "images")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish a run, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.publish",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="what `--json` wrote")
    options = parser.parse_args(arguments)
    if not plots.available():
        print("matplotlib is not installed, and the READMEs show plots", file=sys.stderr)
        return 1
    try:
        report = from_json(json.loads(options.run.read_text("utf-8")))
        written = publish(report, ROOT)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(str(path) for path in written))
    for section in report.sections:
        for failure in section.failures:
            print(f"it has a failure: {section.name}: {failure}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
