"""`python -m tests.fuzz.held TRANSPORT PORT`: the memory that one answer makes a client hold.

Requests a page of devices from an honest server, then from the one at that port. Prints the maximum
growth of the process during the second, in KiB, and how it ended. Needs Linux's /proc, whose
high-water mark starts afresh in a new process, unlike that of `getrusage`.
"""

import asyncio
import sys
from pathlib import Path

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.errors import EnapterError
from enapter_async.operations.devices import ListDevices
from tests.support.rig import TransportKind, open_rig
from tests.support.server import FaultServer

TIMEOUTS = Timeouts(connect=5.0, read=2.0)
ONCE = RetryPolicy(attempts=1)


async def ask(transport: str, port: int) -> None:
    kind: TransportKind = "direct" if transport == "direct" else "session"
    async with FaultServer() as server:
        async with open_rig(kind, server, timeouts=TIMEOUTS) as rig:
            await rig.run(ListDevices())
        before = most_kib()
        url = f"http://127.0.0.1:{port}"
        async with open_rig(kind, server, base_url=url, timeouts=TIMEOUTS, retry=ONCE) as rig:
            try:
                await rig.run(ListDevices())
                told = "a value"
            except EnapterError as error:
                told = f"{type(error).__name__}: {error}"
    sys.stdout.write(f"{most_kib() - before} {told}\n")


def most_kib() -> int:
    """Return the peak memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (each for each in lines if each.startswith("VmHWM:"))
    return int(line.split()[1])


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], int(sys.argv[2])))
