"""The contract of every engine: whatever dies, no promise of a job is broken."""

import pytest

from tests.distributed.engines import ENGINES
from tests.distributed.kills import trial_of
from tests.distributed.worker_process import LEASE
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
        assert took <= 2 * LEASE + 1.0 + SLACK_S[engine]
        told = await trial.run(kills=2, stops=1, crashes=1, apart=0.1)
    assert told.broken == []
    assert (told.kills, told.stops, told.crashes) == (2, 1, 1)


SLACK_S = {"tables": 1.0, "pgqueuer": 2.0, "temporal": 2.0}
"""What a busy machine adds, and the engine's own heartbeat."""
