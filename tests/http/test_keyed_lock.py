"""The turns of writers, without a server."""

import asyncio

from enapter_async._http.keyed_lock import KeyedLock


async def turned(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


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
    assert not turns.try_take("a"), "the turn belongs to the waiting writer"
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]
    assert turns.try_take("a")
    turns.give("a")
    turns.give("b")
    assert turns._waiting == {}, "devices without writers are forgotten"


async def test_a_turn_skips_cancelled_writers() -> None:
    turns = KeyedLock()
    assert turns.try_take("a")
    waiting = [asyncio.create_task(turns.take("a")) for _ in range(3)]
    await turned()
    waiting[0].cancel()
    await turned()
    assert len(turns._waiting["a"] or ()) == 2, "a cancelled writer leaves the queue"
    turns.give("a")
    waiting[1].cancel()  # the turn is granted to it, but not yet taken
    async with asyncio.timeout(60):
        await waiting[2]
    assert waiting[0].cancelled()
    assert waiting[1].cancelled()
    turns.give("a")
    assert turns._waiting == {}
