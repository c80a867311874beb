"""Admission to a run: order, probes, and reports of waiting."""

import asyncio
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.errors import (
    Attempt,
    Certainty,
    DeadlineExceededError,
    EnapterError,
    HostDownError,
    NotFoundError,
    RateLimitedError,
)
from enapter_async.fleet.admission import Admission, Admitted
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.obstacles import Obstacles
from enapter_async.fleet.waits import Reason, Wait
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.limits.pacing import Pacing
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig
from tests.fleet.callers import rename, turns
from tests.fleet.ticking import Ticking

MINT = GenerateConfig(device_id="d", protocol="MQTT")
UNSENT = Attempt(number=1, certainty=Certainty.NOT_SENT, error_type="Told", elapsed=0.1)
THROTTLED = attrs.evolve(UNSENT, certainty=Certainty.REFUSED, status=429)
LOST = attrs.evolve(UNSENT, certainty=Certainty.MAYBE)


@attrs.define
class Door:
    """An admission on a clock that advances only by sleeping, and all of its reports."""

    ticking: Ticking = attrs.Factory(Ticking)
    reachable: bool = False
    knocks: int = 0
    waits: list[Wait | None] = attrs.Factory(list)
    overdue: list[EnapterError] = attrs.Factory(list)
    limiter: AdaptiveLimiter = attrs.field(init=False)
    obstacles: Obstacles = attrs.field(init=False)
    admission: Admission = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.limiter = AdaptiveLimiter(Pacing(), self.ticking.clock())
        self.obstacles = Obstacles(self.limiter, self.ticking.clock())
        self.admission = Admission(
            self.obstacles,
            self.ticking.clock(),
            connect=self.connect,
            on_overdue=self.overdue.append,
            on_wait=self.waits.append,
        )

    async def connect(self) -> None:
        self.knocks += 1
        if not self.reachable:
            raise HostDownError("no connection could be established: Connection refused")

    async def enter(self, operation: Operation[Any] | None = None) -> Admitted:
        return await self.admission.enter(operation or rename("d"))

    def enter_later(self, operation: Operation[Any] | None = None) -> "asyncio.Task[Admitted]":
        return asyncio.create_task(self.enter(operation))

    async def go_down(self) -> None:
        """Make one operation find that the host is down."""
        admitted = await self.enter()
        assert await admitted.kept_out(HostDownError("no connection could be made"))
        admitted.leave()


@pytest.fixture
def door() -> Door:
    return Door()


async def test_the_first_repeatable_operation_is_the_probe(door: Door) -> None:
    await door.go_down()
    mint = door.enter_later(MINT)
    update = door.enter_later()
    other = door.enter_later()
    await turns()
    assert update.done()
    assert not mint.done()
    assert not other.done()
    assert door.knocks == 0
    (await update).passed()
    await turns()
    assert mint.done(), "the host answers, and the queue continues in order"
    assert [each.reason if each else None for each in door.waits] == [Reason.HOST_DOWN, None]


async def test_without_a_repeatable_operation_the_probe_is_a_bare_connection(door: Door) -> None:
    await door.go_down()
    mints = [door.enter_later(MINT) for _ in range(3)]
    await turns(20)
    assert door.knocks > 3
    assert not any(each.done() for each in mints)
    # The longest time to a probe doubles each time (1 s, 2 s, 4 s, …), with randomness at its
    # maximum.
    assert door.ticking.slept[:4] == [1.0, 2.0, 4.0, 8.0]
    door.reachable = True
    await turns(40)
    assert mints[0].done()
    await door.admission.close()


async def test_a_long_outage_is_reported_once_and_admits_everything(
    door: Door,
) -> None:
    await door.go_down()
    mints = [door.enter_later(MINT) for _ in range(3)]
    await turns(400)
    assert [type(error) for error in door.overdue] == [PausedTooLongError]
    assert all(each.done() for each in mints)
    assert door.ticking.now == pytest.approx(1000.0 + 900.0)


async def test_release_all_admits_everything(door: Door) -> None:
    await door.go_down()
    waiting = [door.enter_later(MINT) for _ in range(100)]
    await turns()
    assert not any(each.done() for each in waiting)
    door.admission.release_all()
    await asyncio.gather(*waiting)


async def test_an_operation_that_gives_up_leaves_the_queue(door: Door) -> None:
    await door.go_down()
    first, second = door.enter_later(), door.enter_later()
    first.cancel()
    await turns()
    assert second.done(), "it becomes the probe instead"


