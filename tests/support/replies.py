"""Ways of answering: one function for each fault (or legal oddity), each returning a `Reply`."""

import asyncio
import functools
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.server import Ending, Exchange, Reply
from tests.support.world import JSON_TYPE, Good

Headers = tuple[tuple[str, str], ...]

REASON = "Told"


def head(status: int, *headers: tuple[str, str], version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status} {REASON}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def message(status: int, body: bytes, *headers: tuple[str, str], media_type: str | None) -> bytes:
    typed: Headers = (("Content-Type", media_type),) if media_type else ()
    return head(status, *typed, ("Content-Length", str(len(body))), *headers) + body


def good(*headers: tuple[str, str], media_type: str | None = JSON_TYPE) -> Reply:
    """Answer honestly, with additional headers or another media type."""

    async def reply(exchange: Exchange) -> bool:
        told = exchange.good
        await exchange.send(message(told.status, told.body, *headers, media_type=media_type))
        return True

    return reply


def answer(
    status: int, body: Any = None, *headers: tuple[str, str], media_type: str | None = JSON_TYPE
) -> Reply:
    """Answer with this status and `body`: bytes, a value that becomes JSON, or None for no body."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer_so(exchange: Exchange) -> bool:
        typed = media_type if raw else None
        await exchange.send(message(status, raw, *headers, media_type=typed))
        return True

    return answer_so


def raw(data: bytes | Callable[[Good], bytes], ending: Ending | None = None) -> Reply:
    """Write exactly these bytes, then end the connection or leave it open."""

    async def write_raw(exchange: Exchange) -> bool:
        await exchange.send(data if isinstance(data, bytes) else data(exchange.good))
        return await end(ending, exchange) if ending else True

    return write_raw


async def end(ending: Ending, exchange: Exchange) -> bool:
    """End the connection: by FIN, by RST, or with silence until the client has gone."""
    if ending == "rst":
        exchange.connection.reset()
    elif ending == "hang":
        gone = asyncio.ensure_future(exchange.connection.gone())
        released = asyncio.ensure_future(exchange.server.released.wait())
        try:
            await asyncio.wait({gone, released}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            released.cancel()
    return False


def close() -> Reply:
    return raw(b"", "fin")


def reset() -> Reply:
    return raw(b"", "rst")


def hang() -> Reply:
    return raw(b"", "hang")


def late_effect() -> Reply:
    """Stay silent, and carry out the request only after the client has gone."""

    async def act_late(exchange: Exchange) -> bool:
        await end("hang", exchange)
        exchange.apply()
        return False

    return act_late


def half_head(ending: Ending = "fin") -> Reply:
    return raw(b"HTTP/1.1 200 OK\r\nContent-Type: applica", ending)


def garbage() -> Reply:
    return raw(b"\x16\x03\x01\x02 this is not HTTP\r\n\r\n", "fin")


def truncated(ending: Ending = "fin", media_type: str = JSON_TYPE) -> Reply:
    """Announce the whole body, but send only its first half."""

    def cut(told: Good) -> bytes:
        whole = message(told.status, told.body, media_type=media_type)
        return whole[: len(whole) - max(1, len(told.body) // 2)]

    return raw(cut, ending)


def chunks(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def chunked(*, whole: bool = True, ending: Ending = "fin") -> Reply:
    """Send the body in chunks: all of them, or some without the last."""

    def build(told: Good) -> bytes:
        start = head(told.status, ("Content-Type", JSON_TYPE), ("Transfer-Encoding", "chunked"))
        if whole:
            return start + chunks(told.body) + b"0\r\n\r\n"
        return start + chunks(told.body[: len(told.body) // 2])

    return raw(build, None if whole else ending)


def gzipped(*, whole: bool = True) -> Reply:
    """Send the body as gzip, intact or with its middle overwritten."""

    def build(told: Good) -> bytes:
        packed = gzip.compress(told.body)
        if not whole:
            packed = packed[:12] + bytes(byte ^ 0xFF for byte in packed[12:])
        return message(told.status, packed, ("Content-Encoding", "gzip"), media_type=JSON_TYPE)

    return raw(build)


@functools.cache
def bomb(mebibytes: int = 80) -> bytes:
    """Send gzip that decodes to a thousand times its size: legal JSON, one long string."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [packer.compress(b'{"device":{"id":"')]
    pieces += [packer.compress(b"0" * 2**20) for _ in range(mebibytes)]
    pieces += [packer.compress(b'"}}'), packer.flush()]
    return b"".join(pieces)


