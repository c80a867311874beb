"""The observer of a call: asked before each attempt, and notified of how each ended."""

from typing import Any

import attrs
import pytest

from enapter_async._http.call import CallRecord
from enapter_async._http.retry import RetryPolicy
from enapter_async.errors import Attempt, NotFoundError
from enapter_async.operations.devices import UpdateDevice
from tests.support.clock import FakeClock
from tests.support.replies import close, errors, html
from tests.support.rig import UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, ignored


@attrs.define
class Diary:
    """An observer that admits the first attempt at once and records its notifications."""

    clock: FakeClock
    holds_for: float = 0.0
    entries: list[Any] = attrs.Factory(list)

    def may_begin(self) -> bool:
        if self.entries:
            return False
        self.entries.append("began")
        return True

    async def begin(self) -> None:
        self.entries.append("asked")
        await self.clock.sleep(self.holds_for)

    def passed(self) -> None:
        self.entries.append("passed")

    def failed(self, attempt: Attempt) -> None:
        self.entries.append((attempt.status, attempt.retry_after))


async def test_an_observer_is_called_before_and_after_each_attempt(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(errors(429, ("Retry-After", "2"))), ignored(close()))
    diary = Diary(clock)
    async with open_rig(transport, server, clock) as rig:
        await rig.client.call(UPDATE, record=CallRecord(observer=diary))
    assert diary.entries == ["began", (429, 2.0), "asked", (None, None), "asked", "passed"]


async def test_waiting_for_the_observer_does_not_use_up_the_deadline(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(html(502)))
    diary = Diary(clock, holds_for=3600.0)
    async with open_rig(transport, server, clock, retry=RetryPolicy(deadline=5.0)) as rig:
        await rig.client.call(UPDATE, record=CallRecord(observer=diary))
    assert diary.entries == ["began", (502, None), "asked", "passed"]


async def test_a_final_refusal_is_reported_too(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    diary = Diary(clock)
    async with open_rig(transport, server, clock) as rig:
        with pytest.raises(NotFoundError):
            await rig.client.call(
                UpdateDevice(device_id="dev-99", name="Nobody"), record=CallRecord(observer=diary)
            )
    assert diary.entries == ["began", (404, None)]
