"""Each capability names a test that exists and that no marker deselects."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
ROWS = re.findall(
    r"^\| (.+?) \| `tests/([\w/]+\.py)(?:::(\w+))?` \|$",
    (TESTS / "features.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_each_capability_has_its_test() -> None:
    missing = []
    for capability, name, function in ROWS:
        tree = ast.parse((TESTS / name).read_text("utf-8"))
        found = {
            each.name: " ".join(map(ast.unparse, each.decorator_list))
            for each in ast.walk(tree)
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            and each.name.startswith("test_")
        }
        wanted = {function} if function else set(found)
        skipped = [each for each in wanted if "skip" in found.get(each, "skip: there is none")]
        if not wanted or skipped:
            missing.append((capability, name, skipped))
    assert not missing
    lines = (TESTS / "features.md").read_text("utf-8").count("\n| ")
    assert len(ROWS) == lines - 1 > 40
