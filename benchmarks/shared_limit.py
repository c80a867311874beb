"""How precisely several processes keep to a cap that they share through PostgreSQL.

    python -m benchmarks.shared_limit               # about a minute

Three processes send to a server in this one, which records when each request arrives and answers
429 beyond a limit a tenth above the cap. Only the middle of each round is judged. Exit code 0: no
second has more than 1.02 of the cap, at least 0.97 of it is used, and nothing is refused. 1:
otherwise.
"""

import argparse
import asyncio
import bisect
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import attrs

from benchmarks.drivers import NAME, TOKEN
from benchmarks.figures import Verdict, spread
from benchmarks.limited_server import Bucket, LimitedServer
from benchmarks.parts import begin, command_line, finish, tell
from benchmarks.postgres import own_database
from benchmarks.report import Section, Table
from benchmarks.server import ROOT
from benchmarks.worker import DeviceIds
from enapter_async import Client, UpdateDevice
from enapter_async.limits.postgres import PostgresLimiter

CAP: Final = 500.0
SECONDS: Final = 6.0
ROUNDS: Final = 5
PROCESSES: Final = 3
CALLERS: Final = 16
ABOVE: Final = 1.1
"""The server's limit, as a multiple of the cap."""
EDGE_S: Final = 1.0
"""The beginning and the end of a round that do not count: processes start one after the other."""
MOST: Final = 1.02
LEAST_USED: Final = 0.97


@attrs.frozen(kw_only=True)
class Round:
    """One round: the most in any second and the mean rate, as shares of the cap, and the 429s."""

    worst: float
    used: float
    refused: int


class Noted:
    """A limit that records when it is queried."""

    def __init__(self, limit: Bucket) -> None:
        self._limit = limit
        self.arrivals: list[float] = []
        self.refused = 0

    def allows(self) -> bool:
        """Record a request, and return whether it may pass."""
        self.arrivals.append(time.monotonic())
        allowed = self._limit.allows()
        self.refused += not allowed
        return allowed


async def send(base_url: str, address: str, seconds: float) -> None:
    """Send updates as fast as the shared limit allows."""
    until = time.monotonic() + seconds
    ids = iter(DeviceIds(first=0, limit=sys.maxsize))

    async def work(client: Client) -> None:
        while time.monotonic() < until:
            await client.execute(UpdateDevice(device_id=next(ids), name=NAME))

    async with (
        PostgresLimiter(address, key="benchmark", max_rate=CAP) as limiter,
        Client(TOKEN, base_url=base_url, limiter=limiter) as client,
    ):
        await asyncio.gather(*(work(client) for _ in range(CALLERS)))


async def round_of(address: str, seconds: float) -> Round:
    """Serve and measure while the processes send."""
    noted = Noted(Bucket(ABOVE * CAP, int(CAP / 10)))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LimitedServer(noted, 0.0, None), "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    arguments = ("--send", base_url, address, str(seconds))
    async with server:
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.shared_limit", *arguments, cwd=ROOT
            )
            for _ in range(PROCESSES)
        ]
        ended = [await process.wait() for process in processes]
    if any(ended):
        raise RuntimeError(f"the processes ended with {ended}")
    return judged(noted.arrivals, noted.refused)


def judged(arrivals: Sequence[float], refused: int) -> Round:
    """Return the figures of a round without its edges."""
    first, last = arrivals[0] + EDGE_S, arrivals[-1] - EDGE_S
    counted = [each for each in arrivals if first <= each <= last]
    worst = max(
        bisect.bisect_left(arrivals, each + 1.0) - number for number, each in enumerate(arrivals)
    )
    return Round(worst=worst / CAP, used=len(counted) / (CAP * (last - first)), refused=refused)


def section(rounds: Sequence[Round]) -> Section:
    """Summarize, and judge the medians."""
    return Section(
        name="shared_limit",
        title="A cap that several processes share",
        lead=(
            f"{PROCESSES} processes with {CALLERS} callers each under one cap of {CAP:.0f} "
            "requests per second in PostgreSQL; the server refuses beyond "
            f"{ABOVE * CAP:.0f} per second."
        ),
        tables=(
            Table(
                headings=("the worst second / cap", "used / cap", "429"),
                rows=tuple(
                    (f"{each.worst:.3f}", f"{each.used:.3f}", str(each.refused)) for each in rounds
                ),
            ),
        ),
        verdicts=(
            Verdict(
                what="the most requests in any second / the cap",
                found=spread(each.worst for each in rounds),
                bound=MOST,
                at_most=True,
            ),
            Verdict(
                what="the mean rate / the cap",
                found=spread(each.used for each in rounds),
                bound=LEAST_USED,
            ),
            Verdict(
                what="requests refused with 429",
                found=spread(float(each.refused) for each in rounds),
                bound=0.0,
                at_most=True,
            ),
        ),
        data={"rounds": [attrs.asdict(each) for each in rounds]},
    )


async def measure(address: str, rounds: int, seconds: float) -> list[Round]:
    """Return each round's figures."""
    found = []
    for number in range(rounds):
        tell(f"shared limit: round {number + 1} of {rounds}")
        found.append(await round_of(address, seconds))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("shared_limit", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--send", nargs=3, help=argparse.SUPPRESS)
    options: Any = parser.parse_args(arguments)
    if options.send:
        base_url, address, seconds = options.send
        asyncio.run(send(base_url, address, float(seconds)))
        return 0
    with own_database() as address:
        rounds = asyncio.run(measure(address, options.rounds, options.seconds))
    return finish(section(rounds), options)


if __name__ == "__main__":
    begin(main)
