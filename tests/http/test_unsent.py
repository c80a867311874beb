"""Large requests that a server does not read: what was not sent yet is never sent later."""

import asyncio
import contextlib
import io
import ssl
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest

from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import AmbiguousOutcomeError, APIError
from enapter_async.operations.blueprints import UploadBlueprint
from tests.http.test_payload_faults import MIB
from tests.support.oracle import descriptors
from tests.support.replies import message
from tests.support.rig import GET, TOKEN, TransportKind, attempts
from tests.support.server import PATIENCE
from tests.support.tls import Certificates
from tests.support.world import JSON_TYPE

SIZE = 16 * MIB
LIMITS = Timeouts(connect=PATIENCE, read=PATIENCE)
TOO_LARGE = message(413, b'{"errors":[{"code":"too_large"}]}', media_type=JSON_TYPE)


def upload() -> UploadBlueprint:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stored:
        stored.writestr("manifest.yml", bytes(SIZE))
    return UploadBlueprint(archive=archive.getvalue())


@attrs.define
class Deaf:
    """A server that reads only the head of each request, and may answer it."""

    answer: bytes = b""
    context: ssl.SSLContext | None = None
    port: int = 0
    accepted: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = attrs.field(factory=list)
    came: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append((reader, writer))
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        self.came.set()

    async def rest(self) -> int:
        """Return how much more arrives on the first connection, to its end."""
        reader, _ = self.accepted[0]
        size = 0
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while part := await reader.read(MIB):
                    size += len(part)
        return size


@contextlib.asynccontextmanager
async def deaf(answer: bytes = b"", context: ssl.SSLContext | None = None) -> AsyncIterator[Deaf]:
    server = Deaf(answer, context)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", limit=1024, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        for _, writer in server.accepted:
            writer.transport.abort()
        listening.close()


@contextlib.asynccontextmanager
async def client_of(
    server: Deaf, transport: TransportKind, **options: Any
) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        if transport == "session":
            options["session"] = await stack.enter_async_context(aiohttp.ClientSession())
        client = Client(
            TOKEN, base_url=server.base_url, retry=attempts(1), timeouts=LIMITS, **options
        )
        yield await stack.enter_async_context(client)


def tls_of(scheme: str, certificates: Certificates) -> tuple[ssl.SSLContext | None, dict[str, Any]]:
    if scheme == "http":
        return None, {}
    return certificates.server(), {"ssl_context": certificates.trusting()}


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_refusal_before_the_whole_request_was_sent_keeps_no_connection(
    scheme: str, certificates: Certificates
) -> None:
    """The rest of the request would precede the next one, and the server does not read it."""
    context, options = tls_of(scheme, certificates)
    async with deaf(TOO_LARGE, context) as server, client_of(server, "direct", **options) as client:
        for operation in (upload(), GET):
            with pytest.raises(APIError) as caught:
                await client.execute(operation)
            assert caught.value.status == 413
        assert len(server.accepted) == 2
        assert await server.rest() < SIZE


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_cancelled_upload_is_not_sent_to_its_end_and_leaves_no_socket(
    transport: TransportKind, scheme: str, certificates: Certificates
) -> None:
    context, options = tls_of(scheme, certificates)
    async with deaf(b"", context) as server, client_of(server, transport, **options) as client:
        call = asyncio.create_task(client.execute(upload()))
        await server.came.wait()
        before = descriptors()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5.0):
            while before and descriptors() >= before:  # noqa: ASYNC110 - nothing reports it
                await asyncio.sleep(0.01)
        assert await server.rest() < SIZE


@pytest.mark.parametrize("through", ["direct", "proxy"])
async def test_closing_the_client_ends_an_upload_that_the_server_does_not_read(
    through: str,
) -> None:
    async with deaf() as server:
        options = {} if through == "direct" else {"proxy": server.base_url}
        async with client_of(server, "direct", **options) as client:
            call = asyncio.create_task(client.execute(upload()))
            await server.came.wait()
            async with asyncio.timeout(PATIENCE / 2):
                await client.close()
                with pytest.raises(AmbiguousOutcomeError):
                    await call
        assert await server.rest() < SIZE