def gzip_bomb(mebibytes: int = 80) -> Reply:
    def build(told: Good) -> bytes:
        return message(
            told.status, bomb(mebibytes), ("Content-Encoding", "gzip"), media_type=JSON_TYPE
        )

    return raw(build)


def flood(mebibytes: int = 80) -> Reply:
    """Send a plain body without a length, larger than any limit, until the client goes away."""

    async def pour(exchange: Exchange) -> bool:
        await exchange.send(head(200, ("Content-Type", JSON_TYPE)) + b'{"device":{"id":"')
        piece = b"0" * 2**20
        for _ in range(mebibytes):
            await exchange.send(piece)
        await exchange.send(b'"}}')
        return False

    return pour


def close_delimited(*, whole: bool = True, ending: Ending = "fin") -> Reply:
    """Send a body that ends with the connection, in full or cut off in the middle."""

    def build(told: Good) -> bytes:
        body = told.body if whole else told.body[: len(told.body) // 2]
        return head(told.status, ("Content-Type", JSON_TYPE)) + body

    return raw(build, ending)


def http10() -> Reply:
    """Answer as HTTP/1.0, which closes the connection."""

    def build(told: Good) -> bytes:
        length = ("Content-Length", str(len(told.body)))
        return head(told.status, ("Content-Type", JSON_TYPE), length, version="1.0") + told.body

    return raw(build, "fin")


def said_close(ending: Ending = "hang") -> Reply:
    """Send `Connection: close`, and leave it to the client to close."""

    def build(told: Good) -> bytes:
        return message(told.status, told.body, ("Connection", "close"), media_type=JSON_TYPE)

    return raw(build, ending)


def followed_by(extra: bytes) -> Reply:
    """Send an honest answer followed by more bytes, in one write."""

    def build(told: Good) -> bytes:
        return message(told.status, told.body, media_type=JSON_TYPE) + extra

    return raw(build)


def interim(count: int, status: int = 100, then: Reply | None = None) -> Reply:
    """Send that many 1xx answers, then the honest one (or another)."""

    async def flood_then(exchange: Exchange) -> bool:
        await exchange.send(head(status) * count)
        return await (then or good())(exchange)

    return flood_then


def long_header(length: int = 70_000) -> Reply:
    return good(("X-Long", "x" * length))


def double_length() -> Reply:
    def build(told: Good) -> bytes:
        lengths = (
            ("Content-Length", str(len(told.body))),
            ("Content-Length", str(len(told.body) + 1)),
        )
        return head(told.status, ("Content-Type", JSON_TYPE), *lengths) + told.body

    return raw(build, "fin")


def drip(interval: float = 0.005) -> Reply:
    """Send the honest answer one byte at a time."""

    async def drip_out(exchange: Exchange) -> bool:
        told = exchange.good
        for byte in message(told.status, told.body, media_type=JSON_TYPE):
            await exchange.send(bytes((byte,)))
            await asyncio.sleep(interval)
        return True

    return drip_out


def slowly(seconds: float = 0.01, then: Reply | None = None) -> Reply:
    """Take a moment, so that overlapping calls can be observed."""
    return _once(lambda: asyncio.sleep(seconds), then)


def meet(barrier: asyncio.Barrier, then: Reply | None = None) -> Reply:
    """Answer only when enough requests are waiting together."""
    return _once(barrier.wait, then)


def awaiting(event: asyncio.Event, then: Reply | None = None) -> Reply:
    """Answer when the event is set."""
    return _once(event.wait, then)


def _once(come: Callable[[], Awaitable[object]], then: Reply | None) -> Reply:
    async def wait_then(exchange: Exchange) -> bool:
        async with asyncio.timeout(60):
            await come()
        return await (then or good())(exchange)

    return wait_then


def errors(
    status: int, *headers: tuple[str, str], code: str = "told", message: str = "no"
) -> Reply:
    """Answer with the API's error envelope."""
    return answer(status, {"errors": [{"code": code, "message": message}]}, *headers)


def html(status: int, *headers: tuple[str, str], text: str = "Bad Gateway") -> Reply:
    """Answer with a page, as a proxy or a captive portal does."""
    page = f"<html><body><h1>{text}</h1></body></html>".encode()
    return answer(status, page, *headers, media_type="text/html; charset=utf-8")
