"""One seed's story: its participants, and the faults found."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async.clock import Clock
from enapter_async.hooks import AttemptFailed, CallEnded, CallStarted, Event, Waiting
from enapter_async.limits.controller import CATCH_UP_S
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    UpdateDevice,
)
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network, Send
from tests.simulation.trace import Trace
from tests.simulation.world import Asked, Shape, World, short

EPOCH: Final = 1_750_000_000.0
SITES: Final = ("site-a", "site-b", "site-c")
LEEWAY: Final = 1e-6


@attrs.define(eq=False)
class Story:
    """The choices of a seed, and their result. `broken` lists each broken promise."""

    seed: int
    chance: random.Random = attrs.field(init=False)
    trace: Trace = attrs.field(factory=Trace, init=False)
    broken: list[str] = attrs.field(factory=list, init=False)
    tried: dict[str, int] = attrs.field(factory=dict, init=False)
    world: World = attrs.field(init=False)
    network: Network = attrs.field(init=False)
    wall_offset: float = attrs.field(default=0.0, init=False)
    _numbers: dict[int, int] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(f"story {self.seed}")
        self.people([])

    def people(self, shapes: Sequence[Shape]) -> None:
        """Start a new world with these devices."""
        self.inhabit(World(shapes, self.told))

    def told(self, at: float, text: str) -> None:
        """Record what happens in the world."""
        self.trace.tell(at, "world", "{}", text)

    def inhabit(self, world: World) -> None:
        """Start in another world."""
        self.world = world
        self.network = Network(self.world, random.Random(f"network {self.seed}"), self.trace)

    def blame(self, at: float, text: str) -> None:
        """Record a broken promise."""
        self.trace.tell(at, "BROKEN", "{}", text)
        self.broken.append(text)

    def count(self, what: str) -> None:
        """Count a case that was tried, so that a long run can report its frequency."""
        self.tried[what] = self.tried.get(what, 0) + 1

    def loop(self, start: float) -> VirtualLoop:
        """Create the loop of one process, starting at some moment."""
        loop = VirtualLoop(random.Random(f"loop {self.seed} {start}"), start=start)
        loop.set_exception_handler(lambda _, context: self._hear(loop, context))
        return loop

    def _hear(self, loop: VirtualLoop, context: Mapping[str, Any]) -> None:
        """Record a complaint of the loop itself, such as an exception that was never retrieved."""
        if not self.network.dead:
            error = context.get("exception")
            self.blame(loop.time(), f"the loop complains: {context['message']}: {error!r}")

    def clock(self, loop: VirtualLoop) -> Clock:
        """Return the clock of a process; `jump` may move its wall time."""
        chance = random.Random(f"clock {self.seed} {loop.time()}")
        return Clock(
            monotonic=loop.time,
            wall=lambda: EPOCH + loop.time() + self.wall_offset,
            sleep=asyncio.sleep,
            uniform=chance.uniform,
        )

    def jump(self, at: float, seconds: float) -> None:
        """Set the wall clock, as an NTP daemon or a person may."""
        self.count("clock jumps")
        self.trace.tell(at, "clock", "the wall clock jumps by {:g} s", seconds)
        self.wall_offset += seconds

    def leap(self, loop: VirtualLoop, seconds: float) -> None:
        """Suspend the machine."""
        self.count("suspends")
        self.trace.tell(loop.time(), "clock", "the machine sleeps for {:g} s", seconds)
        loop.leap(seconds)

    def disturb(self, loop: VirtualLoop, start: float, length: float) -> None:
        """Plan other events: clocks that jump, a machine that sleeps, other users."""
        chance = self.chance
        self.disturb_clocks(loop, start, length)
        for number in range(chance.choice((0, 0, 0, 0, 1, 3))):
            device_id = chance.choice(list(self.world.history))
            at = start + chance.uniform(0.0, length)
            fields = {} if chance.random() < 0.3 else {"name": f"foreign-{number}-{at:.0f}"}
            self.world.plan(at, _meddling(self.world, device_id, fields))

    def disturb_clocks(self, loop: VirtualLoop, start: float, length: float) -> None:
        """Plan clocks that jump, and a machine that sleeps."""
        chance = self.chance
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            seconds = chance.choice((-86_400.0, -3600.0, -5.0, 5.0, 3600.0, 1e8))
            at = start + chance.uniform(0.0, length)
            loop.call_at(at, self.jump, at, seconds)
        if chance.random() < 0.15:
            at = start + chance.uniform(0.0, length)
            loop.call_at(at, self.leap, loop, chance.choice((1.0, 30.0, 600.0, 7200.0)))

    def hook(self, loop: VirtualLoop) -> Callable[[Event], None]:
        """Return a hook that adds the client's events to the trace."""

        def tell(event: Event) -> None:
            # Calls are numbered across a process, and this story may not be its first.
            text = f"call {self._numbers.setdefault(event.call, len(self._numbers) + 1)}"
            if isinstance(event, AttemptFailed):
                text += f": attempt {event.attempt.number} failed, {event.attempt.certainty.value}"
            elif isinstance(event, Waiting):
                text += f": waits {event.seconds:.3f} s, {event.reason}"
            elif isinstance(event, CallEnded):
                ended = "well" if event.error is None else type(event.error).__name__
                settled = ", settled" if event.settled else ""
                text += f": ends {'cancelled' if event.cancelled else ended}{settled}"
            elif isinstance(event, CallStarted):
                text += f": {type(event.operation).__name__}"
            else:
                return
            if not self.network.dead:
                self.trace.tell(loop.time(), "client", "{}", text)

        return tell


