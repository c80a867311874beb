"""The engines that a job is tried with, each by its name."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError

from enapter_async.fleet.distributed.engines.pgqueuer import PgQueuerEngine
from tests.distributed.worker_process import TARGET
from tests.support.ports import free_port

ENGINES = ("tables", "pgqueuer", "temporal")
OLDER = "temporal-workflows"
"""Temporal with a server like those before 1.31, which start activities only in workflows."""


@contextlib.asynccontextmanager
async def prepared(name: str, address: str, folder: Path) -> AsyncIterator[None]:
    """Prepare what an engine needs, such as its tables, for as long as the block lasts."""
    if name == "pgqueuer":
        engine = PgQueuerEngine(address)
        await engine.prepare()
        await engine.prepare()  # safe to repeat
        await engine.close()
    if name not in ("temporal", OLDER):
        yield
        return
    async with temporal_server(folder, standalone=name != OLDER) as target:
        os.environ[TARGET] = target  # the workers inherit it
        yield


@contextlib.asynccontextmanager
async def temporal_server(
    folder: Path, port: int = 0, *, standalone: bool = True
) -> AsyncIterator[str]:
    """Run the development server of Temporal, on any port if it is 0; return its host and port.

    Unless `standalone`, it answers like a server before 1.31, which starts no activity by itself.
    """
    target = f"127.0.0.1:{port or free_port()}"
    program = Path(sys.executable).parent / "temporal"
    process = await asyncio.create_subprocess_exec(
        program, "server", "start-dev", "--headless", "--port", target.rpartition(":")[2],
        "--db-filename", folder / "temporal.db", "--log-level", "never",
        "--dynamic-config-value", f"activity.enableStandalone={str(standalone).lower()}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    client = await Client.connect(target)
                    await client.count_workflows()
                    break
                except (RPCError, RuntimeError):
                    await asyncio.sleep(0.1)
        yield target
    finally:
        process.terminate()
        await process.wait()
