"""Extraction of the operation's value from the envelope of a successful answer."""

import contextlib
from collections.abc import Mapping
from typing import Any, TypeVar

from enapter_async._http.json_text import RepeatedNameError, decode
from enapter_async.converter import StructureError, structurer
from enapter_async.operation import UNSET, WHOLE, Answer, Operation, Unset

T = TypeVar("T")


def unwrap(operation: Operation[T], body: bytes, cut: str) -> T:
    """Return the operation's value from its envelope, or raise `StructureError`."""
    if cut:
        raise StructureError("", cut)
    if not body:
        raise StructureError("", "the response is empty")
    reason = "the response is not a JSON object"
    data: Any = None  # errors are raised below, or their context would hold the data
    try:
        data = decode(body)
    except RepeatedNameError:
        reason = "an object in the response contains a name twice"
    except ValueError:
        reason = "the response is not JSON, or nested too deeply"
    if not isinstance(data, dict):
        raise StructureError("", reason)
    return _from_envelope(operation, data)


def _from_envelope(operation: Operation[T], data: Mapping[str, Any]) -> T:
    """Return the value under the answer's key, or its default, or raise `StructureError`."""
    answer: Answer[T] = operation.answer
    key = answer.key or ""
    value: Any = data.get(key)
    if answer.key == WHOLE:
        value = None if "errors" in data else data
    if value is not None:
        try:
            result: T = structurer(answer.type)(value)
        except StructureError as error:
            problem = (_join(key, error.path), error.reason)
        else:
            return result
        raise StructureError(*problem)
    if answer.secret:
        # A result that cannot be read a second time is accepted even without its envelope.
        with contextlib.suppress(StructureError):
            bare: T = structurer(answer.type)(data)
            return bare
    default: T | Unset = UNSET if "errors" in data else operation.when_missing(data)
    if default is UNSET:
        raise StructureError(key, "is missing (is base_url that of the Enapter API?)")
    return default


def _join(key: str, path: str) -> str:
    if not path or not key or path.startswith("["):
        return key + path
    return f"{key}.{path}"