def _meddling(world: World, device_id: str, fields: Mapping[str, str]) -> Callable[[float], None]:
    return lambda at: world.meddle(at, device_id, **fields)


def shapes(count: int) -> list[Shape]:
    """Create devices whose ids differ only at their ends."""
    return [
        Shape(
            id=f"00000000-0000-4000-8000-{number:012x}",
            name=f"first-{number}",
            slug=f"slug-{number}",
            blueprint_id="bp-0",
            site_id=SITES[number % len(SITES)],
        )
        for number in range(count)
    ]


def operation_of(asked: Asked) -> Operation[Any]:
    """Return the package's value for a request."""
    fields: dict[str, Any] = dict(asked.fields)
    kinds: dict[str, Callable[..., Operation[Any]]] = {
        "get": GetDevice,
        "update": UpdateDevice,
        "delete": DeleteDevice,
        "generate_config": GenerateConfig,
        "assign_blueprint": AssignBlueprint,
    }
    return kinds[asked.verb](device_id=asked.address, **fields)


def secret_in(result: Any) -> str:
    """Return the secrets in a configuration."""
    credentials = result.mqtt_credentials
    return str(getattr(credentials, "password", None) or credentials.private_key)


def check_pauses(story: Story, sends: Sequence[Send], longest: float) -> None:
    """No request is sent again during the pause that its own refusal demanded."""
    ended = [
        each for each in sends if each.status == 429 and each.retry_after and each.ended is not None
    ]
    for told in ended:
        assert told.ended is not None
        assert told.retry_after is not None
        over = told.ended + min(told.retry_after, longest)
        for send in sends:
            same = send.session == told.session and send.asked == told.asked
            same = same and (send.asked.writes or send.caller is not None)
            same = same and send.caller is told.caller
            if same and told.ended < send.at < over - LEEWAY:
                story.blame(
                    send.at,
                    f"request {send.number} begins {over - send.at:.3f} s before the pause is "
                    f"over that the answer to request {told.number} asked for",
                )
                return


def check_spacing(
    story: Story,
    sends: Sequence[Send],
    max_rate: float | None,
    *,
    commit: float = CATCH_UP_S + LEEWAY,
) -> None:
    """No two requests of a client start closer together than its rate allows.

    A late timer is compensated for. A job writes its intent between its turn at the limiter and the
    request: `commit` is how many seconds that may take.
    """
    if max_rate is None:
        return
    begun = sorted(sends, key=lambda each: each.at)
    for one, other in itertools.pairwise(begun):
        if one.session == other.session and other.at - one.at < 1.0 / max_rate - commit:
            story.blame(
                other.at,
                f"requests {one.number} and {other.number} begin {other.at - one.at:.3f} s apart",
            )
            return


def check_at_once(story: Story, send: Send, most: int) -> None:
    """Before a request: the limit in flight is kept, and its device has no other write."""
    others = [each for each in story.network.under_way if each.session == send.session]
    if len(others) >= most:
        story.blame(send.at, f"request {send.number} begins while {len(others)} are in flight")
    for other in others:
        if send.asked.writes and other.asked.writes and other.asked.address == send.asked.address:
            story.blame(
                send.at,
                f"requests {other.number} and {send.number} write to "
                f"{short(send.asked.address)} at once",
            )


def check_left(story: Story, client: Any, at: float) -> None:
    """Afterwards: no permit and no turn is held."""
    pipeline = client._engine._pipeline
    limiter = pipeline.limiter
    assert isinstance(limiter, AdaptiveLimiter)
    if limiter.in_flight or limiter._line:
        story.blame(at, f"{limiter.in_flight} permits are left, {limiter._line} wait")
    if pipeline.turns._waiting:
        story.blame(at, f"turns are left: {sorted(pipeline.turns._waiting)}")


def check_tasks(story: Story, at: float) -> None:
    """Afterwards: no task is left but the current one."""
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if left:
        story.blame(at, f"tasks are left over: {sorted(map(repr, left))}")


def run(story: Story, loop: VirtualLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run a process's main coroutine on its loop; any exception breaks a promise."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing should get out
        story.blame(loop.time(), f"it ends in {type(error).__name__}: {error}")
    finally:
        asyncio.set_event_loop(None)
