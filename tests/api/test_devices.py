import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, NoReturn, TypeVar, assert_type

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async._http.retry import RetryPolicy
from enapter_async.api.devices import Devices
from enapter_async.clock import Clock
from enapter_async.errors import ConfigurationError
from enapter_async.models.configs import CommunicationConfig, MQTTCredentials, MQTTProtocol
from enapter_async.models.devices import Device
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)

T = TypeVar("T")


@attrs.define
class Recorder:
    """Executes an operation by calling a function, and records the operations."""

    answer: Callable[[Any], Any]
    asked: list[Operation[Any]] = attrs.field(factory=list)
    clock: Clock = Clock()
    retry: RetryPolicy = RetryPolicy()

    @property
    def sockets(self) -> NoReturn:
        raise AssertionError("these tests open no stream")

    def streams(self, operations: object) -> NoReturn:
        raise AssertionError("these tests open no stream")

    async def execute(self, operation: Operation[T]) -> T:
        self.asked.append(operation)
        result: T = self.answer(operation)
        return result


def shelf(ids: Iterable[str], most: int = 50) -> Callable[[ListDevices], tuple[Device, ...]]:
    """A server that pages through these devices, with at most `most` per page."""
    devices = [Device(id=each) for each in ids]
    return lambda page: tuple(devices[page.offset :][: min(page.limit, most)])


def numbered(count: int) -> list[str]:
    return [f"d{number:04}" for number in range(count)]


async def ids_of(devices: AsyncIterator[Device]) -> list[str]:
    return [device.id async for device in devices]


DEVICE = Device(id="a", name="n")
CONFIG = CommunicationConfig(
    mqtt_host="h",
    mqtt_port=1883,
    mqtt_protocol=MQTTProtocol.MQTT,
    mqtt_credentials=MQTTCredentials(username="u", password="p"),
)
Call = Callable[[Devices], Coroutine[Any, Any, Any]]
CALLS: list[tuple[Call, Operation[Any], Any]] = [
    (lambda it: it.get("a"), GetDevice(device_id="a"), DEVICE),
    (
        lambda it: it.get("a", expand=["site"]),
        GetDevice(device_id="a", expand=("site",)),
        DEVICE,
    ),
    (lambda it: it.update("a", name="n"), UpdateDevice(device_id="a", name="n"), DEVICE),
    (lambda it: it.update("a", slug="s"), UpdateDevice(device_id="a", slug="s"), DEVICE),
    (
        lambda it: it.update("a", name=None, slug="s"),
        UpdateDevice(device_id="a", name=None, slug="s"),
        DEVICE,
    ),
    (lambda it: it.delete("a"), DeleteDevice(device_id="a"), None),
    (
        lambda it: it.generate_config("a", protocol="mqtt"),
        GenerateConfig(device_id="a", protocol="MQTT"),
        CONFIG,
    ),
    (
        lambda it: it.assign_blueprint("a", blueprint_id="b"),
        AssignBlueprint(device_id="a", blueprint_id="b"),
        DEVICE,
    ),
]


@pytest.mark.parametrize(("call", "operation", "result"), CALLS)
async def test_a_method_is_one_operation(
    call: Call, operation: Operation[Any], result: Any
) -> None:
    recorder = Recorder(lambda _: result)
    assert await call(Devices(recorder)) is result
    assert recorder.asked == [operation]


@pytest.mark.parametrize(
    "call",
    [
        lambda it: it.get("../a"),
        lambda it: it.get("a", expand="site"),
        lambda it: it.update("a"),
        lambda it: it.update("a", name="\x00"),
        lambda it: it.delete(""),
        lambda it: it.generate_config("a", protocol="WS"),
        lambda it: it.assign_blueprint("a", blueprint_id="b/c"),
        lambda it: anext(it.list(site_id="..")),
        lambda it: anext(it.list(expand=["everything"])),
    ],
)
async def test_a_wrong_argument_is_reported_at_the_await_and_nothing_is_sent(call: Call) -> None:
    recorder = Recorder(lambda _: None)
    waiting = call(Devices(recorder))
    with pytest.raises(ConfigurationError):
        await waiting
    assert recorder.asked == []


def offsets(recorder: Recorder) -> list[int]:
    return [page.offset for page in recorder.asked if isinstance(page, ListDevices)]


@pytest.mark.parametrize(
    ("count", "most", "asked"),
    [
        (0, 50, [0]),
        (1, 50, [0, 1]),
        (50, 50, [0, 50]),
        (51, 50, [0, 50, 51]),
        (120, 50, [0, 50, 100, 120]),
        # A server that returns fewer than requested: the number received counts.
        (20, 7, [0, 7, 14, 20]),
    ],
)
async def test_a_list_continues_from_the_received_devices_to_an_empty_page(
    count: int, most: int, asked: list[int]
) -> None:
    recorder = Recorder(shelf(numbered(count), most))
    assert await ids_of(Devices(recorder).list()) == numbered(count)
    assert offsets(recorder) == asked
    assert all(page.limit == 50 for page in recorder.asked if isinstance(page, ListDevices))


