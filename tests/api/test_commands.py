"""`client.commands` against the emulator, whose log shows what the devices did."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Latency
from enapter_async.emulator.commands import Behaviour, Commands
from enapter_async.errors import (
    AmbiguousOutcomeError,
    ArgumentError,
    ConfigurationError,
    NotFoundError,
    ResultDiffersError,
    StillPendingError,
    UnprocessableError,
)
from tests.emulator.fleets import BARN, PUMP, UCM, small_world
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def emulator(clock: FakeClock) -> AsyncIterator[Emulator]:
    world = small_world(now=clock.wall)
    async with Emulator(world=world, now=clock.wall) as emulator:
        yield emulator


@pytest.fixture
def commands(emulator: Emulator) -> Commands:
    return emulator.noun(Commands)


@pytest_asyncio.fixture
async def client(emulator: Emulator, clock: FakeClock) -> AsyncIterator[Client]:
    policy = RetryPolicy(attempts=2, base_delay=0.01)
    async with Client(
        emulator.token, base_url=emulator.base_url, retry=policy, clock=clock.clock()
    ) as client:
        yield client


def ran(emulator: Emulator) -> int:
    return emulator.world.count("ran", device_id=PUMP)


async def test_execute_creates_once_and_reads_until_the_end(
    emulator: Emulator, commands: Commands, client: Client, clock: FakeClock
) -> None:
    commands.behave("reboot", Behaviour(latency=6.0, payload={"uptime": 0}))
    for site_id in (None, BARN):
        found = await client.commands.execute("pump", "restart", {"delay": 5}, site_id=site_id)
        assert (found.state, found.device_id, found.ended) == ("SUCCESS", PUMP, True)
        assert found.request is not None
        assert (found.request.name, found.request.manifest_name) == ("restart", "reboot")
        assert found.response is not None
        assert (found.response.state, found.response.payload) == ("SUCCEEDED", {"uptime": 0})
        assert found.created_at is not None
        assert found.created_at.tzinfo is UTC
    assert clock.sleeps == [0.5, 1.0, 2.0, 4.0] * 2
    assert ran(emulator) == 2


async def test_each_bad_ending_is_its_own_error(
    emulator: Emulator, commands: Commands, client: Client
) -> None:
    commands.behave("reboot", Behaviour(ending="error", payload={"reason": "busy"}))
    with pytest.raises(ResultDiffersError, match="ended in ERROR: busy") as differs:
        await client.commands.execute(PUMP, "reboot", {"delay": 5})
    assert ran(emulator) == 1
    with pytest.raises(ResultDiffersError, match="ended in ERROR: busy"):
        await client.commands.execute_blocking(PUMP, "reboot", {"delay": 5})
    commands.behave("reboot", Behaviour(ending="time out"))
    with pytest.raises(AmbiguousOutcomeError, match="TIMEOUT: the device did not answer"):
        await client.commands.execute(PUMP, "reboot", {"delay": 5})
    commands.behave("reboot", Behaviour(unsynced=True))
    with pytest.raises(AmbiguousOutcomeError, match="UNSYNC: the gateway did not report"):
        await client.commands.execute(PUMP, "reboot", {"delay": 5})
    assert emulator.world.count("create_execution") == 4
    states = [each.state async for each in client.commands.list(PUMP)]
    assert states == ["ERROR", "ERROR", "TIMEOUT", "UNSYNC"]
    assert differs.value.subject == PUMP


async def test_what_outlives_the_wait_is_pending_and_can_be_followed(
    emulator: Emulator, commands: Commands, client: Client
) -> None:
    commands.behave("reboot", Behaviour(latency=100.0))
    with pytest.raises(StillPendingError, match="did not end in the given time") as pending:
        await client.commands.execute(PUMP, "reboot", {"delay": 5}, wait=timedelta(seconds=5))
    assert pending.value.result.state == "IN_PROGRESS"
    found = await client.commands.follow(PUMP, pending.value.result.id, wait=timedelta(minutes=9))
    assert found.state == "SUCCESS"
    with pytest.raises(StillPendingError) as at_once:
        await client.commands.execute(PUMP, "reboot", {"delay": 5}, wait=timedelta())
    assert at_once.value.result.id == commands.executions(PUMP)[-1]["id"]
    assert ran(emulator) == 2


async def test_a_lost_answer_to_the_creation_names_what_it_may_have_created(
    emulator: Emulator, client: Client
) -> None:
    await client.commands.create(PUMP, "reboot", {"delay": 5})
    await client.commands.create(PUMP, "reboot", {"delay": 6})
    emulator.faults.add(Drop(after_effect=True), method="POST")
    with pytest.raises(AmbiguousOutcomeError, match="a search found 2") as lost:
        await client.commands.execute(PUMP, "reboot", {"delay": 5})
    # Created within two seconds, so that the times do not tell which is which.
    assert [each.request.arguments for each in lost.value.candidates] == [{"delay": 5}] * 2
    assert ran(emulator) == 3


async def test_a_blocking_call_may_take_longer_than_other_calls(
    emulator: Emulator, client: Client
) -> None:
    emulator.faults.add(Latency(seconds=0.3), method="POST")
    brisk = client.with_options(timeouts=Timeouts(read=0.1))
    found = await brisk.commands.execute_blocking(PUMP, "reboot", {"delay": 5}, expand_log=True)
    assert found.state == "SUCCESS"
    assert found.log is not None
    assert [each.state for each in found.log] == ["SUCCEEDED", "STARTED"]


async def test_executions_are_listed_by_every_filter(
    commands: Commands, client: Client, clock: FakeClock
) -> None:
    first = await client.commands.create(PUMP, "reboot", {"delay": 5})
    clock.skipped += 60
    commands.behave("reboot", Behaviour(ending="never answer"))
    second = await client.commands.create(PUMP, "restart", {"delay": 5})
    hidden = await client.commands.create(PUMP, "reboot", {"delay": 5}, ephemeral=True)
    third = await client.commands.create(UCM, "reboot", {"delay": 5})
    since = datetime.fromtimestamp(clock.wall() - 30, UTC)

    async def listed(*device: str, **filters: Any) -> list[str]:
        return [each.id async for each in client.commands.list(*device, **filters)]

    assert await listed(PUMP) == [first, second]
    assert await listed("pump", site_id=BARN, order="CREATED_AT_DESC") == [second, first]
    assert await listed(site_id=BARN) == [first, second, third]
    assert await listed(site_id=BARN, device_ids=[UCM]) == [third]
    assert await listed(PUMP, states=["SUCCESS"]) == [first]
    assert await listed(PUMP, names=["restart"]) == [second]
    assert await listed(PUMP, created_at_gte=since) == [second]
    assert await listed(PUMP, created_at_lt=since) == [first]
    assert (await client.commands.get(PUMP, hidden)).ephemeral is True


async def test_refusals_are_those_of_any_call(emulator: Emulator, client: Client) -> None:
    with pytest.raises(UnprocessableError, match="no such command"):
        await client.commands.execute(PUMP, "explode")
    with pytest.raises(UnprocessableError, match="out of range"):
        await client.commands.execute(PUMP, "reboot", {"delay": -1})
    with pytest.raises(NotFoundError):
        await client.commands.get(PUMP, "none")
    arrived = emulator.world.log.count_arrivals()
    with pytest.raises(ConfigurationError, match="time zone"):
        async for _ in client.commands.list(PUMP, created_at_gte=datetime(2026, 1, 1)):  # noqa: DTZ001 - this is the point
            pass
    assert emulator.world.log.count_arrivals() == arrived
    assert emulator.world.count("create_execution") == 0


async def test_a_wrong_wait_is_refused_before_anything_is_sent(
    emulator: Emulator, client: Client
) -> None:
    for wait in (0.5, timedelta(seconds=-1)):
        wrong: Any = wait
        with pytest.raises(ArgumentError, match="wait must be a timedelta"):
            await client.commands.execute(PUMP, "reboot", wait=wrong)
    assert emulator.world.log.count_arrivals() == 0
