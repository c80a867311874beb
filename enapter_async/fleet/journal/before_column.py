"""The column of an item that holds its guarded fields, and its target's name and type.

They share a column, because journals of this version have no other; a field's name is never empty.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from enapter_async.fleet.inputs import WorkItem

_ABOUT: Final = ""
"""The key of the name and the type beside guarded fields; without any, the column is their list."""

# Texts from a server may contain lone surrogates, which files can hold only as escapes.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def before_text(item: WorkItem) -> str | None:
    """Return the column of an item as JSON, or None if there is nothing to store."""
    about = [item.name, item.type] if item.name or item.type else None
    if item.before is None:
        return None if about is None else _encode(about)
    return _encode(item.before if about is None else {**item.before, _ABOUT: about})


def parse_before(text: str | None) -> tuple[Any, Sequence[Any]]:
    """Return what was stored as the guarded fields, and as the name and the type."""
    stored = None if text is None else json.loads(text)
    if isinstance(stored, list):
        return None, stored
    about = stored.pop(_ABOUT, None) if isinstance(stored, dict) else None
    return stored, about or ("", "")
