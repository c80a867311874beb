"""A worker in a process of its own, to be killed: base URL, address, engine, folder, name."""

import asyncio
import importlib
import logging
import os
import signal
import sys
from typing import Any

from enapter_async import Client, RetryPolicy, fleet

LEASE = 1.0
HEARTBEAT = 1.5
TARGET = "TEMPORAL_TARGET"


def engine_at(name: str, address: str, heartbeat: float = HEARTBEAT) -> Any:
    """Return an engine; "tables" stands for none, where workers look into the job's tables."""
    if name == "tables":
        return None
    # Only this one, since the library of an engine takes as long to import as all the rest.
    kind = name.partition("-")[0]
    module = importlib.import_module(f"enapter_async.fleet.distributed.engines.{kind}")
    if name == "pgqueuer":
        return module.PgQueuerEngine(address, heartbeat=heartbeat)
    return module.TemporalEngine(os.environ[TARGET], heartbeat=heartbeat)


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
        sys.stdout.write(f"{os.getpid()}\n")
        sys.stdout.flush()
        await leaving.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    for other in ("pgqueuer", "psycopg", "temporalio"):  # they log the crashes of the database
        logging.getLogger(other).setLevel(logging.CRITICAL)
    asyncio.run(main(*sys.argv[1:]))
