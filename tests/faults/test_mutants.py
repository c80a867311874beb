"""The generator of mutants: the mutants of a line, and the replacement of modules."""

import ast
from functools import partial

import pytest

from enapter_async import fleet
from tests.faults.forked import ROOT, Trial, verdicts
from tests.faults.mutants import importers, take_place
from tests.faults.mutated import file_of, judged_modules, judges_of
from tests.faults.mutating import mutants_of


@pytest.fixture(autouse=True)
def json_library() -> None:
    """Run these tests once: they read no JSON."""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a <= b", "a >= b", "pass"]),
        ("x = a == b", ["x = a != b"]),
        ("x = a is not None", ["x = a is None"]),
        ("x = a and b", ["x = a or b"]),
        ("x = not a", ["x = a"]),
        ("x = a + 1", ["x = a - 1", "x = a + 2", "x = a + 0"]),
        ("x = 0", ["x = 1"]),
        ("x = 1.5", ["x = 3.0", "x = 0.75"]),
        ("x = True", ["x = False"]),
        ("x = min(a, b)", ["x = max(a, b)"]),
        ("x += y", ["x -= y", "pass"]),
        ("x.y = z", ["pass"]),
        ("x = 'text'", []),
        ("def f(x: 'int | None' = None) -> bool:\n    'Says.'", []),
        ("if a:\n    b = c", ["if not a:\n    b = c"]),
        ("x = b if a else c", ["x = b if not a else c"]),
        ("raise a", ["pass"]),
    ],
)
def test_the_mutants_of_a_line(source: str, expected: list[str]) -> None:
    assert sorted(ast.unparse(each.tree) for each in mutants_of(source)) == sorted(expected)


def test_a_mutant_knows_its_line() -> None:
    first, *_ = mutants_of("x = y\n\nif a:\n    x = not b")
    assert str(first) == "3: the condition is turned round: if a:"


def test_the_same_change_of_a_line_is_counted() -> None:
    changes = [each.change for each in mutants_of("x = a < b < c")]
    assert changes == [
        "< becomes <=",
        "< becomes >=",
        "< becomes <= (2)",
        "< becomes >= (2)",
    ]


def test_the_dependents_of_a_module_are_found() -> None:
    assert fleet.apply is not None
    found = importers("enapter_async.fleet.stop")
    assert {"enapter_async.fleet.stop", "enapter_async.fleet.run"} <= found
    assert "enapter_async.fleet.rollout.abort" not in found
    assert "enapter_async.operations.devices" not in found


def test_a_mutant_that_matters_is_killed_and_one_that_does_not_survives() -> None:
    module = "enapter_async.fleet.stop"
    whole = file_of(module).read_text("utf-8")
    trials = [
        Trial(
            name=name,
            tests=["tests/fleet/test_stop.py"],
            prepare=partial(take_place, module, ast.parse(source)),
        )
        for name, source in {
            "killed": whole.replace("if self.error is None:", "if True:"),
            "survived": whole.replace("The first reason stands", ""),
        }.items()
    ]
    states = {verdict.name: verdict.state for verdict in verdicts(trials, jobs=2, seconds=30)}
    assert states == {"killed": "caught", "survived": "survived"}


def test_each_module_has_existing_tests() -> None:
    chosen = judged_modules()
    assert {"enapter_async", "enapter_async._http.wire", "enapter_async.cli.app"} <= chosen.keys()
    assert (
        judges_of("enapter_async.fleet.journal.sqlite.writer")[0]
        == "tests/fleet/test_journal_writer.py"
    )
    assert all(file_of(module).is_file() for module in chosen)
    named = {each for tests in chosen.values() for each in tests if each.startswith("tests/")}
    assert all((ROOT / each).is_file() for each in named)
