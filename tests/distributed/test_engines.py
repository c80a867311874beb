"""The contract of every engine: whatever dies, no promise of a job is broken."""

import asyncio
import logging
from pathlib import Path

import pytest
from temporalio.client import Client

from enapter_async.fleet.distributed.engines import pgqueuer
from enapter_async.fleet.distributed.engines.temporal import TemporalEngine
from tests.distributed.engines import ENGINES, temporal_server
from tests.distributed.kills import trial_of
from tests.support.postgres import PostgresServer, is_installed

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="PostgreSQL is not installed"),
    pytest.mark.timeout(180),
]


@pytest.mark.parametrize("engine", ENGINES)
async def test_no_promise_is_broken_when_workers_and_the_database_die(
    engine: str, postgres_server: PostgresServer
) -> None:
    """`python -m tests.distributed.kills` does the same more often; `.ci/run` calls it."""
    async with trial_of(engine, 7, postgres_server, devices=40, workers=2) as trial:
        took = await trial.take_over()
        # A quiet machine needs a lease and a heartbeat of a second each; a busy one, much longer.
        assert took < 25, "without them, the partition would wait for ever"
        told = await trial.run(kills=2, stops=1, crashes=1, apart=0.1)
    assert told.broken == []
    assert (told.kills, told.stops, told.crashes) == (2, 1, 1)


async def test_a_queued_key_is_delivered_by_its_notification(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgqueuer, "POLL_S", 300.0)
    engine = pgqueuer.PgQueuerEngine(database)
    await engine.prepare()
    delivered: asyncio.Queue[str] = asyncio.Queue()
    working = asyncio.create_task(engine.work(delivered.put, None, 1))
    try:
        for key in map(str, range(8)):  # the end of a delivery looks for the next, and finds a few
            await engine.submit(key, "default")
            assert await asyncio.wait_for(delivered.get(), 60.0) == key
    finally:
        working.cancel()
        await asyncio.wait({working})
        await engine.close()


async def test_temporal_needs_a_workflow_only_with_an_older_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "enapter_async.worker")
    async with temporal_server(tmp_path, standalone=False) as target:
        older = TemporalEngine(target)
        for key in ("job/1", "job/2", "job/1"):
            await older.submit(key, "default")
    told = f"Temporal at {target} (Standalone activity is disabled) starts activities only in "
    assert told in caplog.text
    # The server is replaced by a newer one, and workers deliver what was started before.
    async with temporal_server(tmp_path, int(target.rpartition(":")[2])):
        engine = TemporalEngine(target)
        for key in ("job/3", "job/3"):
            await engine.submit(key, "default")
        delivered: asyncio.Queue[str] = asyncio.Queue()
        working = asyncio.create_task(engine.work(delivered.put, None, 2))
        async with asyncio.timeout(60):
            keys = {await delivered.get() for _ in range(3)}
            client = await Client.connect(target)
            while (await client.count_activities("")).count < 1:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.05)
            workflows = (await client.count_workflows()).count
        working.cancel()
        await asyncio.wait({working})
    assert keys == {"job/1", "job/2", "job/3"}
    assert (workflows, delivered.qsize()) == (2, 0)
    assert caplog.text.count("starts activities only in ") == 1
