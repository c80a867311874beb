"""However an answer is built, a client holds little more memory for it than the size limit."""

import asyncio
import os
import sys
from typing import Final

import pytest

from tests.support.forks.starting import programs
from tests.support.kinds import each
from tests.support.replies import bomb, end, flood, gzip_bomb, head, interim, message, raw
from tests.support.server import Exchange, FaultServer, Reply, ignored
from tests.support.world import JSON_TYPE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MIB: Final = 2**20
CAP_MIB: Final = 64
"""The size limit of a page of devices."""
ROOM_MIB: Final = 16
START: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = head(200, ("Content-Type", JSON_TYPE), ("Transfer-Encoding", "chunked"))
GZIP: Final = ("Content-Encoding", "gzip")


def poured(start: bytes, piece: bytes, times: int = 80) -> Reply:
    """Send a piece repeatedly until the client disconnects."""

    async def pour(exchange: Exchange) -> bool:
        await exchange.send(start)
        for _ in range(times):
            await exchange.send(piece)
        return await end("hang", exchange)

    return pour


LARGE: dict[str, Reply] = {
    "gzip-bomb": gzip_bomb(),
    "body-without-length": flood(),
    "declared-length": poured(head(200, ("Content-Length", "9" * 18)), b"0" * MIB),
}
SMALL: dict[str, Reply] = {
    "error-that-is-a-gzip-bomb": raw(lambda _: message(500, bomb(), GZIP, media_type=JSON_TYPE)),
    "header-lines": poured(START, (b"X-A: " + b"a" * 8000 + b"\r\n") * 128),
    "short-header-lines": poured(START, b"a:b\r\n" * 200_000),
    "header-without-end": poured(START + b"X: ", b"a" * MIB),
    "chunk-extension": poured(CHUNKED + b"1;", b"a" * MIB),
    "chunks-of-one-byte": poured(CHUNKED, b"1\r\n0\r\n" * 170_000, 6),
    "trailers": poured(CHUNKED + b"0\r\n", b"a:b\r\n" * 200_000),
    "interim-answers": interim(100_000, 103),
}


async def grown_mib(reply: Reply) -> float:
    """Let a new process request this answer, and return its maximum growth."""
    async with FaultServer() as server:
        server.always(ignored(reply))
        child = await asyncio.create_subprocess_exec(
            *(programs(os.environ) / "python", "-m", "tests.fuzz.held", "direct", str(server.port)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            told, _ = await asyncio.wait_for(child.communicate(), 30)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    assert child.returncode == 0
    return int(told.split()[0]) / 1024


@each("reply", LARGE)
async def test_an_oversized_answer_is_held_once(reply: Reply) -> None:
    assert await grown_mib(reply) < CAP_MIB + ROOM_MIB


@each("reply", SMALL)
async def test_bytes_outside_a_body_are_hardly_held(reply: Reply) -> None:
    assert await grown_mib(reply) < ROOM_MIB
