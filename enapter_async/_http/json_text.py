"""JSON as UTF-8 bytes, by orjson where it is installed and by the standard library elsewhere.

Both refuse the same: NaN, a byte order mark, other encodings than UTF-8, nesting too deep, and an
object that holds a name twice: RFC 8259, section 4, leaves open what that means, so whoever
read it otherwise on the way saw another answer.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn


class RepeatedNameError(ValueError):
    """An object holds a name twice."""


def decode_plainly(body: bytes) -> Any:
    """Read JSON with the standard library; what is none is a ValueError."""
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        pass
    raise ValueError("nested too deeply")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RepeatedNameError("a name stands twice in an object")
    return found


def encode_plainly(body: Mapping[str, Any]) -> bytes:
    """Write JSON with the standard library."""
    return _ENCODER.encode(body).encode("utf-8")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# `json.loads` and `json.dumps` would make these anew for each call.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_once_each)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


decode: Callable[[bytes], Any] = decode_plainly
encode: Callable[[Mapping[str, Any]], bytes] = encode_plainly
with contextlib.suppress(ImportError):
    import orjson

    def decode_quickly(body: bytes) -> Any:
        """Read JSON with orjson; what is none is a ValueError."""
        data = orjson.loads(body)
        # It takes the last of two values and says nothing. But what is written again as it was
        # read, up to a line's end, had no second one; only the rest is read once more.
        try:
            written = orjson.dumps(data)
            if written == body or written == body.rstrip():
                return data
        except TypeError:
            pass  # nested too deeply to be written
        del data
        return decode_plainly(body)

    decode, encode = decode_quickly, orjson.dumps
