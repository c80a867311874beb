"""Compressed answers that are not JSON: read whole, or refused."""

import gzip
import zlib
from typing import Any

import pytest
from multidict import CIMultiDict

from enapter_async._http.message import Reply
from enapter_async._http.unpacking import unpacked
from enapter_async._http.wire import larger_than
from enapter_async.errors import ResponseError, StreamBrokenError
from tests.http.test_streaming import QUERY, TABLE, TYPES, csv, read
from tests.support.replies import answer
from tests.support.rig import TransportKind, attempts, open_rig
from tests.support.server import FaultServer, ignored

BODY = b"ts,value\n" + b"".join(b"%d,%d\n" % (number, number * number) for number in range(200))
PACKED = {
    "gzip": ("gzip", gzip.compress(BODY)),
    "members": ("GZIP", gzip.compress(BODY[:900]) + gzip.compress(BODY[900:])),
    "zlib": ("deflate", zlib.compress(BODY)),
    "raw-deflate": ("deflate", zlib.compress(BODY, wbits=-15)),
}


def unpack(encoding: str, body: bytes, most: int = 10_000) -> Reply:
    reply = unpacked(Reply(200, CIMultiDict({"Content-Encoding": encoding}), body), most)
    assert isinstance(reply, Reply)
    return reply


@pytest.mark.parametrize(("encoding", "packed"), PACKED.values(), ids=PACKED)
def test_only_a_whole_body_is_whole(encoding: str, packed: bytes) -> None:
    assert unpack(encoding, packed)[2:4] == (BODY, "")
    assert unpack(encoding, packed, len(BODY)).cut == ""
    assert unpack(encoding, packed, len(BODY) - 1).cut == larger_than(len(BODY) - 1)
    ends = len(gzip.compress(BODY[:900])) if encoding == "GZIP" else 0
    for length in range(1, len(packed)):
        cut = unpack(encoding, packed[:length])
        assert BODY.startswith(cut.body)
        assert cut.cut or length == ends  # a member may be the last one
    assert "cannot be decompressed" in unpack(encoding, packed + b"junk").cut
    assert "cannot be decompressed" in unpack("gzip", BODY).cut


def test_what_was_not_asked_for_is_refused_and_no_bomb_is_unpacked() -> None:
    assert unpack("br", BODY).cut == "the response is encoded as br"
    bomb = unpack("gzip", gzip.compress(bytes(5_000_000)), 1000)
    assert (len(bomb.body), bomb.cut) == (1001, larger_than(1000))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_table_that_was_cut_is_not_taken_for_whole(
    transport: TransportKind, encoding: str, server: FaultServer
) -> None:
    packed = gzip.compress(TABLE) if encoding == "gzip" else zlib.compress(TABLE)
    kinds: tuple[Any, ...] = (TYPES, ("Content-Encoding", encoding))
    whole, cut = csv(packed, *kinds), csv(packed[:-1], *kinds)
    refused = answer(
        400, gzip.compress(b'{"errors":[{"code":"no"}]}'), ("Content-Encoding", "gzip")
    )
    server.script(*map(ignored, (whole, whole, cut, cut, refused)))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        assert len((await rig.run(QUERY)).rows) == 3
        assert await read(rig) == [0.0, 1.0, 2.0]
        assert isinstance(await rig.fails(QUERY), ResponseError)
        with pytest.raises(StreamBrokenError):
            await read(rig)
        assert "no" in str(await rig.fails(QUERY))
