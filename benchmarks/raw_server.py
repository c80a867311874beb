"""The server if nginx is not installed: asyncio's bare protocol, in its own process.

It prints its port and serves until it is terminated. It knows enough HTTP/1.1 for clients that send
a Content-Length: keep-alive, pipelining, and one answer for every device id.
"""

import argparse
import asyncio
import contextlib
import importlib
import re
import ssl
from collections.abc import Callable
from typing import Final, cast

from benchmarks.server import answer_template

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_TARGET: Final = re.compile(rb"[A-Z]+ /v3/devices/([^/ ?]+) HTTP/1\.1\r\n")
_BEFORE, _AFTER = (part.encode() for part in answer_template("ID").split("ID"))
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nServer: raw\r\nContent-Type: application/json\r\n"
    b"Connection: keep-alive\r\nContent-Length: "
)
_REFUSED: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class RawServer(asyncio.Protocol):
    """Answers one connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        # A cast, because uvloop's transports only behave like an asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each complete request that has arrived."""
        buffer = self._buffer + data if self._buffer else data
        answers = []
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            target = _TARGET.match(buffer)
            if target is None:
                answers.append(_REFUSED)
                self._answer(answers, close=True)
                return
            length = _LENGTH.search(buffer, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(buffer) < whole:
                break
            body = _BEFORE + target[1] + _AFTER
            answers.append(b"%b%d\r\n\r\n%b" % (_HEAD, len(body), body))
            buffer = buffer[whole:]
        self._buffer = buffer
        self._answer(answers, close=False)

    def _answer(self, answers: list[bytes], *, close: bool) -> None:
        if self._transport is None:
            return
        if answers:
            self._transport.write(b"".join(answers))
        if close:
            self._transport.close()


async def serve(make: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> None:
    """Serve on a free port of 127.0.0.1, and print the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, backlog=4096, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def arguments(prog: str) -> argparse.ArgumentParser:
    """Return the command line that all such servers share."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--uvloop", action="store_true", help="default: asyncio's own loop")
    parser.add_argument("--certificate", help="serve https with this file, in PEM")
    parser.add_argument("--key", help="the certificate's key")
    return parser


def run(make: Callable[[], asyncio.Protocol], options: argparse.Namespace) -> None:
    """Serve until ended."""
    tls = None
    if options.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate, options.key)
    loop_factory = None
    if options.uvloop:
        loop_factory = importlib.import_module("uvloop").new_event_loop
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=loop_factory) as runner,
    ):
        runner.run(serve(make, tls))


if __name__ == "__main__":
    run(RawServer, arguments("python -m benchmarks.raw_server").parse_args())
