"""The rules of the code: imports between files, public names, and the length of files."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest

import enapter_async
from enapter_async import fleet
from enapter_async._door import HOMES
from enapter_async.errors import EnapterError
from enapter_async.fleet import errors as fleet_errors

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "enapter_async"

FLOORS = (
    ("_door", "environment", "payload"),
    ("operation", "clock", "concealment", "text", "_version"),
    ("errors", "routes", "streaming"),
    ("folders", "hooks"),
    ("logs",),
    ("models",),
    ("operations",),
    ("converter", "limits"),
    ("_http",),
    ("api",),
    ("client",),
    ("fleet",),
    ("profiles",),
    ("diagnosis",),
    ("cli", "integrations", "emulator.plugin"),
)
"""From the lowest layer up; a file imports only from lower layers and from its own package."""

FLOORS_OF_FLEET = (
    ("circuit_breaker", "errors", "private_files", "progress", "row_numbers", "scratch"),
    ("reading", "waits"),
    ("credentials", "obstacles", "patience", "spreadsheets"),
    ("admission", "operation_files"),
    ("desired_files", "outcomes"),
    ("outcome_stream",),
    ("inputs", "pace_notes", "stop"),
    ("journal", "ordering"),
    ("execution", "planning", "reporting"),
    ("accepted",),
    ("producer", "rollout", "workers"),
    ("options",),
    ("run_files",),
    ("run",),
    ("apply_and_resume",),
    ("distributed",),
)
"""The same within `fleet`, for its files and its packages."""

APART = "emulator"
"""Stands apart from the layers: an independent witness that imports nothing of the package."""

LAZY = {
    "emulator.plugin": "so that a user's pytest does not import aiohttp for nothing",
    "cli": "its rooms need click, which is optional",
}
"""Files that may import inside a function something other than an optional dependency, and why."""

OPTIONAL = (
    "click",
    "orjson",
    "pgqueuer",
    "psycopg",
    "pytest_asyncio",
    "rich",
    "temporalio",
    "uvloop",
)


@functools.cache
def modules() -> list[tuple[str, ast.Module]]:
    """Return all modules but the outermost."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name not in ("__init__", "__main__"):
            found.append((name.removesuffix(".__init__"), ast.parse(path.read_text("utf-8"))))
    return found


@functools.cache
def imports(tree: ast.Module) -> tuple[tuple[str, bool], ...]:
    """Return each imported module's name, and whether the import is inside a function."""
    return tuple(imported(tree))


