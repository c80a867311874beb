"""Between two waves, without a server: what is read, what is reported, and what is refused."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import pytest

from enapter_async._http.call import CallRecord
from enapter_async.clock import Clock
from enapter_async.errors import HostDownError, NotFoundError
from enapter_async.fleet.errors import WaveNotPassedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.outcomes import (
    Outcome,
    RunEvent,
    RunGoesOn,
    RunWaiting,
    State,
    WaveBegan,
    WavePassed,
)
from enapter_async.fleet.planning.drift import Guard, GuardMode, StateGuard
from enapter_async.fleet.rollout.wave_runner import WaveRunner
from enapter_async.fleet.rollout.waves import HealthGate, Rollout
from enapter_async.fleet.waits import Reason, Wait
from enapter_async.models.devices import Connectivity, ConnectivityStatus, Device
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GetDevice
from tests.fleet.callers import ScriptedCaller, rename

T = TypeVar("T")

NOW = 1000.0
Shown = Device | Exception


def device(device_id: str, name: str = "new", *, online: bool = False) -> Device:
    status = ConnectivityStatus.ONLINE if online else ConnectivityStatus.OFFLINE
    return Device(id=device_id, name=name, connectivity=Connectivity(status=status))


class Looking(ScriptedCaller):
    """Shows the scripted states of each device in turn; the last one remains."""

    def __init__(self, shown: dict[str, list[Shown]]) -> None:
        super().__init__(self._show)
        self._shown = shown
        self.patient: set[bool] = set()

    async def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> T:
        self.patient.add(patient)
        return await super().call(operation, record=record, patient=patient)

    async def _show(self, operation: Operation[Any]) -> Device:
        await asyncio.sleep(0)
        assert isinstance(operation, GetDevice)
        device_id = operation.device_id
        turns = self._shown.get(device_id, [device(device_id)])
        shown = turns.pop(0) if len(turns) > 1 else turns[0]
        if isinstance(shown, Exception):
            raise shown
        return shown

    @property
    def looked_at(self) -> list[str]:
        return [each.device_id for each in self.began if isinstance(each, GetDevice)]


class Watching:
    """A guard that records what it is asked to read, and fails to read from wave 1 on."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[str | None]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    async def before_wave(self, number: int, works: Callable[[], Iterator[WorkItem]]) -> None:
        self.asked.append((number, [work.operation.subject() for work in works()]))
        if number:
            raise HostDownError("down")

    async def check(self, work: WorkItem) -> str | None:
        raise AssertionError("the engine must ask this")


