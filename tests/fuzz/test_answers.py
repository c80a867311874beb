"""Whatever arrives becomes a value or one of our errors, soon and in little memory."""

import asyncio
import gzip
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enapter_async._http.transport import Timeouts
from enapter_async.errors import EnapterError
from enapter_async.operation import Operation
from tests.fuzz.damage import damaged
from tests.support.budget import IN_TIME, examples
from tests.support.oracle import LOOPS, Loop, run_on
from tests.support.replies import chunks, head, message, raw
from tests.support.rig import ALL, GET, TransportKind, attempts, open_rig
from tests.support.secrets import shown
from tests.support.server import FaultServer, ignored
from tests.support.world import JSON_TYPE, World

if sys.platform != "win32":
    import resource

pytestmark = [
    IN_TIME,
    pytest.mark.parametrize("kind", ["direct", "session"]),
    pytest.mark.parametrize("loop", LOOPS),
]

BRISK = Timeouts(connect=0.3, read=0.03)
SOON = 30.0
"""Seconds for one example, of which the server is silent for at most 0.4."""
TRIES: dict[TransportKind, int] = {"direct": 1, "session": 2}
"""A session does not let us inspect a connection before it is used: if its end arrives behind a
complete answer, the next call finds it `GONE` and is sent on another."""
GONE = ("ServerDisconnectedError", "ClientOSError", "ClientConnectionResetError")
ROOM_KIB = 64 * 1024
"""How much memory the process may gain in one example."""


def _goods() -> list[bytes]:
    world = World(["dev-1"])
    calls = [("GET", "/v3/devices/dev-1", b""), ("GET", "/v3/devices", b"")]
    calls.append(("POST", "/v3/devices/dev-1/generate_config", b'{"protocol":"MQTT"}'))
    return [world.serve(0, *call).body for call in calls]


def _wholes() -> list[bytes]:
    wholes = []
    for body in _goods():
        typed = ("Content-Type", JSON_TYPE)
        wholes += [
            message(200, body, media_type=JSON_TYPE),
            head(200, typed, ("Transfer-Encoding", "chunked")) + chunks(body) + b"0\r\n\r\n",
            message(200, gzip.compress(body), ("Content-Encoding", "gzip"), media_type=JSON_TYPE),
            head(200, typed) + body,
            head(100) + message(200, body, media_type=JSON_TYPE),
        ]
    refusal = b'{"errors":[{"code":"told","message":"no","details":{"a":[1,2]}}]}'
    later = ("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")
    wholes += [message(status, refusal, later, media_type=JSON_TYPE) for status in (404, 429, 503)]
    return wholes


HEADER_NAMES = [
    "Content-Length", "Transfer-Encoding", "Content-Encoding", "Content-Type", "Connection",
    "Retry-After", "Date", "Location", "Set-Cookie", "X-Request-Id", "Upgrade", "Trailer", "X",
]  # fmt: skip
HEADER_VALUES = [
    "", "0", "2", "-1", "+2", "2, 2", "99999999999999999999", "1e3", "0x10", "chunked",
    "gzip, chunked", "gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "application/json",
    "application/json; charset=utf-16", "text/html", "close", "keep-alive", "upgrade", "nan",
    "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 0000 00:00:00 GMT", "//evil", "a=b; Domain=x",
    "\t", "\x7f", "\xff" * 40, "a" * 9000, "h2c", "٣",
]  # fmt: skip


def _with_headers(status: int, version: str, pairs: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"HTTP/{version} {status} Told", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body


def _header_answers() -> st.SearchStrategy[bytes]:
    values = st.sampled_from(HEADER_VALUES) | st.text(max_size=8).map(
        lambda text: text.replace("\r", "").replace("\n", "")
    )
    return st.builds(
        _with_headers,
        st.sampled_from([100, 103, 199, 200, 204, 206, 301, 304, 401, 404, 429, 500, 503, 999]),
        st.sampled_from(["1.1", "1.1", "1.0", "0.9", "2.0"]),
        st.lists(st.tuples(st.sampled_from(HEADER_NAMES), values), max_size=5),
        st.sampled_from([b"", b"{}", *_goods(), b"2\r\n{}\r\n0\r\n\r\n", gzip.compress(b"{}")]),
    )


operations = st.sampled_from(list(ALL.values()))
endings = st.sampled_from(["fin", "fin", "rst", None])


async def answered(
    kind: TransportKind, operation: Operation[Any], data: bytes, ending: Any
) -> None:
    before = most_kib()
    async with FaultServer() as server:
        server.script(ignored(raw(data, ending)))
        async with open_rig(kind, server, retry=attempts(1), timeouts=BRISK) as rig:
            try:
                async with asyncio.timeout(SOON):
                    await rig.run(operation)
            except EnapterError as error:
                shown(error)  # it can be printed and pickled
            server.clear()
            rig.clock.skipped += 1e6
            unhurried = rig.client.with_options(
                timeouts=Timeouts(connect=SOON, read=SOON), retry=attempts(TRIES[kind])
            )
            # And no other call is affected.
            async with asyncio.timeout(SOON):
                await unhurried.execute(ALL["list"])
            assert all(attempt.error_type in GONE for attempt in rig.attempts)
    assert most_kib() - before < ROOM_KIB


def most_kib() -> int:
    return 0 if sys.platform == "win32" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@example(operation=GET, data=_wholes()[0], ending="fin")
@given(operation=operations, data=damaged(*_wholes()), ending=endings)
@examples(40)
def test_a_damaged_answer_is_a_value_or_one_of_our_errors(
    kind: TransportKind, loop: Loop, operation: Operation[Any], data: bytes, ending: Any
) -> None:
    run_on(loop, answered(kind, operation, data, ending))


@given(operation=operations, data=st.binary(max_size=300), ending=endings)
@examples(30)
def test_noise_is_one_of_our_errors(
    kind: TransportKind, loop: Loop, operation: Operation[Any], data: bytes, ending: Any
) -> None:
    run_on(loop, answered(kind, operation, data, ending))


@given(operation=operations, data=_header_answers(), ending=endings)
@examples(40)
def test_odd_headers_result_in_a_value_or_one_of_our_errors(
    kind: TransportKind, loop: Loop, operation: Operation[Any], data: bytes, ending: Any
) -> None:
    run_on(loop, answered(kind, operation, data, ending))
