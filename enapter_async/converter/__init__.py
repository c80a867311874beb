"""Conversion between JSON values and the package's classes.

Reading is strict if a guess could be wrong: no type is ever coerced. It is lenient only if servers
are known to disagree: about old field names, times as numbers or text, missing, null and empty
values, and the case of enumerations. The rules are in `rules`; this module is the interface for the
rest of the package, and `operations` the one for operations in files.

No error holds an input value, because it may be a secret.
"""

import functools
from collections.abc import Callable
from types import NoneType
from typing import Any, Final

from cattrs import AttributeValidationNote

from enapter_async.converter import rules
from enapter_async.converter.leaves import Mismatch, Step

_FAILURES: Final = (Mismatch, KeyError, TypeError, ValueError, RecursionError)


class StructureError(ValueError):
    """A JSON value does not have the expected form.

    `path` is the place, such as `device.updated_at` or `devices[3].slug`; `reason` states what
    was expected and the kind of the value. Neither contains the value itself.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


@functools.cache
def structurer(kind: Any) -> Callable[[Any], Any]:
    """Return a function that converts JSON values to `kind`; it raises as `structure` does."""
    quick = rules.quick.get_structure_hook(NoneType if kind is None else kind)

    def read(data: Any) -> Any:
        try:
            return quick(data, kind)
        except _FAILURES:
            problem = _diagnose(data, kind)
        # Neither the error's context nor this frame, which is in its traceback, may hold the value.
        del data
        raise problem

    return read


def structure(data: Any, kind: Any) -> Any:
    """Convert a JSON value to `kind`, such as `Device` or `tuple[Device, ...]`.

    Raises `StructureError` if it does not fit; `path` is relative to `data`. A pure function;
    plain JSON fields are not copied.
    """
    problem: StructureError
    try:
        return structurer(kind)(data)
    except StructureError as error:
        problem = error.with_traceback(None)
    del data
    raise problem


def _diagnose(data: Any, kind: Any) -> StructureError:
    """Read the value again with full checks; return the place and the reason of the misfit."""
    try:
        rules.exact().structure(data, kind)
    except Exception as error:  # noqa: BLE001  # cattrs raises groups of any errors
        return _first_cause(error)
    return StructureError("", "cannot be read")


def _first_cause(error: BaseException) -> StructureError:
    path = ""
    while True:
        for note in reversed(getattr(error, "__notes__", ())):
            if isinstance(note, Step):
                path += note
            elif isinstance(note, AttributeValidationNote):
                path += f".{note.name}"
        if not isinstance(error, BaseExceptionGroup):
            break
        error = error.exceptions[0]
    if isinstance(error, Mismatch):
        reason = str(error)
    elif isinstance(error, RecursionError):
        reason = "is nested too deeply"
    else:
        reason = "is missing" if isinstance(error, KeyError) else "cannot be read"
    return StructureError(path.removeprefix("."), reason)


def unstructure(value: Any) -> Any:
    """Convert a model, or a tuple of models, to plain JSON values that `structure` reads back.

    Fields that have their default are left out. Times become RFC 3339 text in UTC. Secrets are
    included, because a credentials file needs them: be careful with the result.
    """
    return rules.quick.unstructure(value)