async def test_a_list_sends_the_same_query_for_each_page() -> None:
    recorder = Recorder(shelf(numbered(60)))
    await ids_of(Devices(recorder).list(site_id="s", expand=iter(["site", "manifest"])))
    assert recorder.asked == [
        ListDevices(site_id="s", expand=["site", "manifest"], offset=offset)
        for offset in (0, 50, 60)
    ]


async def test_a_list_is_lazy() -> None:
    recorder = Recorder(shelf(numbered(200)))
    devices = Devices(recorder).list()
    assert recorder.asked == []
    for _ in range(50):
        await anext(devices)
    assert offsets(recorder) == [0]
    assert (await anext(devices)).id == "d0050"
    assert offsets(recorder) == [0, 50]
    await devices.aclose()
    assert offsets(recorder) == [0, 50]


async def test_a_server_without_paging_receives_two_requests() -> None:
    page = tuple(Device(id=each) for each in numbered(70))
    recorder = Recorder(lambda _: page)
    assert await ids_of(Devices(recorder).list()) == numbered(70)
    assert offsets(recorder) == [0, 70]


async def test_an_error_of_a_later_page_is_raised_when_that_page_is_needed() -> None:
    def answer(page: ListDevices) -> tuple[Device, ...]:
        if page.offset:
            raise ConnectionError
        return shelf(numbered(50))(page)

    devices = Devices(Recorder(answer)).list()
    assert [(await anext(devices)).id for _ in range(50)] == numbered(50)
    with pytest.raises(ConnectionError):
        await anext(devices)


ANY_PAGES = st.lists(st.lists(st.sampled_from(numbered(12)), min_size=1, max_size=6), max_size=20)


@given(pages=ANY_PAGES)
def test_whatever_pages_arrive_no_id_is_yielded_twice_and_it_ends(pages: list[list[str]]) -> None:
    left = iter(pages)
    recorder = Recorder(lambda _: tuple(Device(id=each) for each in next(left, [])))
    given_ids = asyncio.run(ids_of(Devices(recorder).list()))
    assert len(given_ids) == len(set(given_ids))
    # Twelve ids can be new on at most twelve pages; one more page ends it.
    assert len(recorder.asked) <= 13
    asked = pages[: len(recorder.asked)]
    assert given_ids == list(dict.fromkeys(each for page in asked for each in page))
    assert offsets(recorder) == [sum(map(len, asked[:i])) for i in range(len(recorder.asked))]


KEYS = st.integers(min_value=0, max_value=9999)


@given(
    first=st.sets(KEYS, max_size=60),
    made=st.lists(st.sets(KEYS, max_size=4), max_size=30),
)
def test_devices_created_meanwhile_hide_no_others(first: set[int], made: list[set[int]]) -> None:
    """A server sorts by id, so a new device shifts later ones back, and pages overlap."""
    world = set(first)
    arrivals = iter(made)

    def answer(page: ListDevices) -> tuple[Device, ...]:
        devices = shelf([f"d{key:04}" for key in sorted(world)], most=5)(page)
        world.update(next(arrivals, set()))
        return devices

    given_ids = asyncio.run(ids_of(Devices(Recorder(answer)).list()))
    assert len(given_ids) == len(set(given_ids))
    assert {f"d{key:04}" for key in first} <= set(given_ids)


@given(
    first=st.sets(KEYS, max_size=60),
    changes=st.lists(st.tuples(st.sets(KEYS, max_size=9), st.sets(KEYS, max_size=9)), max_size=30),
)
def test_devices_that_come_and_go_are_never_yielded_twice(
    first: set[int], changes: list[tuple[set[int], set[int]]]
) -> None:
    world = set(first)
    left = iter(changes)
    lived = set(first)

    def answer(page: ListDevices) -> tuple[Device, ...]:
        devices = shelf([f"d{key:04}" for key in sorted(world)], most=5)(page)
        made, gone = next(left, (set(), set()))
        world.difference_update(gone)
        world.update(made)
        lived.update(made)
        return devices

    given_ids = asyncio.run(ids_of(Devices(Recorder(answer)).list()))
    assert len(given_ids) == len(set(given_ids))
    assert set(given_ids) <= {f"d{key:04}" for key in lived}


async def test_type_checkers_know_what_a_method_returns() -> None:
    devices = Devices(Recorder(shelf(["a"])))
    async for device in devices.list():
        assert_type(device, Device)
    one = Devices(Recorder(lambda _: DEVICE))
    assert_type(await one.get("a"), Device)
    assert_type(await one.update("a", name="n"), Device)
    assert_type(await one.assign_blueprint("a", blueprint_id="b"), Device)
    config = await Devices(Recorder(lambda _: CONFIG)).generate_config("a", protocol="MQTT")
    assert_type(config, CommunicationConfig)
