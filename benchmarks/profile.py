"""Where a call spends its microseconds, by module and by function, according to py-spy.

    python -m benchmarks.profile                        # this SDK, ten seconds
    python -m benchmarks.profile sdk-fleet --seconds 20

Each sample counts for the innermost Python function, including the C code that it called: a
socket's `send` counts for the transport's `write`. Exit code 0: measured. 1: not.
"""

import collections
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.catalog import NAMES
from benchmarks.grid import Effort, worker_command
from benchmarks.machine import Cores, children_on, choose_cores
from benchmarks.parts import begin, command_line, finish
from benchmarks.report import Section, Table
from benchmarks.server import ROOT, Server, serving

SAMPLES_A_SECOND: Final = 400
FUNCTIONS: Final = 30
_FRAME: Final = re.compile(r"(?P<function>.+) \((?P<file>[^)]*?)(:\d+)?\)$")
_PACKAGED: Final = re.compile(r".*/(site-packages|lib/python[\d.]+)/")


@attrs.frozen(kw_only=True)
class Sampled:
    """How many samples fell on each (module, function), and the total cost of a call."""

    samples: dict[tuple[str, str], int]
    cpu_us: float

    @property
    def total(self) -> int:
        """The total number of samples."""
        return sum(self.samples.values())

    def cost(self, samples: int) -> float:
        """Return the microseconds per call that this many samples represent."""
        return self.cpu_us * samples / max(1, self.total)


def place(frame: str) -> tuple[str, str]:
    """Return module and function of a frame as py-spy writes it."""
    found = _FRAME.match(frame)
    if found is None:
        return frame, ""
    path = _PACKAGED.sub("", found["file"]).removeprefix(f"{ROOT}/")
    return path or "?", found["function"]


def sum_up(lines: Iterable[str], within: str) -> dict[tuple[str, str], int]:
    """Count the samples of py-spy's raw output that are inside a file, by their last frame.

    A line has the frames from the outermost on, with ";" between them, and a number.
    """
    counted: collections.Counter[tuple[str, str]] = collections.Counter()
    for line in lines:
        stack, _, number = line.strip().rpartition(" ")
        frames = stack.split(";")
        if any(f"({within}" in frame for frame in frames):
            counted[place(frames[-1])] += int(number)
    return dict(counted)


def measure(name: str, seconds: float, server: Server, cores: Cores | None) -> Sampled:
    """Run one cell of a contender under py-spy."""
    command = worker_command(NAMES[name], 64, Effort(seconds=seconds, limit=10**9), server)
    with tempfile.TemporaryDirectory(prefix="enapter-benchmarks-") as folder:
        written = Path(folder) / "samples"
        with children_on(cores.client if cores else None):
            done = subprocess.run(
                [
                    *("py-spy", "record", "--format", "raw", "--output", str(written)),
                    *("--rate", str(SAMPLES_A_SECOND), "--", *command),
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                timeout=seconds + 60,
            )
        # Below the runner, and so without the time of importing.
        samples = sum_up(written.read_text("utf-8").splitlines(), "asyncio/runners.py")
    figures = next(line for line in done.stdout.splitlines() if line.startswith("{"))
    return Sampled(samples=samples, cpu_us=json.loads(figures)["cpu_us_per_request"])


def section(name: str, sampled: Sampled) -> Section:
    """Summarize by module, and return the most expensive functions."""
    modules: collections.Counter[str] = collections.Counter()
    for (module, _), samples in sampled.samples.items():
        modules[module] += samples
    dearest = sorted(sampled.samples.items(), key=lambda each: -each[1])[:FUNCTIONS]
    return Section(
        name="profile",
        title=f"Where the microseconds of {name} go",
        lead=(
            f"{sampled.cpu_us:.1f} µs of CPU time per call at concurrency 64, under py-spy; "
            f"{sampled.total:,} samples, each counted for its innermost Python function."
        ),
        tables=(
            Table(
                headings=("module", "µs per call", "share"),
                rows=tuple(
                    (module, f"{sampled.cost(count):.1f}", f"{count / sampled.total:.1%}")
                    for module, count in modules.most_common()
                    if count >= sampled.total / 100
                ),
            ),
            Table(
                headings=("function", "µs per call"),
                rows=tuple(
                    (f"{module}: {function}", f"{sampled.cost(count):.1f}")
                    for (module, function), count in dearest
                ),
            ),
        ),
        data={"samples": [[*where, count] for where, count in sampled.samples.items()]},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("profile", __doc__)
    parser.add_argument("contender", nargs="?", default="sdk", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--server", choices=("auto", "nginx", "raw"), default="auto")
    options = parser.parse_args(arguments)
    if options.contender not in NAMES or not NAMES[options.contender].driver:
        parser.error(f"no contender with a driver is named {options.contender}")
    cores = choose_cores()
    try:
        with serving(options.server, core=cores.server if cores else None) as server:
            sampled = measure(options.contender, options.seconds, server, cores)
    except FileNotFoundError:
        print("py-spy is not installed", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"py-spy failed: {error.stderr[-500:]}", file=sys.stderr)
        return 1
    return finish(section(options.contender, sampled), options)


if __name__ == "__main__":
    begin(main)
