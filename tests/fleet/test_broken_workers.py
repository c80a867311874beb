"""However a worker ends, the run ends, each item has its outcome, and the error is raised."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

import attrs
import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import Emulator, Reply
from enapter_async.fleet import ForeignCancellationError, Outcome, State, plan
from enapter_async.hooks import Event
from enapter_async.operation import Operation
from enapter_async.operations.devices import AssignBlueprint, GenerateConfig, UpdateDevice
from tests.fleet.fleets import fleet_of, running, uuid

NUMBER = 40
AT = 12


async def foreign_cancellation() -> None:
    """Raise the cancellation of a foreign task, as a database pool may do."""
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


def leave(_: object = None) -> None:
    raise SystemExit(3)


def interrupt(_: object = None) -> None:
    raise KeyboardInterrupt


def cancel(_: object = None) -> None:
    raise asyncio.CancelledError


def end(_: object = None) -> None:
    raise StopAsyncIteration


def nothing() -> None:
    pass


def at(number: int, what: Callable[[], Any]) -> Callable[..., Any]:
    """Do it once, at the call with this number."""
    calls = iter(range(1, 10_000))

    def called(*_: Any) -> Any:
        return what() if next(calls) == number else None

    return called


def renames() -> list[Operation[Any]]:
    return [UpdateDevice(device_id=uuid(each), name="new") for each in range(NUMBER)]


def configurations() -> list[Operation[Any]]:
    return [GenerateConfig(device_id=uuid(each), protocol="MQTT") for each in range(NUMBER)]


async def carried_out(
    emulator: Emulator,
    client: Client,
    operations: Any,
    *,
    told: list[Outcome[Any]] | None = None,
    **options: Any,
) -> None:
    """Run a job that ends badly, and raise its error; each reported outcome must be true."""
    told = [] if told is None else told
    run: fleet.Run[Any] = fleet.Run(client, operations, concurrency=4, abort=None, **options)
    try:
        async with asyncio.timeout(60), run:
            await run.tell(told.append)
    finally:
        done = emulator.world.count()
        states = [outcome.state for outcome in told]
        assert (len(told), states.count(State.FAILED)) == (run.report.total, 0)
        assert states.count(State.APPLIED) <= done
        assert done <= len(told) - states.count(State.HELD)
        assert not [each for each in asyncio.all_tasks() if each.get_name().startswith("fleet")]


async def applied(client: Client, **options: Any) -> None:
    async with asyncio.timeout(60):
        await fleet.apply(client, renames(), **options)


@pytest.mark.parametrize(
    ("what", "raised"),
    [
        (foreign_cancellation, ForeignCancellationError),
        (leave, SystemExit),
        (interrupt, KeyboardInterrupt),
    ],
)
async def test_a_base_exception_from_a_sink_ends_the_run(what: Any, raised: Any) -> None:
    async with running(fleet_of(NUMBER)) as (emulator, client):
        told: list[Outcome[Any]] = []
        with pytest.raises(raised) as caught:
            await carried_out(
                emulator, client, configurations(), credentials=at(AT, what), told=told
            )
        cause = type(caught.value.__cause__)
        assert (cause is asyncio.CancelledError) is (raised is ForeignCancellationError)
        assert caught.value.__cause__ is not caught.value
        (lost,) = [each for each in told if each.state is State.UNKNOWN]
        assert isinstance(lost.error, fleet.CredentialsNotKeptError)
        held = sum(each.state is State.HELD for each in told)
        assert (len(told), held) == (NUMBER, NUMBER - emulator.world.count())


@attrs.frozen
class Hook:
    what: Callable[..., Any]

    def __call__(self, event: Event) -> None:
        self.what(event)


@pytest.mark.parametrize(
    ("what", "raised"), [(cancel, ForeignCancellationError), (leave, SystemExit)]
)
async def test_a_base_exception_from_a_hook_ends_the_run(what: Any, raised: Any) -> None:
    async with running(fleet_of(NUMBER)) as (emulator, client):
        hooked = Client(emulator.token, base_url=client.base_url, hooks=[Hook(at(30, what))])
        async with hooked:
            with pytest.raises(raised):
                await carried_out(emulator, hooked, renames())


class Watching:
    """A guard that does something during one of its reads."""

    def __init__(self, what: Callable[[], Any], *, before_wave: bool = False) -> None:
        self._what = at(AT, what) if not before_wave else nothing
        self._before_wave = what if before_wave else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def before_wave(self, number: int, items: Any) -> None:
        if self._before_wave is not None and number:
            self._before_wave()

    async def check(self, item: Any) -> str | None:
        self._what()
        return None


@pytest.mark.parametrize(
    ("what", "raised"),
    [(cancel, ForeignCancellationError), (leave, SystemExit), (end, RuntimeError)],
)
@pytest.mark.parametrize("before_wave", [False, True])
async def test_a_base_exception_from_a_guard_ends_the_run(
    what: Any, raised: Any, before_wave: bool
) -> None:
    async with running(fleet_of(NUMBER)) as (emulator, client):
        options: dict[str, Any] = {"guard": Watching(what, before_wave=before_wave)}
        if before_wave:
            options["rollout"] = fleet.Rollout(waves=(5, "25%", "100%"))
        with await plan(client, renames()) as made, pytest.raises(raised):
            await carried_out(emulator, client, made, **options)


@pytest.mark.parametrize(
    ("what", "raised"), [(cancel, ForeignCancellationError), (leave, SystemExit)]
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_base_exception_from_an_input_ends_the_run(
    what: Any, raised: Any, asynchronous: bool
) -> None:
    async def async_input() -> AsyncIterator[Operation[Any]]:
        for operation in renames()[:AT]:
            yield operation
        what()

    def plain_input() -> Iterator[Operation[Any]]:
        yield from renames()[:AT]
        what()

    async with running(fleet_of(NUMBER)) as (emulator, client):
        with pytest.raises(raised):
            await carried_out(emulator, client, async_input() if asynchronous else plain_input())
        assert emulator.world.count() == AT, "items pulled before are carried out"


@pytest.mark.parametrize(
    ("what", "raised"),
    [(leave, SystemExit), (interrupt, KeyboardInterrupt), (cancel, asyncio.CancelledError)],
)
async def test_an_error_in_on_outcome_is_raised_when_the_run_is_over(
    what: Any, raised: Any
) -> None:
    async with running(fleet_of(NUMBER)) as (emulator, client):
        with pytest.raises(raised):
            await applied(client, concurrency=4, on_outcome=at(AT, what))
        assert emulator.world.count() < NUMBER


async def test_on_event_that_exits_ends_the_run() -> None:
    async with running(fleet_of(NUMBER)) as (emulator, client):
        emulator.faults.add(Reply(status=401))
        with pytest.raises(SystemExit):
            await applied(client, on_event=leave)
        assert emulator.world.count() < NUMBER


@pytest.mark.parametrize("task", ["fleet worker", "fleet producer"])
@pytest.mark.parametrize("after", [1, AT])
@pytest.mark.parametrize("at_once", [False, True], ids=["later", "before its first step"])
async def test_cancelling_tasks_of_the_run_ends_it(task: str, after: int, at_once: bool) -> None:
    def cancel_tasks() -> None:
        for each in asyncio.all_tasks():
            if each.get_name() == task:
                each.cancel()

    async def slow_input() -> AsyncIterator[Operation[Any]]:
        for number, operation in enumerate(renames()):
            if number == after and at_once:
                cancel_tasks()
            elif number == after:
                asyncio.get_running_loop().call_soon(cancel_tasks)
            if not at_once:
                await asyncio.sleep(0)
            yield operation

    async with running(fleet_of(NUMBER)) as (emulator, client):
        with pytest.raises(ForeignCancellationError):
            await carried_out(emulator, client, slow_input())


async def test_an_async_input_that_stops_its_run_is_not_pulled_further() -> None:
    pulled: list[int] = []

    async def stopping_input() -> AsyncIterator[Operation[Any]]:
        for number, operation in enumerate(renames()):
            pulled.append(number)
            if number == AT:
                run.stop()
            yield operation

    async with running(fleet_of(NUMBER)) as (_, client):
        run: fleet.Run[Any] = fleet.Run(client, stopping_input(), concurrency=NUMBER)
        async with asyncio.timeout(60), run:
            await run.tell(None)
    assert pulled == [*range(AT + 1)]
    assert run.report.total == AT + 1


async def test_a_worker_that_is_cancelled_with_its_next_item_in_hand_loses_none() -> None:
    """The item is handed to a waiting worker, which is cancelled before it wakes."""

    async def waiting_input() -> AsyncIterator[Operation[Any]]:
        yield renames()[0]
        await asyncio.sleep(0.1)  # until the worker waits for the next item
        yield renames()[1]
        for each in asyncio.all_tasks():
            if each.get_name() == "fleet worker":
                each.cancel()
        yield renames()[2]

    async with running(fleet_of(3)) as (emulator, client):
        told: list[Outcome[Any]] = []
        with pytest.raises(ForeignCancellationError):
            await carried_out(emulator, client, waiting_input(), told=told)
        devices = [outcome.operation.subject() for outcome in told]
        assert devices[:2] == [uuid(0), uuid(1)]
        assert told[1].state is State.HELD


async def test_a_run_ends_under_an_eager_task_factory() -> None:
    """Items of one device unblock each other while the workers are being created."""
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("eager tasks need Python 3.12")
    operations: list[Operation[Any]] = []
    for number in range(20):
        operations += [
            UpdateDevice(device_id=uuid(number), name="new"),
            AssignBlueprint(device_id=uuid(number), blueprint_id="bp-1"),
            UpdateDevice(device_id=uuid(number), slug=f"new-{number}"),
        ]
    async with running(fleet_of(20)) as (emulator, client):
        asyncio.get_running_loop().set_task_factory(factory)
        with await plan(client, operations) as made:
            async with asyncio.timeout(60):
                report = await fleet.apply(client, made, concurrency=8)
        assert report.counts[State.APPLIED] == emulator.world.count() == 40
        assert report.counts[State.UNCHANGED] == 20