async def test_a_cancelled_probe_is_not_an_answer(door: Door) -> None:
    await door.go_down()
    probe, other = door.enter_later(), door.enter_later()
    await turns()
    assert probe.done()
    (await probe).leave()
    await turns(20)
    assert other.done(), "the next one becomes a probe"


async def test_a_first_attempt_begins_at_once_and_later_ones_wait_for_the_host(door: Door) -> None:
    admitted = await door.enter()
    assert admitted.may_begin()
    admitted.failed(THROTTLED)
    assert not admitted.may_begin()
    await asyncio.wait_for(admitted.begin(), 60)
    await door.go_down()
    again = asyncio.create_task(admitted.begin())
    await turns(1)
    assert not again.done()
    await turns(20)
    assert again.done(), "it becomes the probe"


def refuse_everything(door: Door, told: float) -> None:
    for permit in [door.limiter.try_acquire() for _ in range(8)]:
        assert permit is not None
        door.limiter.refused(permit, told)


async def test_a_server_that_refuses_everything_causes_a_reported_wait(door: Door) -> None:
    admitted = await door.enter()
    refuse_everything(door, 3.0)
    admitted.failed(THROTTLED)
    began = door.ticking.now
    await door.enter()
    assert door.ticking.now - began == pytest.approx(3.0)
    assert [each.reason if each else None for each in door.waits] == [Reason.THROTTLED, None]


async def test_only_the_host_keeps_an_operation_out(door: Door) -> None:
    admitted = await door.enter()
    unsent = DeadlineExceededError("late", attempts=(UNSENT, UNSENT))
    lost = DeadlineExceededError("late", attempts=(UNSENT, LOST))
    refused = DeadlineExceededError("late", attempts=(UNSENT, THROTTLED))
    assert not await admitted.kept_out(NotFoundError("no", status=404))
    assert not await admitted.kept_out(DeadlineExceededError("late"))
    assert not await admitted.kept_out(lost)
    assert await admitted.kept_out(refused)
    assert await admitted.kept_out(unsent)


async def test_an_operation_with_retry_after_waits_alone(door: Door) -> None:
    admitted = await door.enter()
    admitted.passed()
    began = door.ticking.now
    asked = RateLimitedError("later", status=429, retry_after=300.0)
    assert await admitted.kept_out(asked)
    assert door.ticking.now - began == pytest.approx(300.0)
    assert door.waits == []
    admitted.passed()
    too_long = RateLimitedError("much later", status=429, retry_after=3600.0)
    assert not await admitted.kept_out(too_long), "others succeed: it fails alone"
    assert door.overdue == []


async def test_a_pause_beyond_the_cap_ends_the_run_where_nothing_gets_through(door: Door) -> None:
    admitted = await door.enter()
    assert await admitted.kept_out(RateLimitedError("later", status=429, retry_after=3600.0))
    (error,) = door.overdue
    assert "1:00:00" in str(error)
    assert "15:00" in str(error)


@given(
    st.lists(st.sampled_from(["passed", "refused", "throttled", "unsent", "gives up"]), max_size=60)
)
def test_whatever_happens_all_are_admitted(ends: list[str]) -> None:
    async def one(door: Door, end: str) -> None:
        admitted = await door.enter()
        assert admitted.may_begin()
        await asyncio.sleep(0)
        if end == "passed":
            admitted.passed()
        elif end == "refused":
            refused = attrs.evolve(THROTTLED, status=404)
            admitted.failed(refused)
        elif end == "throttled":
            admitted.failed(THROTTLED)
            await admitted.begin()
            admitted.passed()
        elif end == "unsent":
            admitted.failed(UNSENT)
        admitted.leave()

    async def all_of_them() -> None:
        door = Door()
        async with asyncio.timeout(60):
            await asyncio.gather(*(one(door, end) for end in ends))
        assert door.overdue == []
        await door.admission.close()

    asyncio.run(all_of_them())


@pytest.mark.parametrize(("looked_first", "begun"), [(True, 300), (False, 125)])
async def test_a_request_after_a_success_is_not_a_retry(
    door: Door, looked_first: bool, begun: int
) -> None:
    too_early = attrs.evolve(UNSENT, certainty=Certainty.REFUSED, status=425)
    number = 0
    # The budget starts with 100 retries; each operation but the first, which finds it full, adds
    # 0.2.
    while number < 300 and door.obstacles.to_begin() is None:
        admitted = await door.enter(rename(f"d{number}"))
        assert admitted.may_begin()
        if looked_first:
            admitted.passed()
        else:
            admitted.failed(too_early)
        assert not admitted.may_begin()
        await admitted.begin()
        admitted.passed()
        admitted.leave()
        number += 1
    assert number == begun
