"""A process that was suspended past its own limits (Ctrl-Z, a debugger, a frozen container).

Responses that arrived meanwhile are in the sockets, and are read before any call gives up.
"""

import asyncio
import os
import signal
import sys

import pytest

from tests.contract.paused import READ_SECONDS
from tests.support.replies import awaiting, hang
from tests.support.server import DEVICES, FaultServer, applied
from tests.support.ways import LOOPS


async def run_stopped(server: FaultServer, kind: str, loop: str, told: asyncio.Event) -> list[str]:
    """Suspend a process after its requests have arrived, and continue it after the response."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.paused", server.base_url, kind, loop,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await server.arrived(len(DEVICES))
    os.kill(process.pid, signal.SIGSTOP)
    told.set()
    await asyncio.sleep(READ_SECONDS * 2.5)
    os.kill(process.pid, signal.SIGCONT)
    out, _ = await process.communicate()
    return out.decode().split()


@pytest.mark.parametrize("loop", LOOPS)
async def test_answers_that_arrived_during_the_suspension_are_read(
    transport: str, loop: str, server: FaultServer
) -> None:
    told = asyncio.Event()
    server.always(applied(awaiting(told)))
    ended = await run_stopped(server, transport, loop, told)
    assert ended == ["CommunicationConfig"] * len(DEVICES)


async def test_unanswered_requests_are_still_given_up(transport: str, server: FaultServer) -> None:
    server.always(applied(hang()))
    ended = await run_stopped(server, transport, "asyncio", asyncio.Event())
    assert ended == ["AmbiguousOutcomeError"] * len(DEVICES)
