"""Changes a module in many small ways, one at a time, and lists the changes that no test detects.

python -m tests.faults.mutants [--module enapter_async._http.retry] [--only TEXT] [--list]

Each mutant replaces its module in a child process, which runs the tests that the table in
`mutated.py` names for it. Survivors that mean the same as the module are listed in
`equivalents.txt` with the reason. Exit code 1: another one survived, or a line of that list matches
no survivor any more.
"""

import argparse
import ast
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from tests.faults.forked import State, Trial, verdicts
from tests.faults.mutated import file_of, judged_modules
from tests.faults.mutating import mutants_of
from tests.faults.sabotage import IMPORTED_FIRST, say

EQUIVALENTS: Final = Path(__file__).with_name("equivalents.txt")
LEAST_SECONDS: Final = 30.0
MOST_TIMES: Final = 5
"""The time limit of a mutant's tests: a multiple of the module's own time, and a minimum in
seconds. A mutant that exceeds it hangs, and counts as killed."""


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module code that differs from its file."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name = name
        self._code = code

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        file = file_of(fullname)
        inside = [str(file.parent)] if file.stem == "__init__" else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=self, submodule_search_locations=inside
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))  # noqa: S102 - the package's own source with one change


def take_place(module: str, tree: ast.Module) -> None:
    """Replace a module's code for everything that imports it from now on."""
    for name in importers(module):
        del sys.modules[name]
    sys.meta_path.insert(0, _Instead(module, compile(tree, str(file_of(module)), "exec")))
    # Only now, because pytest's own finder would come first.
    importlib.import_module(module)


@functools.cache
def importers(module: str) -> frozenset[str]:
    """Return a module and all imported modules of the package that depend on it."""
    ours = [name for name in sys.modules if name.startswith(("enapter_async", "tests."))]
    imports = {name: _imports_of(name) for name in ours}
    found = {module}
    while more := {name for name in ours if name not in found and imports[name] & found}:
        found |= more
    return frozenset(found & sys.modules.keys())


def _imports_of(name: str) -> set[str]:
    path = getattr(sys.modules[name], "__file__", None)
    found = set()
    for node in ast.walk(ast.parse(Path(path).read_text("utf-8"))) if path else ():
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def equivalents(module: str) -> dict[tuple[str, str], str]:
    """Read the known survivors of a module: the reason for each change and line."""
    found = {}
    for line in EQUIVALENTS.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, change, text, reason = line.split(" | ")
            if name == module:
                found[change, text] = reason
    return found


def judge(module: str, *, jobs: int, only: str) -> bool:
    """Try a module, print the result, and return whether every survivor is explained.

    Lines without the text `only` are left unchanged.
    """
    began = time.monotonic()
    source = file_of(module).read_text("utf-8")
    tests = judged_modules()[module]
    importers(module)  # once, before the children are forked
    unchanged = partial(take_place, module, ast.parse(source))
    whole = Trial(name="unchanged", tests=tests, prepare=unchanged, timeout=60)
    most = LEAST_SECONDS
    for verdict in verdicts([whole], jobs=1, seconds=600):
        most = max(most, MOST_TIMES * verdict.seconds)
        if verdict.state != "survived":
            say(f"{module}: its tests do not pass unchanged\n{verdict.told}")
            return False
    known = {each: reason for each, reason in equivalents(module).items() if only in each[1]}
    met: set[tuple[str, str]] = set()
    mutants = [mutant for mutant in mutants_of(source) if only in mutant.text]
    left = unexplained = 0
    unlike: Counter[State] = Counter()
    trials = (
        Trial(name=str(number), tests=tests, prepare=partial(take_place, module, mutant.tree))
        for number, mutant in enumerate(mutants)
    )
    for verdict in verdicts(trials, jobs=jobs, seconds=most):
        mutant = mutants[int(verdict.name)]
        if verdict.state in ("broke down", "no end"):
            # The caller would notice it; it is printed to show that the mutant is to blame.
            unlike[verdict.state] += 1
            lines = verdict.told.strip().splitlines() or [""]
            why = [line for line in lines if line.startswith("E  ")] or lines
            say(f"{verdict.state.upper()} {module}:{mutant}\n    {why[-1]}")
        elif verdict.state == "survived":
            met.add((mutant.change, mutant.text))
            left += 1
            if (mutant.change, mutant.text) not in known:
                unexplained += 1
                say(f"SURVIVED {module}:{mutant}")
    stale = sorted(known.keys() - met)
    for change, text in stale:
        say(f"NO SURVIVOR ANY MORE {module} | {change} | {text}")
    seconds = time.monotonic() - began
    say(
        f"{module}: {len(mutants)} mutants, {len(mutants) - left} killed "
        f"({unlike['broke down']} broke down, {unlike['no end']} without end), "
        f"{left - unexplained} equivalent, {unexplained} unexplained, in {seconds:.0f} s"
    )
    return not unexplained and not stale


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants", description=__doc__)
    parser.add_argument(
        "--module", choices=judged_modules(), action="append", help="only this module"
    )
    parser.add_argument("--only", default="", help="change only lines that contain this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes")
    parser.add_argument("--list", action="store_true", help="list the mutants, and try none")
    asked = parser.parse_args()
    modules: list[str] = asked.module or list(judged_modules())
    if asked.list:
        for module in modules:
            for mutant in mutants_of(file_of(module).read_text("utf-8")):
                if asked.only in mutant.text:
                    say(f"{module}:{mutant}")
        return 0
    for name in IMPORTED_FIRST:
        importlib.import_module(name)
    explained = [judge(module, jobs=asked.jobs, only=asked.only) for module in modules]
    return 0 if all(explained) else 1


if __name__ == "__main__":
    sys.exit(main())