class Stand:
    """A wave runner with a clock that advances only by its sleeps."""

    def __init__(
        self,
        rollout: Rollout,
        works: Sequence[WorkItem] = (),
        *,
        sizes: list[int] | None = None,
        shown: dict[str, list[Shown]] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.now = NOW
        self.slept: list[float] = []
        self.events: list[RunEvent] = []
        self.caller = Looking(shown or {})
        self._works = works
        self.stages = WaveRunner(
            rollout,
            self.caller,
            Clock(monotonic=lambda: self.now, sleep=self._sleep),
            sizes=sizes,
            items_of=self._items_of,
            log=None,
            guard=guard or StateGuard(self.caller, GuardMode.NONE),
            on_event=self.events.append,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def _items_of(self, wave: int) -> Iterator[WorkItem]:
        return (work for work in self._works if work.wave == wave)

    def applied(self, *operations: Operation[Any]) -> None:
        for operation in operations:
            self.stages.ended(Outcome(operation=operation, state=State.APPLIED))


WAITS_FOR_THE_LOOK = RunWaiting(
    wait=Wait(reason=Reason.READ_BACK, since=NOW, detail="reading back 2 devices of wave 1")
)


async def test_a_wave_is_described_by_number_size_and_count() -> None:
    stand = Stand(Rollout(), sizes=[3, 4])
    waves = [stand.stages.wave]
    for wave in range(2):
        await stand.stages.turn_to(wave)
        waves.append(stand.stages.wave)
    assert waves == [None, 0, 1]
    assert stand.events == [
        WaveBegan(number=1, size=3, waves=2),
        WavePassed(number=1, read_back=0),
        WaveBegan(number=2, size=4, waves=2),
    ]
    assert stand.slept == []


async def test_unknown_sizes_are_not_reported() -> None:
    stand = Stand(Rollout())
    await stand.stages.turn_to(0)
    assert stand.events == [WaveBegan(number=1, size=None, waves=None)]


async def test_an_outcome_before_any_wave_belongs_to_none() -> None:
    stand = Stand(Rollout())
    stand.applied(rename("a"))
    await stand.stages.turn_to(0)
    await stand.stages.finish()
    assert stand.caller.began == []


async def test_reading_a_wave_back_is_reported_and_may_wait_at_the_gate() -> None:
    stand = Stand(Rollout())
    await stand.stages.turn_to(0)
    stand.applied(rename("a"), rename("b"))
    await stand.stages.turn_to(1)
    assert stand.events == [
        WaveBegan(number=1),
        WAITS_FOR_THE_LOOK,
        RunGoesOn(),
        WavePassed(number=1, read_back=2),
        WaveBegan(number=2),
    ]
    assert stand.caller.looked_at == ["a", "b"]
    assert stand.caller.patient == {True}
    assert stand.slept == []


async def test_the_third_wave_is_not_read_back_and_may_have_failures() -> None:
    stand = Stand(Rollout())
    for wave in range(3):
        await stand.stages.turn_to(wave)
    stand.applied(rename("a"))
    stand.stages.ended(Outcome(operation=rename("b"), state=State.FAILED))
    await stand.stages.turn_to(3)
    assert stand.caller.began == []


async def test_eight_devices_are_read_at_once() -> None:
    stand = Stand(Rollout())
    await stand.stages.turn_to(0)
    names = [f"d{number}" for number in range(20)]
    stand.applied(*(rename(each) for each in names))
    await stand.stages.turn_to(1)
    assert stand.caller.looked_at == names
    assert stand.caller.most_under_way == 8


def not_found(*, proven: bool) -> NotFoundError:
    error = NotFoundError("none", status=404, from_api=True)
    error.proven = proven
    return error


@pytest.mark.parametrize(
    ("turns", "slept"),
    [
        ([device("a")], []),
        ([device("a", "old"), device("a")], [1.0]),
        ([HostDownError("down"), device("a", "old"), device("a")], [1.0, 3.0]),
        ([NotFoundError("a page", status=404), device("a")], [1.0]),
    ],
)
async def test_a_device_may_show_its_value_at_the_third_read(
    turns: list[Shown], slept: list[float]
) -> None:
    stand = Stand(Rollout(), shown={"a": turns})
    await stand.stages.turn_to(0)
    stand.applied(rename("a"))
    await stand.stages.turn_to(1)
    assert stand.slept == slept


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([device("a", "old")], "UpdateDevice of a"),
        ([HostDownError("down")], "UpdateDevice of a (HostDownError)"),
        ([HostDownError("down"), device("a", "old")], "UpdateDevice of a"),
        ([NotFoundError("a page", status=404)], "UpdateDevice of a (HTTP 404)"),
        ([not_found(proven=True)], "UpdateDevice of a"),
    ],
)
async def test_a_device_that_never_shows_its_value_is_named_with_the_last_error(
    turns: list[Shown], said: str
) -> None:
    stand = Stand(Rollout(), shown={"a": turns})
    await stand.stages.turn_to(0)
    stand.applied(rename("a"), rename("b"))
    with pytest.raises(WaveNotPassedError) as caught:
        await stand.stages.turn_to(1)
    assert caught.value.args[0] == (
        "wave 1 did not pass: 1 of 2 devices read back do not show the new values, first " + said
    )
    assert stand.slept == [1.0, 3.0]
    assert stand.events[1:] == [WAITS_FOR_THE_LOOK, RunGoesOn()]
    assert stand.stages.wave == 0


@pytest.mark.parametrize("proven", [True, False])
async def test_only_the_api_can_prove_that_a_device_is_gone(*, proven: bool) -> None:
    stand = Stand(Rollout(), shown={"a": [not_found(proven=proven)]})
    await stand.stages.turn_to(0)
    stand.applied(DeleteDevice(device_id="a"))
    if proven:
        await stand.stages.finish()
        assert stand.slept == []
    else:
        with pytest.raises(WaveNotPassedError, match="DeleteDevice of a"):
            await stand.stages.finish()


async def test_failures_are_refused_before_anything_is_read() -> None:
    stand = Stand(Rollout(hold=60.0))
    await stand.stages.turn_to(0)
    stand.applied(rename("a"))
    stand.stages.ended(Outcome(operation=rename("b"), state=State.UNKNOWN))
    with pytest.raises(WaveNotPassedError) as caught:
        await stand.stages.turn_to(1)
    assert caught.value.args[0] == "wave 1 did not pass: UpdateDevice of b ended as 'unknown'"
    assert (stand.caller.began, stand.slept) == ([], [])


