import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.text import plain, plain_lines, quoted, quoted_apart, shortened


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
        ("a\U000e0001\U000e0041\u2064\u00ad\ufe0f\U000e0100\u3164b", "ab"),
        (5, "5"),
        ("[bold]not markup[/]", "[bold]not markup[/]"),
    ],
)
def test_a_server_cannot_control_a_terminal(sent: object, shown: str) -> None:
    assert plain(sent) == shown


@given(st.text())
def test_nothing_but_letters_comes_out(text: str) -> None:
    shown = plain(text)
    assert all(unicodedata.category(each) not in {"Cc", "Cs", "Zl", "Zp"} for each in shown)
    assert not any(unicodedata.bidirectional(each) in {"RLO", "LRO", "RLI"} for each in shown)
    assert all(unicodedata.category(each) not in {"Cc", "Cs"} for each in quoted(text))
    assert plain(shown) == shown


def test_line_ends_may_be_kept() -> None:
    assert plain_lines("a\x1b[1m\nb\x07") == "a\nb"


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("old", "new", ("'old'", "'new'")),
        ("Kühlung", "温泉", ("'Kühlung'", "'温泉'")),
        ("two\u200b", "two", (r"'two\u200b'", "'two'")),
        ("温泉\U000e0041", "温泉", (r"'温泉\U000e0041'", "'温泉'")),
        ("a\x1b[31m", "a", (r"'a\x1b[31m'", "'a'")),
        # Strings that contain nothing invisible, and yet look the same.
        ("Pump", "\u0420ump", ("'Pump'", r"'\u0420ump'")),
        ("caf\u00e9", "cafe\u0301", (r"'caf\xe9'", r"'cafe\u0301'")),
        ("a b", "a\xa0b", ("'a b'", r"'a\xa0b'")),
        ("a\u200b", r"a\u200b", (r"'a\u200b'", r"'a\\u200b'")),
    ],
)
def test_two_different_texts_are_shown_differently(
    one: str, other: str, shown: tuple[str, str]
) -> None:
    assert quoted_apart(one, other) == shown


@given(st.text(), st.text())
def test_different_texts_are_never_shown_as_one(one: str, other: str) -> None:
    assert (one == other) is (len(set(quoted_apart(one, other))) == 1)


@pytest.mark.parametrize(("text", "expected"), [("abcd", "abcd"), ("abcde", "abc…"), ("", "")])
def test_a_text_that_is_too_long_shows_the_cut(text: str, expected: str) -> None:
    assert shortened(text, 4) == expected
