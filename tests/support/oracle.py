"""Plays a plan over real sockets and compares each call's report with the server's log."""

import asyncio
import contextlib
import functools
import io
import logging
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import attrs

from enapter_async._http.direct import DirectTransport
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.sweeper import SWEEP_SECONDS
from enapter_async._http.transport import Timeouts
from enapter_async.errors import AmbiguousOutcomeError, EnapterError
from enapter_async.hooks import CallEnded
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.operation import Operation, Repeat, Settles
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.configuration import UpdateConfiguration
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, GetDevice, ListDevices
from enapter_async.operations.provisioning import ProvisionStandalone
from enapter_async.operations.sites import CreateSite, DeleteSite, UpdateSite
from tests.support.clock import FakeClock
from tests.support.lag import Lag
from tests.support.plans import REFUSALS, TOO_MUCH, Cancel, Greeting, Plan
from tests.support.rig import TOKEN, Rig, TransportKind, open_rig
from tests.support.secrets import shown
from tests.support.server import WRITES, Arrival, Connection, FaultServer, Step

Loop = Literal["asyncio", "uvloop"]
LOOPS: tuple[Loop, ...] = ("asyncio", "uvloop") if find_spec("uvloop") else ("asyncio",)

SECRETS = (TOKEN, "PASSWORD-SECRET", "KEY-SECRET")
_LOOKS = {DeleteDevice: 2, DeleteSite: 2, ProvisionStandalone: 2, CreateSite: 3}
"""How often an operation is read besides its own requests.

An unconfirmed deletion is looked up, sent once more, and looked up again. For a creation, what
exists before is read, too; a search reads on until a page has nothing new.
"""
PLENTY = 30.0
"""A deadline that only sleeping can reach; here sleeping takes no time."""


@attrs.define
class Told:
    """The report of one call."""

    number: int
    operation: Operation[Any]
    result: Any = None
    error: EnapterError | None = None
    cancelled: bool = False
    elapsed: float = 0.0
    lag: float = 0.0
    began_at: int = 0
    """How many states the device already had when the call began."""
    ended_at: int = 0

    @property
    def about(self) -> str:
        """The id of the device or the site that the operation changes or reads."""
        on_site = isinstance(self.operation, UpdateSite | DeleteSite)
        return f"{'place' if on_site else 'dev'}-{self.number}"


class RealClock(FakeClock):
    """Sleeps in real time, for stories that end by running out of time."""

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.sleep(seconds)


def run_on(loop: Loop, story: Any) -> Any:
    """Run a coroutine on the given event loop, and check that it leaves no file descriptor open."""
    _warmed_up(loop)
    before = descriptors()
    result = _run(loop, story)
    assert descriptors() <= before, "a file descriptor is left open"
    return result


def _run(loop: Loop, story: Any) -> Any:
    factory = None if loop == "asyncio" else import_module(loop).new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(story)


@functools.cache
def _warmed_up(loop: Loop) -> None:
    """Make a loop of this kind open everything that it keeps for the life of the process."""
    _run(loop, asyncio.sleep(0))


def descriptors() -> int:
    where = Path("/proc/self/fd")
    return sum(1 for _ in where.iterdir()) if where.is_dir() else 0


