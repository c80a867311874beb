"""The rows of a user's file are kept in a short string, and restored from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.fleet.row_numbers import MOST, RowNumbers, rows_text

PAIRS = st.dictionaries(st.integers(0, 500), st.integers(1, 9_000)).map(lambda d: sorted(d.items()))


def test_a_file_in_order_takes_one_part_and_a_cell_of_two_lines_one_more() -> None:
    assert rows_text(enumerate([2, 3, 4, 6, 7])) == "0:2,3:6"
    assert rows_text([]) == ""
    rows = RowNumbers("0:2,3:6")
    assert [rows.row(number) for number in (0, 2, 3, 9)] == [2, 4, 6, 12]


@given(PAIRS)
def test_each_number_gets_its_row_back(pairs: list[tuple[int, int]]) -> None:
    rows = RowNumbers(rows_text(pairs))
    assert [(number, rows.row(number)) for number, _ in pairs] == pairs


def test_the_rows_of_an_unordered_file_are_not_kept() -> None:
    assert rows_text((number, 2 * number) for number in range(MOST + 1)) == ""


@pytest.mark.parametrize("text", ["", "x", "0:2,", "0:2;1:3", "-1:2", "0:9" * 9, "0:" + "9" * 13])
def test_other_strings_have_no_rows(text: str) -> None:
    assert RowNumbers(text).row(1) is None
