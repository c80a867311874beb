"""The package's real code on virtual time: only its transport and its clock are replaced."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
from multidict import CIMultiDict

from benchmarks.drivers import NAME, TOKEN
from benchmarks.limits.rows import WORKERS
from benchmarks.limits.world import Server
from enapter_async import Client, EnapterError, Pacing, UpdateDevice, fleet
from enapter_async._http.message import Message, Reply
from enapter_async._http.transport import Timeouts
from enapter_async.clock import Clock

_REFUSED: Final = b'{"errors":[{"code":"too_many_requests","message":"Slow down."}]}'
_LEAST_SLEEP: Final = 1e-6


class VirtualTransport:
    """Makes each exchange with a server of `world`, and records when it began."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.began: list[float] = []

    async def exchange(
        self,
        message: Message,
        *,
        max_bytes: int,
        left: float,
        timeouts: Timeouts,
    ) -> Reply:
        """Answer for the requested device, or refuse."""
        self.began.append(asyncio.get_running_loop().time())
        status, told = await self._server.exchange()
        headers = CIMultiDict({"Content-Type": "application/json"})
        if told is not None:
            headers["Retry-After"] = f"{told:g}"
        if status != 200:
            return Reply(status, headers, _REFUSED)
        device_id = message.target.rpartition("/")[2]
        body = f'{{"device":{{"id":"{device_id}","name":"{NAME}"}}}}'
        return Reply(status, headers, body.encode())

    async def reach(self, seconds: float) -> None:
        """Connect."""

    def distrust(self) -> None:
        """Do nothing: there is no connection to close."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


@asynccontextmanager
async def opened(
    server: Server, chance: random.Random, pacing: Pacing | None = None
) -> AsyncIterator[tuple[Client, VirtualTransport]]:
    """Open a client with everything on, whose exchanges a server of `world` answers."""
    loop = asyncio.get_running_loop()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(max(seconds, _LEAST_SLEEP))

    clock = Clock(monotonic=loop.time, wall=loop.time, sleep=sleep, uniform=chance.uniform)
    options: dict[str, Any] = {} if pacing is None else {"pacing": pacing}
    async with Client(TOKEN, base_url="http://127.0.0.1:9", clock=clock, **options) as client:
        transport = VirtualTransport(server)
        engine: Any = client._engine  # noqa: SLF001 - what is replaced lies inside
        replaced = attrs.evolve(engine.pipeline(), transport=transport)
        engine._pipeline = replaced  # noqa: SLF001 - what is replaced lies inside
        yield client, transport


async def jobs(server: Server, operations: int, clients: int, seed: int) -> float:
    """Carry out one fleet job for each client; return the seconds until the last has ended."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    count = operations // clients

    async def one(number: int) -> None:
        chance = random.Random(1_000 * seed + number)  # noqa: S311 - no secret
        async with opened(server, chance) as (client, _):
            report = await fleet.apply(
                client,
                (UpdateDevice(device_id=f"d{number}-{each}", name=NAME) for each in range(count)),
                concurrency=WORKERS,
                abort=None,
            )
        if report.counts[fleet.State.APPLIED] != count:
            raise RuntimeError(f"of {count} operations it says {dict(report.counts)}")

    await asyncio.gather(*(one(number) for number in range(clients)))
    return loop.time() - began


@attrs.frozen(kw_only=True)
class Calls:
    """The results of plain calls: how long each took, and the errors that some raised."""

    seconds: float
    waits: tuple[float, ...]
    errors: "Counter[str]"
    began: tuple[float, ...] = ()


async def gathered(
    server: Server, operations: int, seed: int, pacing: Pacing | None = None
) -> Calls:
    """Start that many updates at once with `asyncio.gather`, without a job."""
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    errors: Counter[str] = Counter()
    chance = random.Random(1_000 * seed)  # noqa: S311 - no secret
    async with opened(server, chance, pacing) as (client, transport):
        began = loop.time()
        await asyncio.gather(
            *(_timed(client, f"d-{each}", waits, errors) for each in range(operations))
        )
        seconds = loop.time() - began
    return Calls(seconds=seconds, waits=tuple(waits), errors=errors, began=tuple(transport.began))


async def mixed(server: Server, seconds: float, settled: float, seed: int) -> Calls:
    """Let 64 callers update and read for that long, like a backend; count once it has settled."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    waits: list[float] = []
    errors: Counter[str] = Counter()
    async with opened(server, random.Random(1_000 * seed)) as (client, _):  # noqa: S311 - no secret

        async def caller(number: int) -> None:
            turn = number
            while (now := loop.time() - began) < seconds:
                kept = waits if now >= settled else []
                await _timed(client, f"d-{number}-{turn}", kept, errors, reads=turn % 2 == 0)
                turn += 1

        await asyncio.gather(*(caller(number) for number in range(WORKERS)))
    return Calls(seconds=loop.time() - began, waits=tuple(waits), errors=errors)


async def _timed(
    client: Client,
    device_id: str,
    waits: list[float],
    errors: "Counter[str]",
    *,
    reads: bool = False,
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        if reads:
            await client.devices.get(device_id)
        else:
            await client.devices.update(device_id, name=NAME)
    except EnapterError as error:
        errors[type(error).__name__] += 1
    else:
        waits.append(loop.time() - began)