@contextlib.contextmanager
def heard() -> Iterator[io.StringIO]:
    """Collect everything that is logged, at the lowest level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


async def play_and_judge(
    kind: TransportKind,
    plan: Plan,
    *,
    timeouts: Timeouts | None = None,
    deadline: float = PLENTY,
) -> list[Told]:
    """Play a plan; raise AssertionError if any report is untrue."""
    clock = FakeClock() if deadline == PLENTY else RealClock()
    policy = RetryPolicy(
        attempts=plan.attempts,
        base_delay=0.5 if deadline == PLENTY else 0.001,
        deadline=deadline,
        on_ambiguous="regenerate" if plan.regenerate else "raise",
    )
    devices = tuple(f"dev-{number}" for number in range(1, len(plan.operations) + 1))
    lag = Lag()
    try:
        with heard() as log:
            async with FaultServer(devices=devices, closed=plan.closed_for > 0) as server:
                trouble(server, plan)
                if plan.closed_for:
                    open_after(plan.closed_for, server, clock)
                options: dict[str, Any] = {"retry": policy, "timeouts": timeouts or Timeouts()}
                async with open_rig(kind, server, clock, known=False, **options) as rig:
                    tolds = await _calls(rig, plan, lag)
                    nothing_is_held(rig)
                await quiet(server)
                server.late.land()
        for told in tolds:
            judge(told, plan, server, deadline)
        proofs = [
            each for each in server.arrivals if each.target.endswith("devices?offset=0&limit=1")
        ]
        assert len(proofs) <= 2 * len(tolds), "too many reads checked whether an API answers"
        assert len([each for each in rig.events if isinstance(each, CallEnded)]) == len(tolds)
        for secret in SECRETS:
            assert secret not in log.getvalue()
            assert secret not in repr(rig.events)
            assert secret not in f"{rig.client!r} {vars(rig.client)!r}"
    finally:
        lag.stop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks are left over: {left}"
    return tolds


class Troubles(Protocol):
    """What a server does with the next arrivals and connections, in order."""

    @property
    def writes(self) -> tuple[Step, ...]: ...
    @property
    def reads(self) -> tuple[Step, ...]: ...
    @property
    def greetings(self) -> tuple[Greeting, ...]: ...


def trouble(server: FaultServer, troubles: Troubles) -> None:
    """Make a server follow the script from now on; after the script it is honest."""
    server.clear()
    server.script(*troubles.writes, method=WRITES)
    server.script(*troubles.reads, method="GET")
    greetings = iter(troubles.greetings)

    async def greet(connection: Connection) -> bool:
        greeting = next(greetings, "well")
        if greeting == "rst":
            connection.reset()
        return greeting == "well"

    server.on_connect = greet


def open_after(sleeps: int, server: FaultServer, clock: FakeClock) -> None:
    """Open the port of a closed server after that many sleeps."""

    async def reopen() -> None:
        if len(clock.sleeps) >= sleeps:
            await asyncio.shield(server.unclose())

    clock.on_sleep = reopen


async def _calls(rig: Rig, plan: Plan, lag: Lag) -> list[Told]:
    cancels = plan.cancels or (None,) * len(plan.operations)
    calls = [
        _call(rig, number, operation, cancel, lag)
        for number, (operation, cancel) in enumerate(
            zip(plan.operations, cancels, strict=True), start=1
        )
    ]
    if plan.together:
        return list(await asyncio.gather(*calls))
    return [await call for call in calls]


async def _call(
    rig: Rig, number: int, operation: Operation[Any], cancel: Cancel | None, lag: Lag
) -> Told:
    told = Told(number, operation)
    past = rig.server.world.past[told.about]
    began, lagged = rig.clock.monotonic(), lag.now()
    told.began_at = len(past) - 1
    task = asyncio.ensure_future(rig.run(operation))
    if cancel is not None:
        await cancel_at(cancel, task, rig)
    try:
        told.result = await task
    except EnapterError as error:
        told.error = error
    except asyncio.CancelledError:
        told.cancelled = True
    told.elapsed = rig.clock.monotonic() - began
    told.lag = lag.now() - lagged
    told.ended_at = len(past)
    return told


async def cancel_at(cancel: Cancel, task: "asyncio.Task[Any]", rig: Rig) -> None:
    """Cancel a task at the given moment, unless it ends earlier."""
    await wait_for(cancel, task, rig)
    task.cancel()


async def wait_for(moment: Cancel, task: "asyncio.Task[Any]", rig: Rig) -> None:
    """Wait for that moment, or until the task ends."""
    if moment.after == "turns":
        for _ in range(moment.count):
            await asyncio.sleep(0)
        return
    happens = rig.server.arrived if moment.after == "arrivals" else rig.clock.slept
    moment_comes = asyncio.ensure_future(happens(moment.count))
    try:
        await asyncio.wait({task, moment_comes}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        moment_comes.cancel()
        await asyncio.wait({moment_comes})


async def quiet(server: FaultServer) -> None:
    """Wait until every connection that was opened has been accepted and closed."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    except ConnectionRefusedError:  # the port was never opened
        return
    await server.accepted(writer.get_extra_info("sockname"))  # last in the queue
    writer.close()
    await writer.wait_closed()
    await server.emptied()


def nothing_is_held(rig: Rig) -> None:
    """Check that no connection, permit, writer's turn or watched exchange is left."""
    assert rig.held() == 0
    pipeline = rig.client._open_pipeline()
    assert isinstance(pipeline.limiter, AdaptiveLimiter)
    assert pipeline.limiter.in_flight == 0
    assert not pipeline.limiter._line
    assert pipeline.turns._waiting == {}
    if isinstance(pipeline.transport, DirectTransport):
        assert not pipeline.transport._connections.working


