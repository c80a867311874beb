"""JSON as UTF-8 bytes, with orjson if it is installed, otherwise with the standard library.

Both refuse the same input: NaN, numbers beyond a float, a byte order mark, encodings other than
UTF-8, lone surrogates, nesting beyond `DEEPEST`, and objects that contain a name twice: RFC 8259,
section 4, does not define their meaning, so an intermediary may have read them differently. Both
write the same values, whole numbers of any length among them.
"""

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NoReturn
from uuid import UUID

DEEPEST: Final = 254
"""How deeply objects and lists may be nested; orjson's limit for writing."""

_SHALLOW: Final = 2 * DEEPEST
"""How many bytes cannot nest too deeply, as each level takes two."""
_BLANKS: Final = b" \t\r\n"
_LONG_NUMBER: Final = b"0" * 19
"""orjson may read a whole number with at least this many digits as a float."""
_HUGE_NUMBER: Final = 309
"""orjson refuses a whole number beyond a float, which has at least this many digits."""
_STEP: Final = 38
_HUGE_NUMBER_IN_STEPS: Final = b"0" * (_HUGE_NUMBER // _STEP)
_DIGITS_AS_0: Final = bytes.maketrans(b"123456789", b"000000000")


class RepeatedNameError(ValueError):
    """An object contains a name twice."""

    def __init__(self) -> None:
        super().__init__("an object contains a name twice")


def decode_plainly(body: bytes) -> Any:
    """Read JSON with the standard library; raise ValueError for anything else."""
    text = body.decode("utf-8")
    decoder = _DECODER
    if len(body) >= _HUGE_NUMBER and _HUGE_NUMBER_IN_STEPS in body[::_STEP].translate(_DIGITS_AS_0):
        decoder = _BOUNDED_DECODER
    try:
        if text[:1] == "{":
            data, end = decoder.raw_decode(text)
            if end != len(text) and text[end:].strip(_BLANKS.decode()):
                raise ValueError("the JSON is followed by something else")
        else:
            data = decoder.decode(text)
        if b"\\" in body and (rb"\ud" in body or rb"\uD" in body):
            _ENCODER.encode(data).encode("utf-8")  # raises ValueError for a lone surrogate
        if len(body) <= _SHALLOW or not _is_too_deep(body, data):
            return data
    except RecursionError:
        pass
    data = None
    raise ValueError("nested too deeply")


def _is_too_deep(body: bytes, data: Any) -> bool:
    if body.count(b"{") + body.count(b"[") <= DEEPEST:
        return False  # there are at most as many levels as brackets
    level = [data]
    for _ in range(DEEPEST):
        level = [
            each
            for outer in level
            for each in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(each, dict | list)
        ]
    return bool(level)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RepeatedNameError
    return found


def encode_plainly(body: Mapping[str, Any]) -> bytes:
    """Write JSON with the standard library; raise ValueError for NaN and the infinities."""
    text = _ENCODER.encode
    members: list[str] = []
    for name, value in body.items() if isinstance(body, dict) else ():
        if value.__class__ is not str or name.__class__ is not str:
            members.clear()
            break
        members.append(f"{text(name)}:{text(value)}")  # for text alone, the encoder is fast
    return (f"{{{','.join(members)}}}" if members else text(body)).encode("utf-8")


def _plainly(value: object) -> object:
    """Return what the standard library can write for the values that only orjson knows."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _bounded(text: str) -> int:
    _finite(text)
    return int(text)


# `json.loads` and `json.dumps` would create these again for each call.
_DECODER: Final = json.JSONDecoder(
    parse_float=_finite, parse_constant=_refuse_constant, object_pairs_hook=_once_each
)
_BOUNDED_DECODER: Final = json.JSONDecoder(
    parse_float=_finite,
    parse_int=_bounded,  # four times slower for whole numbers
    parse_constant=_refuse_constant,
    object_pairs_hook=_once_each,
)
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plainly
)


def _count_strings(text: bytes) -> int:
    """Return how many quotes in a JSON text start or end a string, names included."""
    if b"\\" not in text or rb"\"" not in text:
        return text.count(b'"')
    text = text.replace(rb"\\", b"")  # an odd last backslash in a run escapes the next character
    return text.count(b'"') - text.count(rb"\"")


decode: Callable[[bytes], Any] = decode_plainly
encode: Callable[[Mapping[str, Any]], bytes] = encode_plainly
with contextlib.suppress(ImportError):
    import orjson

    _AS_PLAINLY: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

    def decode_quickly(body: bytes) -> Any:
        """Read JSON with orjson; raise ValueError for anything else."""
        data = orjson.loads(body)
        # Of two values under one name, orjson silently keeps the last. The document written again
        # then has fewer strings, however they are escaped; if it differs only in whitespace, or not
        # at all, none is missing.
        try:
            written = orjson.dumps(data)
        except TypeError:
            data = written = None
        if written is None:
            raise ValueError("nested too deeply")
        if written == body.rstrip() or written.translate(None, _BLANKS) == body.translate(
            None, _BLANKS
        ):
            return data
        if _LONG_NUMBER in body.translate(_DIGITS_AS_0):
            return decode_plainly(body)
        if _count_strings(written) != _count_strings(body):
            raise RepeatedNameError
        return data

    def encode_quickly(body: Mapping[str, Any]) -> bytes:
        """Write JSON with orjson; raise ValueError for NaN, which orjson would write as null."""
        try:
            written = orjson.dumps(body, None, _AS_PLAINLY)
        except TypeError:
            return encode_plainly(body)  # such as whole numbers of more than 64 bits
        if written.count(b"null"):  # in half the time of `in`
            encode_plainly(body)
        return written

    decode, encode = decode_quickly, encode_quickly