@pytest.mark.parametrize("seconds", [0.5, 60.0])
async def test_a_hold_is_reported_with_its_end(seconds: float) -> None:
    stand = Stand(Rollout(hold=seconds))
    await stand.stages.turn_to(0)
    assert stand.slept == [], "nothing is over yet"
    await stand.stages.turn_to(1)
    assert stand.slept == [seconds]
    detail = "the hold between two waves"
    wait = Wait(reason=Reason.HOLD, since=NOW, until=NOW + seconds, detail=detail)
    assert stand.events[1:3] == [RunWaiting(wait=wait), RunGoesOn()]
    await stand.stages.finish()
    assert stand.slept == [seconds], "nothing comes after the last"


def asks(detail: str) -> RunWaiting:
    return RunWaiting(wait=Wait(reason=Reason.HEALTH, since=NOW, detail=detail))


BEFORE = asks("checking 3 devices of wave 1")
AFTER = asks("checking whether 2 devices of wave 1 are still online")


async def test_the_gate_samples_devices_that_are_changed_and_not_deleted() -> None:
    operations: list[tuple[Operation[Any], bool]] = [
        (rename("same"), True),
        (DeleteDevice(device_id="goes"), False),
        *((rename(f"d{number}"), False) for number in range(4)),
    ]
    works = [
        WorkItem(seq=seq, operation=operation, unchanged=unchanged)
        for seq, (operation, unchanged) in enumerate(operations)
    ]
    online: dict[str, list[Shown]] = {
        f"d{number}": [device(f"d{number}", online=number > 0)] for number in range(4)
    }
    stand = Stand(Rollout(health=HealthGate(sample=3)), works, shown=online)
    await stand.stages.turn_to(0)
    assert stand.caller.looked_at == ["d0", "d1", "d2"]
    assert stand.events == [BEFORE, RunGoesOn(), WaveBegan(number=1)]
    await stand.stages.turn_to(1)
    assert stand.caller.looked_at[3:] == ["d1", "d2"], "d0 was not online before it"
    assert stand.events[3:] == [
        AFTER,
        RunGoesOn(),
        WavePassed(number=1, read_back=0),
        WaveBegan(number=2),
    ]


@pytest.mark.parametrize(("most_lost", "passes"), [(34.0, True), (33.0, False), (0.0, False)])
async def test_the_gate_counts_those_that_were_online_and_are_not(
    most_lost: float, *, passes: bool
) -> None:
    """One of three is 33.3 %."""
    works = [WorkItem(seq=seq, operation=rename(f"d{seq}")) for seq in range(3)]
    shown: dict[str, list[Shown]] = {"d1": [device("d1", online=True), device("d1")]}
    shown |= {each: [device(each, online=True)] for each in ("d0", "d2")}
    stand = Stand(Rollout(health=HealthGate(most_lost=most_lost)), works, shown=shown)
    await stand.stages.turn_to(0)
    if passes:
        await stand.stages.turn_to(1)
        return
    with pytest.raises(WaveNotPassedError) as caught:
        await stand.stages.turn_to(1)
    assert caught.value.args[0] == (
        "wave 1 did not pass: 1 of 3 devices that were online before it are no longer online; "
        f"the limit is {most_lost:g} %"
    )
    assert stand.stages.wave == 0


async def test_if_none_was_online_none_is_read_again() -> None:
    works = [WorkItem(seq=0, operation=rename("d"))]
    stand = Stand(Rollout(health=HealthGate(most_lost=0.0)), works, shown={"d": [device("d")]})
    await stand.stages.turn_to(0)
    await stand.stages.turn_to(1)
    assert stand.caller.looked_at == ["d"]
    assert "still online" not in str(stand.events)


async def test_no_wave_begins_before_the_guard_has_read_it() -> None:
    works = [WorkItem(seq=seq, operation=rename(f"d{seq}"), wave=int(seq > 0)) for seq in range(3)]
    guard = Watching()
    stand = Stand(Rollout(), works, guard=guard)
    await stand.stages.turn_to(0)
    with pytest.raises(HostDownError):
        await stand.stages.turn_to(1)
    assert guard.asked == [(0, ["d0"]), (1, ["d1", "d2"])]
    assert stand.events == [WaveBegan(number=1), WavePassed(number=1, read_back=0)]
    assert stand.stages.wave == 0
