"""The gate that all attempts pass, and the turns of those who write: without a server."""

import asyncio
from collections.abc import Callable

import pytest

from enapter_async._http.pacing import Gate, KeyedLock, Pacing, within
from enapter_async.clock import Clock
from enapter_async.errors import ConfigurationError


class Hands:
    """A clock that stands still but for its sleeps, which take no time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def gate(hands: Hands) -> Callable[..., Gate]:
    return lambda **pacing: Gate(Pacing(**pacing), hands.clock())


async def turned(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_as_many_pass_as_there_are_places(gate: Callable[..., Gate]) -> None:
    two = gate(max_in_flight=2)
    assert [two.try_enter() for _ in range(3)] == [True, True, False]
    assert two.in_flight == 2
    third = asyncio.create_task(two.enter())
    await turned()
    assert not third.done()
    two.leave()
    await turned()
    assert third.done()
    assert two.in_flight == 2
    assert not two.try_enter()


async def test_places_that_become_free_together_are_all_used(gate: Callable[..., Gate]) -> None:
    two = gate(max_in_flight=2)
    assert two.try_enter()
    assert two.try_enter()
    waiting = [asyncio.create_task(two.enter()) for _ in range(2)]
    await turned()
    two.leave()
    two.leave()
    await turned()
    assert all(task.done() for task in waiting)
    assert two.in_flight == 2


async def test_nobody_overtakes_who_waits(gate: Callable[..., Gate]) -> None:
    one = gate(max_in_flight=1)
    assert one.try_enter()
    order: list[int] = []

    async def pass_through(number: int) -> None:
        await one.enter()
        order.append(number)
        one.leave()

    waiting = [asyncio.create_task(pass_through(number)) for number in range(4)]
    await turned()
    one.leave()
    assert not one.try_enter(), "the free place belongs to who waits"
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3]
    assert one.in_flight == 0
    assert one.try_enter()


async def test_who_gives_up_lets_the_next_one_go(gate: Callable[..., Gate]) -> None:
    one = gate(max_in_flight=1)
    assert one.try_enter()
    first, second = (asyncio.create_task(one.enter()) for _ in range(2))
    await turned()
    one.leave()
    first.cancel()  # called already, and not yet gone
    await asyncio.gather(first, return_exceptions=True)
    await turned()
    assert first.cancelled()
    assert second.done()
    assert one.in_flight == 1


async def test_who_gives_up_while_it_sleeps_first_in_line_leaves_its_place_to_the_next(
    hands: Hands,
) -> None:
    gone = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if not gone.is_set():
            await asyncio.Event().wait()
        await hands.sleep(seconds)

    two = Gate(Pacing(max_in_flight=2), Clock(monotonic=lambda: hands.now, sleep=sleep))
    two.pause(7.0, two.epoch)
    first, second = (asyncio.create_task(two.enter()) for _ in range(2))
    await turned()
    first.cancel()
    gone.set()
    await asyncio.gather(first, return_exceptions=True)
    await turned(10)
    assert second.done()
    assert hands.slept == [7.0]


async def test_a_pause_is_for_everybody_and_then_one_goes_first(
    gate: Callable[..., Gate], hands: Hands
) -> None:
    four = gate(max_in_flight=4)
    assert four.try_enter()
    epoch = four.epoch
    four.pause(10.0, epoch)
    four.leave()
    assert four.pause_seconds() == 10.0
    assert not four.try_enter()
    hands.now += 9.99
    assert not four.try_enter()
    hands.now += 0.01
    assert four.pause_seconds() <= 0.0
    assert four.try_enter(), "the pause is over at its very end"
    assert four.pause_seconds() == 0.0
    assert not four.try_enter(), "one goes first"
    four.widen(epoch)
    assert not four.try_enter(), "an attempt from before the pause says nothing"
    for allowed in (2, 4, 4):
        four.widen(four.epoch)
        passed = 0
        while four.try_enter():
            passed += 1
        assert four.in_flight == allowed
        for _ in range(passed):
            four.leave()


async def test_the_places_after_a_pause_never_pass_the_limit(
    gate: Callable[..., Gate], hands: Hands
) -> None:
    three = gate(max_in_flight=3)
    three.pause(1.0, three.epoch)
    hands.now += 1.0
    assert three.try_enter()
    for _ in range(3):
        three.widen(three.epoch)
    while three.try_enter():
        pass
    assert three.in_flight == 3


async def test_while_it_lasts_a_pause_is_not_widened(
    gate: Callable[..., Gate], hands: Hands
) -> None:
    four = gate(max_in_flight=4)
    four.pause(1.0, four.epoch)
    hands.now += 1.0
    assert four.try_enter()
    four.pause(1.0, four.epoch)
    four.widen(four.epoch)
    hands.now += 1.0
    four.leave()
    assert four.try_enter()
    assert not four.try_enter()


async def test_many_429s_of_one_time_are_one_event(gate: Callable[..., Gate]) -> None:
    four = gate(max_in_flight=4)
    assert (four.epoch, four.level) == (0, 0)
    four.pause(10.0, 0)
    four.pause(5.0, 0)
    assert (four.epoch, four.level) == (1, 1)
    assert four.pause_seconds() == 10.0, "the longest counts"
    four.pause(12.0, 1)
    assert (four.epoch, four.level) == (2, 2)
    assert four.pause_seconds() == 12.0
    four.widen(1)
    assert four.level == 2
    four.widen(2)
    assert four.level == 0


async def test_who_waits_sleeps_through_a_pause(gate: Callable[..., Gate], hands: Hands) -> None:
    two = gate(max_in_flight=2)
    two.pause(7.0, two.epoch)
    entered = [asyncio.create_task(two.enter()) for _ in range(2)]
    await turned(10)
    assert hands.slept == [7.0]
    assert [task.done() for task in entered] == [True, False], "one goes first"
    two.widen(two.epoch)
    two.leave()
    await turned(10)
    assert entered[1].done()
    assert two.in_flight == 1


async def test_requests_are_spaced_evenly_and_never_made_up_for(
    gate: Callable[..., Gate], hands: Hands
) -> None:
    spaced = gate(max_in_flight=100, max_rate=4.0)
    assert spaced.try_enter()
    assert not spaced.try_enter()
    hands.now += 0.25
    assert spaced.try_enter()
    hands.now += 10.0
    assert spaced.try_enter()
    assert not spaced.try_enter(), "what was not used is not saved up"
    for _ in range(3):
        await spaced.enter()
    assert hands.slept == [0.25] * 3


async def test_at_the_beginning_of_all_time_the_first_goes_at_once(
    gate: Callable[..., Gate], hands: Hands
) -> None:
    hands.now = 0.0
    assert gate(max_rate=4.0).try_enter()


async def test_writers_take_turns_in_order() -> None:
    turns = KeyedLock()
    assert turns.try_take("a")
    assert turns.try_take("b")
    assert not turns.try_take("a")
    order: list[int] = []

    async def write(number: int) -> None:
        await turns.take("a")
        order.append(number)
        turns.give("a")

    waiting = [asyncio.create_task(write(number)) for number in range(3)]
    await turned()
    assert order == []
    turns.give("a")
    assert not turns.try_take("a"), "the turn belongs to who waits"
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]
    assert turns.try_take("a")
    turns.give("a")
    turns.give("b")
    assert turns._waiting == {}, "nothing is remembered of devices that nobody writes to"


async def test_a_turn_goes_past_those_who_gave_up() -> None:
    turns = KeyedLock()
    assert turns.try_take("a")
    waiting = [asyncio.create_task(turns.take("a")) for _ in range(3)]
    await turned()
    waiting[0].cancel()
    await turned()
    assert len(turns._waiting["a"] or ()) == 2, "who gave up does not stay in line"
    turns.give("a")
    waiting[1].cancel()  # the turn is given to it, and not yet taken
    async with asyncio.timeout(1):
        await waiting[2]
    assert waiting[0].cancelled()
    assert waiting[1].cancelled()
    turns.give("a")
    assert turns._waiting == {}


async def test_a_wait_of_a_time_says_whether_it_came() -> None:
    assert await within(1.0, lambda: asyncio.sleep(0))
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    assert not await within(0.01, lambda: never)


def test_pacing_is_given_by_name() -> None:
    with pytest.raises(TypeError):
        Pacing(5)  # type: ignore[call-arg]  # what is wrong is the point


def test_the_defaults_are_the_documented_ones() -> None:
    assert (Pacing().max_in_flight, Pacing().max_rate) == (100, None)


@pytest.mark.parametrize("places", [0, -1, True, 1.0])
def test_places_that_make_no_sense_are_refused(places: int) -> None:
    with pytest.raises(ConfigurationError, match="max_in_flight"):
        Pacing(max_in_flight=places)


def test_one_place_and_any_rate_make_sense() -> None:
    assert Pacing(max_in_flight=1, max_rate=0.001).max_in_flight == 1
    with pytest.raises(ConfigurationError, match="max_rate"):
        Pacing(max_rate=0.0)
