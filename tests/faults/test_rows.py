"""Every row of the fault table has a test that bears its number."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
ROWS = 55
NUMBER = re.compile(r"row(\d\d)[-_]")


def numbers_in(text: str) -> set[int]:
    return {int(number) for number in NUMBER.findall(text)}


def test_each_row_of_the_fault_table_is_tried() -> None:
    sources = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    tried = set[int]().union(*(numbers_in(path.read_text("utf-8")) for path in sources))
    assert tried == set(range(1, ROWS + 1))
