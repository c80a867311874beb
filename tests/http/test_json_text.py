"""The texts that both JSON readers accept and refuse."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async._http import json_text
from enapter_async._http.json_text import RepeatedNameError

READERS = {"orjson": json_text.decode, "stdlib": json_text.decode_plainly}


@pytest.fixture(autouse=True)
def json_library() -> None:
    """Run these tests once: they use both readers themselves."""


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> Any:
    if request.param == "orjson":
        pytest.importorskip("orjson", reason="orjson is not installed")
    return READERS[request.param]


class Pairs(list[tuple[str, Any]]):
    """An object in its written form, in which names may be repeated."""


texts = st.text(alphabet='ab":\\ \n\u00e9', max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(texts, inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)


def written(value: Any, gap: str, colon: str, *, ascii_only: bool) -> str:
    if isinstance(value, Pairs):
        fields = (
            json.dumps(name, ensure_ascii=ascii_only)
            + colon
            + written(each, gap, colon, ascii_only=ascii_only)
            for name, each in value
        )
        return "{" + gap + f",{gap}".join(fields) + "}"
    if isinstance(value, list):
        inner = (written(each, gap, colon, ascii_only=ascii_only) for each in value)
        return "[" + f",{gap}".join(inner) + gap + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def objects(value: Any) -> Iterator[Pairs]:
    if isinstance(value, Pairs):
        yield value
    if isinstance(value, list):
        for each in value:
            yield from objects(each[1] if isinstance(value, Pairs) else each)


def plain(value: Any) -> Any:
    if isinstance(value, Pairs):
        return {name: plain(each) for name, each in value}
    return [plain(each) for each in value] if isinstance(value, list) else value


@given(
    values,
    st.sampled_from(["", " ", "\n  "]),
    st.sampled_from([":", ": ", " :", "\t: "]),
    st.booleans(),
)
@pytest.mark.parametrize("name", READERS)
def test_a_document_is_read_as_is_unless_a_name_occurs_twice(
    name: str, value: Any, gap: str, colon: str, ascii_only: bool
) -> None:
    if name == "orjson":
        pytest.importorskip("orjson", reason="orjson is not installed")
    body = written(value, gap, colon, ascii_only=ascii_only).encode()
    twice = any(len({name for name, _ in each}) < len(each) for each in objects(value))
    if twice:
        with pytest.raises(RepeatedNameError):
            READERS[name](body)
    else:
        assert READERS[name](body) == plain(value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'[[{"b":{}}],{"b":0,"c":"\\":","b":1}]',
    ],
)
def test_row29_a_duplicate_name_is_refused(reader: Any, body: bytes) -> None:
    with pytest.raises(RepeatedNameError, match="an object contains a name twice"):
        reader(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":"\\u0062 :","c":[1.50,1e3]}', {"a": "b :", "c": [1.5, 1000.0]}),
        (b'{ "a" : {"a" : 1} }', {"a": {"a": 1}}),
        (b'"a\\u003a"', "a:"),
        (b'{"a":12345678901234567890123}', {"a": 12345678901234567890123}),
    ],
)
def test_other_styles_of_json_are_read(reader: Any, body: bytes, expected: Any) -> None:
    assert reader(body) == expected


@pytest.mark.parametrize(
    "body", [b'{"a":"\\ud800"}', b'{"\\uDC00\\ud83d":1}', b'{"a":[-1e309]}', b"1.5e400"]
)
def test_lone_surrogates_and_numbers_out_of_range_are_refused(reader: Any, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"surrogate|large|infinity"):
        reader(body)
    assert reader(b'["\\ud83d\\ude00", 1e308, -0.0, 1e-999]') == ["\U0001f600", 1e308, 0.0, 0.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_beyond_a_float_are_refused(reader: Any, sign: int) -> None:
    """The largest float is 2^1024 - 2^971; from half a step above it, numbers round to infinity."""
    beyond = 2**1024 - 2**970
    text = "1" * 309
    body = json.dumps({"a": [sign * (beyond - 1)], "b": text}).encode()
    assert reader(body) == {"a": [sign * (beyond - 1)], "b": text}
    for number in (beyond, 10**309, 10**4299):
        with pytest.raises(ValueError, match=r"too large|infinity"):
            reader(json.dumps({"a": [sign * number]}).encode())


BRACKETS = {"lists": (b"[", b"]"), "objects": (b'{"a":', b"}"), "both": (b'[{"a":', b"}]")}


@pytest.mark.parametrize("kind", BRACKETS)
@pytest.mark.parametrize("blanks", [b"", b" "])
def test_nesting_has_the_same_bound_for_both(reader: Any, kind: str, blanks: bytes) -> None:
    begin, end = BRACKETS[kind]
    levels = 2 if kind == "both" else 1
    times = json_text.DEEPEST // levels
    deepest = begin * times + blanks + b"1" + end * times
    found = reader(deepest)
    for _ in range(times * levels):
        (found,) = found.values() if isinstance(found, dict) else found
    assert found == 1
    for depth in (times + 1, 2_000, 400_000):
        with pytest.raises(ValueError, match=r"deep|depth"):
            reader(begin * depth + b"1" + end * depth)


def test_many_sibling_brackets_are_not_deep(reader: Any) -> None:
    assert reader(b"[" + b"[[]]," * 1000 + b"[]]")[-1] == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[1,{"b":"c d"}]}',
        b'{"a":[1,{"b":"c d"}]} \r\n',
        b'{"a": [1, {"b": "c d"}]}',
        b'{ "a" :[1,\n\t{"b" : "c d"}]}',
        b'{"a": [1, {"b": "\\u0063 d"}]}',
        b'{"a":[1e0,{"\\u0062":"c d"}]}',
    ],
    ids=["compact", "line-end", "blanks", "lines", "escaped", "escaped-name"],
)
def test_orjson_reads_once_whatever_the_style(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("orjson", reason="orjson is not installed")

    def again(_: bytes) -> None:
        raise AssertionError("read twice")

    monkeypatch.setattr(json_text, "decode_plainly", again)
    assert READERS["orjson"](body) == {"a": [1, {"b": "c d"}]}


ESCAPES = st.text(alphabet='ab":\\/ \n\u00e9\u2028\U0001f600{}[],', max_size=6)


def spelled(word: str, spelling: str) -> str:
    if spelling != "all-escaped":
        return json.dumps(word, ensure_ascii=spelling == "ascii")
    units = word.encode("utf-16-be").hex()
    return '"' + "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) + '"'


SPELLINGS = st.sampled_from(["as-it-is", "ascii", "all-escaped"])


@given(
    names=st.lists(ESCAPES, min_size=1, max_size=5),
    said=st.lists(ESCAPES, min_size=5, max_size=5),
    blanks=st.sampled_from(["", " ", "\r\n\t"]),
    spellings=st.lists(SPELLINGS, min_size=10, max_size=10),
)
def test_no_escape_hides_a_second_name(
    names: list[str], said: list[str], blanks: str, spellings: list[str]
) -> None:
    pytest.importorskip("orjson", reason="orjson is not installed")
    words = [
        spelled(word, spelling) for word, spelling in zip([*names, *said], spellings, strict=False)
    ]
    pairs = zip(words[: len(names)], words[len(names) :], strict=False)
    text = "{" + f",{blanks}".join(f"{name}{blanks}:{value}" for name, value in pairs) + "}"
    if len(set(names)) < len(names):
        with pytest.raises(RepeatedNameError):
            READERS["orjson"](text.encode())
    else:
        assert READERS["orjson"](text.encode()) == dict(zip(names, said, strict=False))


@dataclass
class Pair:
    key: str


WRITERS = {"orjson": json_text.encode, "stdlib": json_text.encode_plainly}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_only_valid_json_numbers_are_written(name: str, number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        WRITERS[name]({"a": [None, {"b": number}]})


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize("name", WRITERS)
def test_both_write_the_same_values(name: str) -> None:
    values = {"a": [2**64, -(2**63) - 1, {1: UUID(int=1)}, Colour.RED], "n": 10**20}
    expected = (
        '{"a":[18446744073709551616,-9223372036854775809,'
        '{"1":"00000000-0000-0000-0000-000000000001"},"red"],"n":100000000000000000000}'
    )
    assert WRITERS[name](values) == expected.encode()
    moment: Any = datetime(2026, 1, 1, tzinfo=UTC)
    for refused in (moment, b"a", {1, 2}, Pair(key="a")):
        with pytest.raises(TypeError):
            WRITERS[name]({"a": refused})
    with pytest.raises(ValueError, match="surrogates"):
        WRITERS[name]({"a": "\ud800"})


@pytest.mark.parametrize("name", WRITERS)
def test_null_is_written_as_null(name: str) -> None:
    assert WRITERS[name]({"name": None, "ü": "null"}) == '{"name":null,"ü":"null"}'.encode()
