"""Is a device online? The requests that find out, and the states that count as offline."""

from typing import Any

import pytest

from enapter_async._http.call import CallRecord
from enapter_async.errors import APIError, HostDownError
from enapter_async.fleet.reading import health_name, is_online
from enapter_async.models.devices import Connectivity, ConnectivityStatus, Device
from enapter_async.operation import Operation, Target
from enapter_async.operations.devices import GetDevice


class Answers:
    """Gives one answer to every request, and records the requests."""

    def __init__(self, answer: Device | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Operation[Any], bool]] = []

    async def call(
        self, operation: Operation[Any], *, record: CallRecord, patient: bool = False
    ) -> Any:
        self.asked.append((operation, patient))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def device(status: ConnectivityStatus | None) -> Device:
    connectivity = None if status is None else Connectivity(status=status)
    return Device(id="d", connectivity=connectivity)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (device(ConnectivityStatus.ONLINE), True),
        (device(ConnectivityStatus.OFFLINE), False),
        (device(None), False),
        (APIError("no", status=404), False),
        (HostDownError("down"), False),
    ],
    ids=["online", "offline", "says-nothing", "not-there", "host-down"],
)
async def test_only_an_explicit_status_is_online(
    answer: Device | Exception, expected: bool
) -> None:
    caller = Answers(answer)
    assert await is_online(caller, "d") is expected
    asked = GetDevice(device_id="d", expand=("connectivity",))
    assert caller.asked == [(asked, True)], "the read may wait at the gate like the job's writes"


@pytest.mark.parametrize("slug", ["d", "a:b", "UPPER Case"])
async def test_a_slug_is_asked_for_as_it_is(slug: str) -> None:
    caller = Answers(device(ConnectivityStatus.ONLINE))
    assert await is_online(caller, health_name(Target("device", slug)) or "")
    ((asked, _),) = caller.asked
    assert asked == GetDevice(device_id=slug, expand=("connectivity",))
