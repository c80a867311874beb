"""A process that is suspended while its calls are in flight: `python -m tests.contract.paused`.

Arguments: the server's address, direct or session, asyncio or uvloop. It prints one line per call.
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


async def main(base_url: str, transport: str) -> None:
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
        for ended in await asyncio.gather(*calls, return_exceptions=True):
            sys.stdout.write(f"{type(ended).__name__}\n")


if __name__ == "__main__":
    address, kind, loop = sys.argv[1:]
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main(address, kind))