def imported(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            rooms = [f"{module}.{alias.name}" for alias in node.names]
            for room in rooms:
                yield room if is_module(room) else module, id(node) in inside


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return name.startswith("enapter_async.") and (
        path.is_dir() or path.with_suffix(".py").is_file()
    )


def floor_of(name: str, floors: tuple[tuple[str, ...], ...] = FLOORS) -> int:
    for number, rooms in enumerate(floors):
        if any(name == room or name.startswith(room + ".") for room in rooms):
            return number
    raise AssertionError(f"{name} is in no layer; add it to FLOORS")


def inner(name: str) -> str | None:
    if name == "enapter_async" or not name.startswith("enapter_async."):
        return None
    return name.removeprefix("enapter_async.")


GENERAL = ("_http", "fleet", "limits")
"""Files that handle operations in general, and no noun."""
NO_NOUN = (
    "api.executor",
    "api.accepted",
    "api.paging",
    "api.streams",
    "models.enumerations",
    "operations.arguments",
    "operations.kinds",
    "operations.nouns",
    "operations.pages",
)
"""Files among the nouns that concern all of them."""
SHOWN = {("fleet", "operations.device_plans"), ("fleet", "operations.device_selection")}
"""`fleet` exports the selection of devices, which belongs to the layer of the nouns."""


def test_imports_go_only_downwards() -> None:
    for name, tree in modules():
        check_imports_of(name, tree)


def check_imports_of(name: str, tree: ast.Module) -> None:
    for target, _ in imports(tree):
        assert target != "enapter_async", f"{name} imports the package's public names"
        below = inner(target)
        if below is None:
            continue
        room = name.split(".", maxsplit=1)[0]
        same_room = below.split(".")[0] == room
        if room == APART and name != "emulator.plugin":
            assert same_room, f"{name} imports {below}, and then is not an independent witness"
        elif below.split(".")[0] == APART:
            assert room in ("cli", "integrations") or name == "emulator.plugin"
        elif not same_room:
            assert floor_of(below) < floor_of(name), f"{name} imports {below} above it"


def test_general_files_import_no_noun() -> None:
    found = {
        (name, room)
        for name, tree in modules()
        for module, _ in imports(tree)
        if name.split(".")[0] in GENERAL
        and (room := inner(module) or "").startswith(("api.", "models.", "operations."))
        and room not in NO_NOUN
    }
    assert found == SHOWN


def siblings(package: str) -> dict[str, set[str]]:
    """Return the siblings that each file and package directly in a package imports."""
    edges: dict[str, set[str]] = {}
    for name, tree in modules():
        if not name.startswith(package):
            continue
        unit = name.removeprefix(package).split(".")[0]
        below = {inner(target) or "" for target, inside in imports(tree) if not inside}
        units = {
            each.removeprefix(package).split(".")[0] for each in below if each.startswith(package)
        }
        edges.setdefault(unit, set()).update(units - {unit, ""})
    return edges


def test_no_import_runs_in_a_circle() -> None:
    within = [name for name, _ in modules() if (PACKAGE / name.replace(".", "/")).is_dir()]
    for package in ("", *(f"{name}." for name in within)):
        edges = siblings(package)
        for name in edges:
            visit(edges, name, (package,))


def visit(edges: dict[str, set[str]], name: str, path: tuple[str, ...]) -> None:
    assert name not in path, " -> ".join((*path, name))
    for target in edges.get(name, ()):
        visit(edges, target, (*path, name))


def test_within_fleet_imports_go_only_downwards() -> None:
    for unit, targets in siblings("fleet.").items():
        for target in targets:
            above = floor_of(target, FLOORS_OF_FLEET) >= floor_of(unit, FLOORS_OF_FLEET)
            assert not above, f"fleet.{unit} imports fleet.{target} above it"


def test_no_import_is_inside_a_function() -> None:
    found = [
        f"{name} imports {target} inside a function"
        for name, tree in modules()
        if name not in LAZY
        for target, inside in imports(tree)
        if inside and target.split(".")[0] not in OPTIONAL
    ]
    assert found == []


def shown_at_the_door(door: str) -> dict[str, str]:
    """Return the names that type checkers see in a package, each with its module."""
    tree = ast.parse((PACKAGE / door / "__init__.py").read_text("utf-8"))
    seen = next(each for each in tree.body if isinstance(each, ast.If))
    return {
        alias.asname or alias.name: node.module or ""
        for node in seen.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize(
    ("door", "homes"), [("", HOMES), ("fleet", fleet._HOMES)], ids=["enapter_async", "fleet"]
)
def test_the_public_names_are_complete(door: str, homes: Mapping[str, str]) -> None:
    package = import_module(f"enapter_async.{door}".rstrip("."))
    found = {
        name: f"enapter_async.{home}".rstrip(".") for home in homes for name in homes[home].split()
    }
    assert shown_at_the_door(door) == found
    assert package.__all__ == sorted(found.keys() - {"ResultDiffersError"} if door else found)
    for name in found:
        assert getattr(package, name) is not None


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Clyent"):
        _ = enapter_async.Clyent  # type: ignore[attr-defined]  # the mistake is the point


def words_of(program: str) -> set[str]:
    """Run a program in its own interpreter; return the words that it prints."""
    run = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


def loaded_by(code: str) -> set[str]:
    return words_of(f"{code}\nimport sys\nprint(*sys.modules)")


def test_the_package_imports_no_command_line_and_no_emulator() -> None:
    loaded = loaded_by("from enapter_async import *")
    assert "enapter_async.client" in loaded
    apart = {"enapter_async.cli", "enapter_async.emulator"}
    assert not (apart | {"click", "opentelemetry", "rich", "uvloop"}) & loaded


@pytest.mark.parametrize("door", ["enapter_async", "enapter_async.fleet", "enapter_async.emulator"])
def test_each_public_name_is_completed_at_a_prompt(door: str) -> None:
    offered = words_of(
        f"import rlcompleter, {door} as door\n"
        "complete = rlcompleter.Completer({'door': door}).complete\n"
        "found = {complete('door.', number) for number in range(500)} - {None}\n"
        "print(*(each.removeprefix('door.').rstrip('()') for each in found))"
    )
    # Names with an underscore are suggested only once the underscore is typed.
    assert set(import_module(door).__all__) - {"__version__"} <= offered


def test_the_pytest_plugin_costs_no_import_of_aiohttp() -> None:
    assert "aiohttp" not in loaded_by("import enapter_async.emulator.plugin")


def test_no_file_is_past_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("enapter_async", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}


def test_the_map_has_each_file_once_and_no_other() -> None:
    page = (ROOT / "docs" / "explanation" / "map.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w/]+\.py)` \| \S.{8,} \|$", page, re.MULTILINE)
    files = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        # An `__init__.py` with only a docstring decides nothing.
        if path.name != "__init__.py" or len(path.read_text("utf-8").splitlines()) > 1
    ]
    assert sorted(rows) == sorted(files), "docs/explanation/map.md says what each file decides"


def test_no_file_is_miscellaneous() -> None:
    boxes = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [path for path in PACKAGE.rglob("*.py") if path.name in boxes] == []


def test_every_ignore_says_why() -> None:
    bare = re.compile(
        r"# (noqa|type: ignore)(?!: ?[A-Z]|\[[a-z-]+\])"
        r"|# noqa: [A-Z0-9, ]+$|# type: ignore\[[a-z-]+\]$"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("enapter_async", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if path != Path(__file__) and bare.search(line)
    ]
    assert found == []


def test_the_documented_tree_of_fleet_errors_is_true() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (fleet_errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            indent, name = found.groups()
            path[len(indent) // 4 :] = [name]
            drawn[name] = path[-2] if len(path) > 1 else ""
    classes = {
        name: each
        for name, each in vars(fleet_errors).items()
        if isinstance(each, type) and issubclass(each, EnapterError)
    }
    own = {name for name, each in classes.items() if each.__module__ == fleet_errors.__name__}
    assert own <= drawn.keys()
    for name, parent in drawn.items():
        assert not parent or classes[name].__base__ is classes[parent]
