"""The shared limit over a real database: what all processes start together, and its outages."""

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.limits.postgres import PostgresLimiter
from tests.support.postgres import PostgresServer

RATE = 200


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that is running again after the test."""
    yield postgres_server
    postgres_server.crash()
    postgres_server.start()


async def starts(
    limiter: PostgresLimiter, seconds: float, found: list[float], least: int = 1
) -> None:
    """Start attempts of 20 ms, 16 at a time, and at least so many; record when each started."""
    until = time.monotonic() + seconds

    async def one() -> None:
        while time.monotonic() < until or len(found) < least:
            permit = limiter.try_acquire() or await limiter.acquire()
            found.append(time.monotonic())
            await asyncio.sleep(0.02)
            limiter.passed(permit)

    async with asyncio.timeout(60):
        await asyncio.gather(*(one() for _ in range(16)))


def most_within(times: list[float], seconds: float) -> int:
    times.sort()
    return max(sum(start <= each < start + seconds for each in times) for start in times)


async def test_processes_together_start_no_more_than_the_cap(postgres: str) -> None:
    async with (
        PostgresLimiter(postgres, key="a", max_rate=RATE) as one,
        PostgresLimiter(postgres, key="a", max_rate=RATE) as two,
        PostgresLimiter(postgres, key="b", max_rate=RATE) as other,
    ):
        found: list[float] = []
        elsewhere: list[float] = []
        await asyncio.gather(
            starts(one, 1.5, found, RATE),
            starts(two, 1.5, found, RATE),
            starts(other, 0.2, elsewhere),
        )
    # A busy machine starts some late, and wastes slots; how many are used on a quiet one is
    # measured by `benchmarks.shared_limit`, and asserted on a virtual clock in `test_shared`.
    assert most_within(found, 1.0) <= 1.1 * RATE
    assert elsewhere


def paused_until(address: str) -> float:
    with psycopg.connect(address) as connection:
        row = connection.execute("SELECT max(paused_until) FROM enapter_fleet.slot").fetchone()
    return float(row[0]) if row else 0.0


async def test_a_pause_reaches_the_other_processes(postgres: str) -> None:
    async with (
        PostgresLimiter(postgres, key="a", max_rate=RATE) as one,
        PostgresLimiter(postgres, key="a", max_rate=RATE) as two,
    ):
        for _ in range(6):
            permit, paused = await one.acquire(), time.monotonic()
            one.refused(permit, 0.4)
        while not paused_until(postgres):  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.01)
        permit = await two.acquire()
        assert time.monotonic() - paused >= 0.3
        two.passed(permit)


async def test_nothing_starts_while_the_database_is_unreachable(own_server: PostgresServer) -> None:
    address = own_server.new_database()
    async with PostgresLimiter(address, key="a", max_rate=RATE) as limiter:
        limiter.passed(await limiter.acquire())
        await asyncio.to_thread(own_server.crash)
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert "the shared limit cannot be reached" in str(limiter.pace())
        await asyncio.to_thread(own_server.start)
        async with asyncio.timeout(60):
            limiter.passed(await waiting)
        assert limiter.pace().blocked == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"address": "sqlite://x"}, "not a PostgreSQL address"),
        ({"key": ""}, "key is empty"),
        ({"max_rate": 0}, "max_rate"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"address": "postgresql://h/d", "key": "a", "max_rate": 5}
    with pytest.raises(ConfigurationError, match=message):
        PostgresLimiter(**(values | wrong))  # type: ignore[arg-type]  # the mistake is the point
