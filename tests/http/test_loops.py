"""The loop, thread and process in which a client may be used, and the cost of checking them."""

import asyncio
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from enapter_async.client import Client
from enapter_async.errors import ConfigurationError
from tests.support.rig import GET, TOKEN
from tests.support.server import FaultServer

STRACE = shutil.which("strace")

CALLS = """
import asyncio, socket, sys, threading
from enapter_async import Client

BODY = b'{"device":{"id":"dev-1"}}'
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
server = socket.create_server(("127.0.0.1", 0))

def serve():
    connection, _ = server.accept()
    while connection.recv(65536):
        connection.sendall(HEAD % len(BODY) + BODY)

async def main():
    async with Client(base_url=f"http://127.0.0.1:{server.getsockname()[1]}") as client:
        for _ in range(int(sys.argv[1])):
            await client.devices.get("dev-1")

threading.Thread(target=serve, daemon=True).start()
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def json_library() -> None:
    """Run these tests once: they involve no JSON library."""


async def test_a_loop_that_moves_to_another_thread_keeps_its_client(
    server: FaultServer,
) -> None:
    found: list[object] = []

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()
        client = Client(TOKEN, base_url=server.base_url)
        try:
            loop.run_until_complete(client.__aenter__())
            found.append(loop.run_until_complete(client.execute(GET)))
            second = threading.Thread(
                target=lambda: found.append(loop.run_until_complete(client.execute(GET)))
            )
            second.start()
            second.join()
            with pytest.raises(ConfigurationError, match="on another event loop"):
                asyncio.run(client.execute(GET))
            loop.run_until_complete(client.close())
        finally:
            loop.close()

    await asyncio.to_thread(elsewhere)
    assert len(found) == 2
    assert len(server.arrivals) == 2


def process_ids_asked_for(calls: int, output: Path) -> int:
    """Return how often a process with that many calls asked the kernel for its id."""
    assert STRACE is not None
    ended = subprocess.run(  # noqa: S603 - our own interpreter, and strace
        [STRACE, "-f", "-e", "trace=getpid", "-o", output, sys.executable, "-c", CALLS, str(calls)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    if ended.returncode != 0 and "ptrace" in ended.stderr:
        pytest.skip("strace is not allowed to trace")
    assert ended.returncode == 0, ended.stderr
    return len(re.findall(r"getpid\(\)", output.read_text()))


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_a_call_does_not_query_the_process_id(tmp_path: Path) -> None:
    few = process_ids_asked_for(5, tmp_path / "few")
    many = process_ids_asked_for(105, tmp_path / "many")
    assert few > 0  # the trace works: a loop queries it when it begins
    assert many - few < 10
