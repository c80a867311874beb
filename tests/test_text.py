import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.text import plain, plain_lines


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Boiler pump", "Boiler pump"),
        ("Wärmepumpe 温泉", "Wärmepumpe 温泉"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\x1b(Bb", "ab"),
        ("a\x00b\x08c\x7fd\x85e", "abcd e"),
        ("one\r\ntwo\u2028three", "one two three"),
        ("abc\u202egnp.exe", "abcgnp.exe"),
        ("\u2066x\u2069\u200f", "x"),
        ("half \ud83d", "half "),
        (5, "5"),
        ("[bold]not markup[/]", "[bold]not markup[/]"),
    ],
)
def test_a_server_cannot_steer_a_terminal(sent: object, shown: str) -> None:
    assert plain(sent) == shown


@given(st.text())
def test_nothing_but_letters_comes_out(text: str) -> None:
    shown = plain(text)
    assert all(unicodedata.category(each) not in {"Cc", "Cs", "Zl", "Zp"} for each in shown)
    assert not any(unicodedata.bidirectional(each) in {"RLO", "LRO", "RLI"} for each in shown)
    assert plain(shown) == shown


def test_line_ends_may_be_kept() -> None:
    assert plain_lines("a\x1b[1m\nb\x07") == "a\nb"
