"""A process that is suspended while its calls are in flight: `python -m tests.contract.paused`.

Arguments: asyncio or uvloop, and the addresses of servers. It makes calls to each server over both
transports, and prints one line for each call: the transport, the server's number, and its result.
"""

import asyncio
import contextlib
import sys

import aiohttp

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.operations.devices import GenerateConfig
from tests.support.server import DEVICES
from tests.support.ways import LOOPS

READ_SECONDS = 0.3


TRANSPORTS = ("direct", "session")


async def ends_of(base_url: str, transport: str) -> list[str]:
    async with contextlib.AsyncExitStack() as stack:
        session = None
        if transport == "session":
            session = await stack.enter_async_context(aiohttp.ClientSession())
        client = Client(
            "token-token",
            base_url=base_url,
            session=session,
            retry=RetryPolicy(attempts=1),
            timeouts=Timeouts(connect=READ_SECONDS, read=READ_SECONDS),
        )
        await stack.enter_async_context(client)
        calls = (
            client.execute(GenerateConfig(device_id=device, protocol="MQTT")) for device in DEVICES
        )
        ends = await asyncio.gather(*calls, return_exceptions=True)
        return [type(end).__name__ for end in ends]


async def main(*servers: str) -> None:
    pairs = [(transport, server) for transport in TRANSPORTS for server in servers]
    ends = await asyncio.gather(*(ends_of(server, transport) for transport, server in pairs))
    for (transport, server), names in zip(pairs, ends, strict=True):
        for name in names:
            sys.stdout.write(f"{transport} {servers.index(server)} {name}\n")


if __name__ == "__main__":
    loop, *addresses = sys.argv[1:]
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main(*addresses))
