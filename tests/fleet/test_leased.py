"""No attempt begins once another session may have taken over the run."""

import asyncio
from collections.abc import Callable

import attrs

from enapter_async.errors import Attempt
from enapter_async.fleet.leased import LeasedAttempts


@attrs.define
class StubLease:
    certain: asyncio.Event = attrs.field(factory=asyncio.Event)

    def is_certain(self) -> bool:
        return self.certain.is_set()

    async def until_certain(self) -> None:
        await self.certain.wait()

    def watch_stop(self, on_stop: Callable[[str], None]) -> None:
        raise NotImplementedError


@attrs.define
class OpenDoor:
    """An observer that delays no attempt."""

    waits: int = 0

    def may_begin(self) -> bool:
        return True

    async def begin(self) -> None:
        self.waits += 1

    def passed(self) -> None:
        raise NotImplementedError

    def failed(self, attempt: Attempt) -> None:
        raise NotImplementedError


async def test_an_attempt_begins_only_while_the_lease_is_certain() -> None:
    lease, door = StubLease(), OpenDoor()
    observer = LeasedAttempts(lease, door)
    assert not observer.may_begin()
    waiting = asyncio.create_task(observer.begin())
    await asyncio.sleep(0)
    assert not waiting.done()
    lease.certain.set()
    await waiting
    assert observer.may_begin()
    assert door.waits == 0
