"""What hooks receive about calls that succeed, wait, or are cut short."""

import asyncio

import attrs

from enapter_async._http.call import CallRecord
from enapter_async.errors import Attempt
from enapter_async.hooks import (
    AttemptPassed,
    AttemptStarted,
    CallEnded,
    CallStarted,
    ReadBack,
    Waited,
)
from enapter_async.limits.pacing import Pacing
from tests.support.clock import FakeClock
from tests.support.replies import errors, hang, truncated
from tests.support.rig import ASSIGN, GET, UPDATE, Rig, TransportKind, open_rig
from tests.support.server import FaultServer, applied


def kinds(rig: Rig, call: int) -> list[type]:
    return [type(event) for event in rig.events if event.call == call]


async def test_a_successful_attempt_is_reported(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        await rig.run(GET)
        begun, started, passed, ended = rig.events
    assert isinstance(begun, CallStarted)
    assert str(begun.base_url) == server.base_url
    assert isinstance(started, AttemptStarted)
    assert isinstance(passed, AttemptPassed)
    assert (started.number, passed.number, passed.status) == (1, 1, 200)
    assert isinstance(ended, CallEnded)
    assert 0 < passed.elapsed <= ended.elapsed


async def test_a_settling_read_is_reported(transport: TransportKind, server: FaultServer) -> None:
    server.script(applied(truncated()), applied(errors(404)))
    async with open_rig(transport, server) as rig:
        await rig.fails(UPDATE)
        (read,) = [event for event in rig.events if isinstance(event, ReadBack)]
    assert (read.operation, read.reading) == (UPDATE, GET)
    assert (read.status, read.error_type) == (404, "NotFoundError")
    assert read.elapsed > 0


async def test_two_clients_of_a_process_never_share_a_call_number(server: FaultServer) -> None:
    async with open_rig("direct", server) as one, open_rig("direct", server) as other:
        for rig in (one, other, one):
            await rig.run(GET)
        starts = [event for event in one.events + other.events if isinstance(event, CallStarted)]
    assert len({event.call for event in starts}) == 3


async def test_waits_for_a_turn_and_at_the_gate_are_reported(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(hang()))
    async with open_rig(transport, server, pacing=Pacing(max_in_flight=1)) as rig:
        calls = [asyncio.create_task(rig.run(each)) for each in (UPDATE, ASSIGN, GET)]
        await server.arrived(1)
        assert rig.told(CallStarted) == 3
        calls[0].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        waits = [event for event in rig.events if isinstance(event, Waited)]
        assert {(ASSIGN, "turn"), (GET, "gate")} <= {
            (each.operation, each.reason) for each in waits
        }
        assert all(each.seconds > 0 for each in waits)
        (cut,) = [each for each in rig.events if isinstance(each, CallEnded) and each.cancelled]
        assert kinds(rig, cut.call) == [CallStarted, AttemptStarted, CallEnded]


@attrs.define
class Slow:
    """An observer that holds each attempt back for a second."""

    clock: FakeClock

    def may_begin(self) -> bool:
        return False

    async def begin(self) -> None:
        await self.clock.sleep(1.0)

    def passed(self) -> None:
        pass

    def failed(self, attempt: Attempt) -> None:
        pass


async def test_operations_held_back_by_a_job_are_reported(
    server: FaultServer, clock: FakeClock
) -> None:
    async with open_rig("direct", server, clock) as rig:
        await rig.client.call(GET, record=CallRecord(observer=Slow(clock)))
        (waited,) = [event for event in rig.events if isinstance(event, Waited)]
    assert waited.reason == "pace"
    assert 1.0 <= waited.seconds < 1.5