def judge(told: Told, plan: Plan, server: FaultServer, deadline: float) -> None:
    """Compare one call with the server's log."""
    operation, error = told.operation, told.error
    arrivals = arrivals_of(told, server)
    sent = [each for each in arrivals if each.method == operation.request().method]
    numbers = {each.number for each in sent}
    effects = [each for each in server.world.effects if each.arrival in numbers]

    if operation.repeat is Repeat.ONCE and not plan.regenerate:  # 1
        maybe_done = [each for each in sent if each.step and each.step.reply not in REFUSALS]
        assert len(maybe_done) <= 1, "a once-only operation arrived again"
        assert maybe_done in ([], sent[-1:]), "it was sent after an arrival that may have done it"
        assert len(effects) <= 1
    if error is None and not told.cancelled:
        _success_is_true(told, server)  # 2
    if error is not None and not isinstance(error, AmbiguousOutcomeError):
        assert effects == [], "an error that is not ambiguous, but something was done"  # 3
    settling = len(arrivals) - len(sent)
    refused = [each for each in sent if each.step and each.step.reply in TOO_MUCH]
    allowed = plan.attempts + (len(refused) if plan.attempts > 1 else 0)
    assert len(sent) <= allowed  # 4
    assert settling <= _LOOKS.get(type(operation), operation.settles is not Settles.NEVER)
    # One call's 429 lengthens the wait of another, and a fake clock cannot cut that short.
    if not (plan.together and deadline == PLENTY):
        assert told.elapsed <= deadline + 2 * SWEEP_SECONDS + told.lag + 0.002  # 5
    if error is not None:
        text = shown(error)  # 6
        for secret in SECRETS:
            assert secret not in text
        assert error.__cause__ is None
        assert error.__context__ is None
        assert len(error.attempts) <= allowed


def arrivals_of(told: Told, server: FaultServer) -> list[Arrival]:
    """Return the arrivals of a call: no other call uses its device or requests its page."""
    number, found = told.number, server.arrivals
    match told.operation:
        case ListDevices():
            return [each for each in found if f"offset={number}" in each.target]
        case CreateSite():
            query, sent = f"sites?name=Place%20{number}&", f'"Place {number}"'
            return [each for each in found if query in each.target or sent in each.body.decode()]
        case UpdateSite() | DeleteSite():
            return [each for each in found if each.target.endswith(f"/sites/{told.about}")]
        case ProvisionStandalone(slug=slug):
            return [
                each for each in found if each.address == slug or f'"{slug}"' in each.body.decode()
            ]
    addresses = (told.about, f"slug-of-{told.about}")
    return [each for each in found if each.address in addresses]


def _success_is_true(told: Told, server: FaultServer) -> None:
    operation, result = told.operation, told.result
    numbers = {each.number for each in arrivals_of(told, server)}
    past = server.world.past.get(told.about, [])
    if isinstance(operation, ListDevices):
        for found in result:
            states = server.world.past[found.id]
            assert any(state is not None and state["name"] == found.name for state in states)
    elif isinstance(operation, GetDevice):
        assert any(state is not None and state["name"] == result.name for state in past)
    elif isinstance(operation, GenerateConfig):
        credentials = result.mqtt_credentials
        secret = getattr(credentials, "password", None) or credentials.private_key
        minted = {
            (each.device_id, number)
            for number, each in enumerate(
                (one for one in server.world.effects if one.operation == "generate_config"), 1
            )
        }
        number = int(str(secret).rpartition("-")[2])
        assert (told.about, number) in minted, "a configuration that was not generated for it"
    elif isinstance(operation, ProvisionStandalone | CreateSite):
        made = [each.device_id for each in server.world.effects if each.arrival in numbers]
        assert made == [getattr(result, "device_id", None) or result.id]
    elif isinstance(operation, CreateExecution):
        runs = [f"run-{each.number}" for each in arrivals_of(told, server)]
        created = [each for each in server.world.effects if f"run-{each.arrival}" == result]
        assert result in runs, "an execution that was not created for it"
        assert [each.operation for each in created] == ["create_execution"]
    elif isinstance(operation, UpdateConfiguration):
        during = past[told.began_at : told.ended_at]
        values = [(state or {}).get("configuration", {}) for state in during]
        held = [operation.holds(ConfigurationValues(each)) for each in values]
        assert any(held), "success, but the wanted values were never present"
    else:
        during = past[told.began_at : told.ended_at]
        if isinstance(operation, DeleteDevice | DeleteSite):
            assert None in during, "success, but it was never gone"
            return
        # Not by `holds`, by which the client settles.
        wanted = operation.changes().items()
        held = [wanted <= state.items() for state in during if state is not None]
        assert any(held), "success, but the wanted state was never present"
