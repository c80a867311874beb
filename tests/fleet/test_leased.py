"""No attempt begins once another session may have taken over the run."""

import asyncio

import attrs
import pytest

from enapter_async import Client, UpdateDevice
from enapter_async._http.call import CallRecord
from enapter_async.errors import Attempt, TransportError
from enapter_async.fleet.errors import TakenOverError
from enapter_async.fleet.journal.lease import LeasedAttempts, SessionLease
from tests.support.server import FaultServer


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
    lease, door = SessionLease(4.0, lambda: 0.0), OpenDoor()
    observer = LeasedAttempts(lease, door)
    assert not observer.may_begin()
    waiting = asyncio.create_task(observer.begin())
    await asyncio.sleep(0)
    assert not waiting.done()
    lease.renewed(0.0)
    await waiting
    assert observer.may_begin()
    assert door.waits == 0


class EndingLease(SessionLease):
    """A lease that is lost once it has been checked more than `times` times."""

    times = 0
    taken = False

    def is_certain(self) -> bool:
        self.times -= 1
        return self.times >= 0

    async def until_certain(self) -> None:
        if self.taken:
            raise TakenOverError("taken over by another session")


@attrs.define
class Noting(OpenDoor):
    """Records how attempts failed."""

    failures: list[str] = attrs.field(factory=list)

    def passed(self) -> None:
        pass

    def failed(self, attempt: Attempt) -> None:
        self.failures.append(attempt.error_type)


async def test_nothing_is_sent_if_the_lease_ends_while_a_connection_is_made(
    server: FaultServer,
) -> None:
    operation, lease, door = (
        UpdateDevice(device_id="dev-1", name="New"),
        EndingLease(4.0, float),
        Noting(),
    )
    async with Client("t", base_url=server.base_url) as client:
        lease.times, lease.taken = 1, True  # certain before the connection, and not after it
        record = CallRecord(observer=LeasedAttempts(lease, door))
        with pytest.raises((TakenOverError, TransportError)):
            await client.call(operation, record=record)
        assert door.failures == ["Fenced"]
        assert server.seen == []
        lease.times = 100
        record = CallRecord(observer=LeasedAttempts(lease, door))
        await client.call(operation, record=record)
    assert server.seen == ["PATCH"]
    assert len(server.connections) == 1, "the connection was kept"
