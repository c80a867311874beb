"""A process that was suspended past its own limits (Ctrl-Z, a debugger, a frozen container).

Responses that arrived meanwhile are in the sockets, and are read before any call gives up.
"""

import asyncio
import os
import signal
import sys
from collections import Counter

import pytest

from tests.contract.paused import READ_SECONDS, TRANSPORTS
from tests.support.replies import awaiting, hang
from tests.support.server import DEVICES, FaultServer, applied
from tests.support.ways import LOOPS


@pytest.mark.parametrize("loop", LOOPS)
async def test_answers_that_arrived_during_the_suspension_are_read_and_others_given_up(
    loop: str, server: FaultServer
) -> None:
    told = asyncio.Event()
    server.always(applied(awaiting(told)))
    async with FaultServer() as silent:
        silent.always(applied(hang()))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.contract.paused", loop, server.base_url, silent.base_url,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        for each in (server, silent):
            await each.arrived(len(TRANSPORTS) * len(DEVICES))
        os.kill(process.pid, signal.SIGSTOP)
        told.set()
        await asyncio.sleep(READ_SECONDS * 2.5)
        os.kill(process.pid, signal.SIGCONT)
        out, _ = await process.communicate()
    assert Counter(out.decode().splitlines()) == {
        f"{transport} {number} {end}": len(DEVICES)
        for transport in TRANSPORTS
        for number, end in enumerate(("CommunicationConfig", "AmbiguousOutcomeError"))
    }
