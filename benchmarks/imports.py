"""The cost of `import enapter_async` for a program, compared with its dependencies alone.

    python -m benchmarks.imports

Each statement is run in fresh interpreters, in turn. The package imports its parts lazily, so the
names that a program uses are accessed; byte code exists for all.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Verdict, spread
from benchmarks.machine import Cores, children_on, choose_cores
from benchmarks.parts import begin, command_line, finish
from benchmarks.report import Section, Table, shown
from benchmarks.server import ROOT

ROUNDS: Final = 15
MOST: Final = 1.15
BASE: Final = "aiohttp, attrs, cattrs, tenacity"
OURS: Final = "enapter_async.Client"
STATEMENTS: Final = {
    BASE: "import aiohttp, attrs, cattrs, tenacity",
    OURS: "import enapter_async; enapter_async.Client",
    "enapter_async.Client, .UpdateDevice, .fleet.apply": (
        "import enapter_async; "
        "enapter_async.Client, enapter_async.UpdateDevice, enapter_async.fleet.apply"
    ),
    "enapter_async, no name accessed": "import enapter_async",
    "aiohttp": "import aiohttp",
    "official: enapter.http.api": "import enapter.http.api",
    "httpx": "import httpx",
}
_IN_THE_WAY: Final = ("PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE", "PYTHONPROFILEIMPORTTIME")
_PROGRAM: Final = """\
import sys, time
before, cpu, wall = len(sys.modules), time.process_time(), time.perf_counter()
{statement}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(wall * 1e3, cpu * 1e3, len(sys.modules) - before)
"""


def environment(folder: Path) -> dict[str, str]:
    """Return an environment that keeps byte code in that folder, for all statements alike."""
    wanted = {name: value for name, value in os.environ.items() if name not in _IN_THE_WAY}
    return {**wanted, "PYTHONPYCACHEPREFIX": str(folder)}


def measure_one(
    statement: str, cores: Cores | None, environ: Mapping[str, str]
) -> tuple[float, float, int] | None:
    """Return milliseconds of time and of CPU, and the number of new modules; None if it failed."""
    with children_on(cores.client if cores else None):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(statement=statement)],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    if done.returncode != 0:
        return None
    wall, cpu, modules = done.stdout.split()
    return float(wall), float(cpu), int(modules)


def section(found: Mapping[str, Sequence[tuple[float, float, int]]]) -> Section:
    """Summarize the interpreters of each statement, without the first."""
    rows = []
    for name, each in found.items():
        wall, cpu = spread(one[0] for one in each), spread(one[1] for one in each)
        if wall is not None and cpu is not None:
            rows.append((name, shown(wall), shown(cpu), str(each[0][2])))
    pairs = zip(found.get(OURS, ()), found.get(BASE, ()), strict=False)
    data: dict[str, Any] = {name: list(each) for name, each in found.items()}
    return Section(
        name="imports",
        title="Importing",
        lead=("Milliseconds in fresh interpreters, in turn; byte code exists for all."),
        tables=(
            Table(
                headings=("import", "ms (min-max)", "CPU ms (min-max)", "new modules"),
                rows=tuple(rows),
            ),
        ),
        verdicts=(
            Verdict(
                # By CPU time, because wall time includes the disk and the machine's other load.
                what=f"{OURS} / {BASE}, CPU time",
                found=spread(ours[1] / base[1] for ours, base in pairs),
                bound=MOST,
                at_most=True,
            ),
        ),
        notes=tuple(
            f"{name} left out: it cannot be imported" for name in STATEMENTS if name not in found
        ),
        data=data,
    )


def run(cores: Cores | None, *, rounds: int = ROUNDS) -> Section:
    """Measure and summarize."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    chance = random.Random(1)  # noqa: S311 - an order, not a secret
    with tempfile.TemporaryDirectory(prefix="enapter-benchmarks-") as folder:
        environ = environment(Path(folder))
        for name, statement in STATEMENTS.items():
            # The first run of each compiles byte code, and shows which packages are not installed.
            if measure_one(statement, cores, environ) is not None:
                found[name] = []
        for _ in range(rounds):
            for name in chance.sample(list(found), len(found)):
                each = measure_one(STATEMENTS[name], cores, environ)
                if each is not None:
                    found[name].append(each)
    return section(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("imports", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    return finish(run(choose_cores(), rounds=options.rounds), options)


if __name__ == "__main__":
    begin(main)
