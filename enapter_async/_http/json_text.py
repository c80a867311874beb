"""JSON as UTF-8 bytes, by orjson where it is installed and by the standard library elsewhere.

Both refuse the same: NaN, a byte order mark, other encodings than UTF-8, nesting too deep. Of a
name that an object holds twice both take the last value (RFC 8259, section 4, leaves it open):
orjson cannot tell, and to look for it in another way costs more than reading the answer.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn


def decode_plainly(body: bytes) -> Any:
    """Read JSON with the standard library; what is none is a ValueError."""
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        pass
    raise ValueError("nested too deeply")


def encode_plainly(body: Mapping[str, Any]) -> bytes:
    """Write JSON with the standard library."""
    return _ENCODER.encode(body).encode("utf-8")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# `json.loads` and `json.dumps` would make these anew for each call.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


decode: Callable[[bytes], Any] = decode_plainly
encode: Callable[[Mapping[str, Any]], bytes] = encode_plainly
with contextlib.suppress(ImportError):
    import orjson

    decode, encode = orjson.loads, orjson.dumps
