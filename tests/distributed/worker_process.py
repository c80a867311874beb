"""A worker in a process of its own, to be killed: base URL, address, engine, folder, name."""

import asyncio
import logging
import signal
import sys

from enapter_async import Client, RetryPolicy, fleet
from tests.distributed.engines import engine_at

LEASE = 1.0


async def main(base_url: str, address: str, engine: str, folder: str, name: str) -> None:
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)

    def client_for(**settings: object) -> Client:
        return Client("emulator-token", base_url=base_url, retry=RetryPolicy(), **settings)  # type: ignore[arg-type]  # as given

    worker = fleet.Worker(
        client_for,
        address.partition("#")[0],
        slots=2,
        credentials=folder,
        name=name,
        lease=LEASE,
        engine=engine_at(engine, address),
    )
    async with worker:
        await leaving.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    for other in ("pgqueuer", "psycopg", "temporalio"):  # they log the crashes of the database
        logging.getLogger(other).setLevel(logging.CRITICAL)
    asyncio.run(main(*sys.argv[1:]))
