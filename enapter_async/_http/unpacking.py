"""Decompression of answers that are not JSON.

aiohttp takes a gzip body for whole wherever it ends. A JSON object ends where its last brace is;
but a table that is cut would have fewer rows, and perhaps a wrong last value.
"""

import zlib
from typing import Any, Final

from enapter_async._http.message import Failure, OpenedReply, Reply
from enapter_async._http.wire import ERROR_BODY_BYTES, larger_than, printable

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8
"""The low four bits of a body's first byte; without them, it is deflate without a header."""


class Unpacker:
    """Decompresses one body, part by part, and notices if it ends too early."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding == "gzip"
        self._inner: Any = None
        self._waiting = b""
        self._may_hold_more = False

    def put(self, data: bytes) -> None:
        """Add a part of the compressed body."""
        self._waiting += data

    def take(self, most: int) -> bytes:
        """Return the next part of the body, or b"" if there is none yet.

        Raises:
            ValueError: It cannot be decompressed.
        """
        while self._waiting or self._may_hold_more:
            if self._inner is None or (self._inner.eof and self._gzip):
                self._inner = zlib.decompressobj(self._window())
            try:
                part: bytes = self._inner.decompress(self._waiting, most)
            except zlib.error:
                break
            self._waiting = self._inner.unconsumed_tail or self._inner.unused_data
            if self._inner.eof and self._waiting and not self._gzip:
                break
            self._may_hold_more = len(part) == most and not self._inner.eof
            if part:
                return part
        else:
            return b""
        raise ValueError("the response cannot be decompressed")

    def end(self) -> None:
        """Raise ValueError if the body ended too early."""
        if self._inner is not None and not self._inner.eof:
            raise ValueError("the response ends within its compressed data")

    def _window(self) -> int:
        if self._gzip:
            return _GZIP
        return zlib.MAX_WBITS if self._waiting[0] & 15 == _ZLIB_METHOD else -zlib.MAX_WBITS


def unpacker_for(headers: Any) -> Unpacker | None:
    """Return what decompresses an answer, or None if it is not compressed.

    Raises:
        ValueError: It is encoded in a way that was not asked for.
    """
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "deflate"):
        raise ValueError(f"the response is encoded as {printable(encoding, 40)}")
    return Unpacker(encoding)


def unpacked(reply: Reply | Failure, max_bytes: int) -> Reply | Failure:
    """Return an answer with its body decompressed and capped; a stream unpacks itself."""
    if not isinstance(reply, Reply) or isinstance(reply, OpenedReply) or not reply.body:
        return reply
    cap = max_bytes if 200 <= reply.status < 300 else ERROR_BODY_BYTES
    body, cut = bytearray(), reply.cut
    try:
        unpacker = unpacker_for(reply.headers)
        if unpacker is None:
            return reply
        unpacker.put(reply.body)
        while len(body) <= cap and (part := unpacker.take(cap + 1 - len(body))):
            body += part
        if len(body) > cap:
            cut = larger_than(cap)
            del body[ERROR_BODY_BYTES:]
        else:
            unpacker.end()
    except ValueError as error:
        cut = cut or str(error)
    return reply._replace(body=bytes(body), cut=cut)
