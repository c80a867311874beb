"""The slots that the processes of one machine share."""

from pathlib import Path

import pytest

from enapter_async.clock import Clock
from enapter_async.limits.shared import Grant, SlotsAwayError
from enapter_async.limits.sqlite import SQLiteSlots


class Hands:
    """A clock that a test sets."""

    now = 5000.0

    def monotonic(self) -> float:
        return self.now


async def test_slots_follow_each_other_whichever_process_takes_them(tmp_path: Path) -> None:
    hands = Hands()
    clock = Clock(monotonic=hands.monotonic)
    one, two = (
        SQLiteSlots(path=tmp_path / "limit.db", max_rate=10.0, clock=clock) for _ in range(2)
    )
    assert await one.take(2) == Grant(number=2, begins_in=0.0, spacing=0.1)
    second = await two.take(64)
    assert second.number == 4, "none past the horizon"
    assert second.begins_in == pytest.approx(0.2)
    none = await one.take(1)
    assert none.number == 0
    assert none.begins_in == pytest.approx(0.35)
    hands.now += 10
    assert (await one.take(1)).begins_in == 0.0, "unused slots are lost"
    await two.pause(3.0)
    paused = await one.take(1)
    assert (paused.number, paused.paused) == (0, True)
    assert paused.begins_in == pytest.approx(3.0)
    hands.now -= 4000
    assert (await one.take(1)).number == 1, "a restarted machine starts afresh"
    await one.close()
    await two.close()


async def test_an_unusable_file_counts_as_unreachable_slots(tmp_path: Path) -> None:
    slots = SQLiteSlots(path=tmp_path / "missing" / "limit.db", max_rate=10.0)
    with pytest.raises(SlotsAwayError, match=r"limit\.db"):
        await slots.take(1)
