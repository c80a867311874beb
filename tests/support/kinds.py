"""Faults grouped by what is known after them, named after their rows in the fault table.

Each is a reply; the test chooses whether the server applies the request first.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from tests.support.replies import (
    answer,
    chunked,
    close,
    close_delimited,
    double_length,
    errors,
    garbage,
    gzipped,
    half_head,
    hang,
    html,
    interim,
    long_header,
    raw,
    reset,
    truncated,
)
from tests.support.server import Reply


def each(argument: str, *groups: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Run a test once for each value of some groups; the keys become the test ids."""
    merged = {name: value for group in groups for name, value in group.items()}
    return pytest.mark.parametrize(argument, merged.values(), ids=merged.keys())


def meets(
    operations: Mapping[str, Any], *groups: Mapping[str, Any], all_of: Collection[str]
) -> pytest.MarkDecorator:
    """Run a test for the operations in `all_of` with each fault, and for the others with a few.

    What is known after a fault depends only on the fault; what is done then depends on the fault's
    group and on the operation. So each other operation meets one fault of each group.
    """
    pairs = {
        f"{name}-{fault}": (operation, reply)
        for name, operation in operations.items()
        for group in groups
        for number, (fault, reply) in enumerate(group.items())
        if name in all_of or number == 0
    }
    return pytest.mark.parametrize(("operation", "fault"), pairs.values(), ids=pairs.keys())


LOST: dict[str, Reply] = {
    "row07-fin-after-request": close(),
    "row07-rst-after-request": reset(),
    "row10-half-head-then-fin": half_head(),
    "row10-half-head-then-rst": half_head("rst"),
    "row24-nine-interim-answers": interim(9),
    "row24-101": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "fin"),
    "row25-garbage": garbage(),
    "row25-header-of-70-kB": long_header(),
    "row25-two-content-lengths": double_length(),
}
"""Unknown: no HTTP answer at all."""

NINE_INTERIMS = LOST["row24-nine-interim-answers"]
"""What aiohttp skips without telling a session."""

LATE: dict[str, Reply] = {
    "row11-no-answer": hang(),
    "row10-half-head-then-silence": half_head("hang"),
}
"""Unknown: the attempt runs out of time. These tests take as long as their timeouts."""

FAILED: dict[str, Reply] = {
    "row18-500": errors(500),
    "row18-502-html": html(502),
    "row18-504-html": html(504, text="Gateway Time-out"),
    "row20-503-html": html(503),
    "row20-503-html-with-retry-after": html(503, ("Retry-After", "1")),
    "row20-503-json-without-retry-after": errors(503),
    "row18-520": html(520),
    "row18-599-empty": answer(599),
}
"""Unknown: the server failed."""

GIVEN_UP: dict[str, Reply] = {
    "row21-408": answer(408, b"stream timeout", media_type="text/plain"),
    "row21-499": errors(499),
}
"""Unknown: a proxy gave up waiting for a server that had the request."""

ODD: dict[str, Reply] = {
    "row24-999": errors(999),
    "row24-600": answer(600),
}
"""Unknown: a status that HTTP does not define."""

PORTAL: dict[str, Reply] = {
    "row34-html-200": html(200, text="Please log in"),
    "row34-plain-text-200": answer(200, b"hello", media_type="text/plain"),
    "row34-html-cut": truncated(media_type="text/html"),
}
"""Unknown: a different program answered."""

UNKNOWN: Sequence[dict[str, Reply]] = (LOST, FAILED, GIVEN_UP, ODD, PORTAL)
MAYBE: dict[str, Reply] = {name: reply for group in UNKNOWN for name, reply in group.items()}

REFUSED: dict[str, Reply] = {
    "row15-429-json": errors(429),
    "row15-429-html": html(429, text="Too Many Requests"),
    "row20-503-json-with-retry-after": errors(503, ("Retry-After", "1")),
    "row21-425": errors(425),
}
"""Refused for now: sent again, whatever the operation."""

BROKEN: dict[str, Reply] = {
    "row26-truncated": truncated(),
    "row26-truncated-rst": truncated("rst"),
    "row26-truncated-chunked": chunked(whole=False),
    "row26-bad-gzip": gzipped(whole=False),
    "row27-no-length-cut": close_delimited(whole=False),
}
"""Applied: the body does not arrive completely."""


def _told(body: Any) -> Reply:
    return answer(200, body)


_DEEP = b'{"device":{"id":"dev-1","properties":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
_DIGITS = b'{"device":{"id":"dev-1","updated_at":' + b"5" * 5_000 + b"}}"

UNREADABLE: dict[str, Reply] = {
    "row24-204": answer(204),
    "row24-empty-200": answer(200),
    "row29-deep": _told(_DEEP),
    "row29-nan": _told(b'{"device":{"id":"dev-1","properties":{"x":NaN}}}'),
    "row29-5000-digits": _told(_DIGITS),
    "row29-bom": _told(b'\xef\xbb\xbf{"device":{"id":"dev-1"}}'),
    "row29-invalid-utf-8": _told(b'{"device":{"id":"dev-1","name":"\xff\xfe"}}'),
    "row29-doubled-name": _told(b'{"device":{"id":"dev-1","name":"x","n\\u0061me":"New name"}}'),
    "row29-doubled-device": _told(b'{"device":{"id":"dev-1"},"device":{"id":"dev-1"}}'),
    "row29-not-json": _told(b"device: dev-1"),
    "row30-number-as-id": _told({"device": {"id": 5}}),
    "row30-null-as-id": _told({"device": {"id": None}}),
    "row30-no-id": _told({"device": {"name": "New name"}}),
    "row30-number-as-name": _told({"device": {"id": "dev-1", "name": 5}}),
    "row30-string-as-list": _told({"device": {"id": "dev-1", "implemented_profiles": "abc"}}),
    "row30-no-envelope": _told({}),
    "row30-list-for-object": _told([]),
    "row30-null": _told(b"null"),
}
"""Applied: a complete body of the API's media type that cannot be used."""

APPLIED: dict[str, Reply] = {**BROKEN, **UNREADABLE}

FINAL: dict[str, Reply] = {
    f"status-{status}": errors(status) for status in (400, 401, 403, 404, 405, 409, 410, 415, 422)
}
"""The API says that it will not be done."""
