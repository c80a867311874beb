"""Stories of single calls of all nouns: each caller must get a true report."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import attrs

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.emulator.commands import Commands
from enapter_async.errors import (
    AmbiguousOutcomeError,
    EnapterError,
    NotFoundError,
    ResultDiffersError,
    ResultLostError,
    StillPendingError,
)
from enapter_async.limits.pacing import Pacing
from enapter_async.operations.commands import CreateExecution
from tests.simulation import weather
from tests.simulation.emulated import Done, EmulatedWorld
from tests.simulation.loop import VirtualLoop, end
from tests.simulation.network import CALLER, Send, SimulatedClient
from tests.simulation.story import Story, check_at_once, check_left, check_tasks, run
from tests.simulation.wishes import Wish, draw_wishes

LENGTH = 60.0
DEVICES = 6


@attrs.define(eq=False, kw_only=True)
class Told:
    """One call: its time, and the report to its caller."""

    wish: Wish
    at: float
    policy: RetryPolicy
    wait: float
    ended: float | None = None
    result: Any = None
    error: EnapterError | None = None
    sends: list[Send] = attrs.field(factory=list)
    reads: list[Send] = attrs.field(factory=list)


def tell_noun_calls(story: Story) -> None:
    """Let callers execute operations of all nouns, and judge each report."""
    chance = story.chance
    world = EmulatedWorld(DEVICES, story.told)
    story.inhabit(world)
    wishes = draw_wishes(chance, world, chance.randint(1, 6))
    story.network.weather = weather.draw(chance, start=0.0, length=LENGTH)
    calls = [
        Told(
            wish=wish,
            at=chance.uniform(0.0, LENGTH),
            policy=RetryPolicy(
                attempts=chance.choice((1, 2, 4)),
                deadline=chance.choice((10.0, 60.0, 400.0)),
                on_ambiguous="regenerate" if chance.random() < 0.1 else "raise",
            ),
            wait=chance.choice((1.0, 20.0)),
        )
        for wish in wishes
    ]
    pacing = Pacing(max_in_flight=chance.choice((1, 4, 100)))
    timeouts = Timeouts(connect=5.0, read=chance.choice((0.3, 3.0, 30.0)))
    loop = story.loop(0.0)
    story.disturb_clocks(loop, 0.0, LENGTH)
    story.network.on_send = lambda send: _on_send(story, send, pacing)
    run(story, loop, _callers(story, loop, calls, pacing, timeouts))
    if stubborn := end(loop):
        story.blame(loop.time(), f"tasks would not end: {stubborn}")
    world.settle_all()
    for call in calls:
        for lie in _lies(world, call):
            story.blame(call.ended or 0.0, f"{call.wish}: {lie}")


def _on_send(story: Story, send: Send, pacing: Pacing) -> None:
    check_at_once(story, send, pacing.max_in_flight)
    call: Told = send.caller
    (call.sends if send.asked.writes else call.reads).append(send)


async def _callers(
    story: Story, loop: VirtualLoop, calls: list[Told], pacing: Pacing, timeouts: Timeouts
) -> None:
    client = SimulatedClient(
        story.network,
        pacing=pacing,
        timeouts=timeouts,
        clock=story.clock(loop),
        hooks=(story.hook(loop),),
    )
    async with client:
        await asyncio.gather(*(_caller(story, loop, client, call) for call in calls))
        check_left(story, client, loop.time())
        check_tasks(story, loop.time())


async def _caller(story: Story, loop: VirtualLoop, client: SimulatedClient, call: Told) -> None:
    await asyncio.sleep(call.at)
    call.at = loop.time()
    CALLER.set(call)
    story.count("calls")
    story.trace.tell(call.at, "caller", "asks for {}", call.wish)
    asked = client.with_options(retry=call.policy)
    operation = call.wish.operation
    try:
        if isinstance(operation, CreateExecution):
            call.result = await asked.commands.execute(
                operation.device_id,
                operation.name,
                operation.arguments,
                site_id=operation.site_id,
                wait=timedelta(seconds=call.wait),
            )
        else:
            call.result = await asked.execute(operation)
    except EnapterError as error:
        call.error = error
    call.ended = loop.time()
    told = "well" if call.error is None else type(call.error).__name__
    story.count(f"{operation.kind} {told}")
    story.trace.tell(call.ended, "caller", "is told: {} ({})", told, call.error)


# Compare each report with what happened.


def effects_of(world: EmulatedWorld, wish: Wish, sends: list[Send]) -> list[Done]:
    """Return the effects of an operation's own requests."""
    numbers = {each.number for each in sends}
    return [each for each in world.done if each.send in numbers and each.operation == wish.effect]


def _lies(world: EmulatedWorld, call: Told) -> Iterator[str]:
    wish, error = call.wish, call.error
    done = effects_of(world, wish, call.sends)
    unsure = [each for each in call.sends if each.unsure]
    if wish.once and call.policy.on_ambiguous == "raise":
        yield from _sent_again(call, done, unsure)
    if error is None:
        yield from _false_success(world, call, done, bool(unsure))
    elif isinstance(error, ResultDiffersError):
        if not done:
            yield "it differs, and was not done"
    elif isinstance(error, StillPendingError):
        if not done:
            yield "it is pending, and was never accepted"
    elif isinstance(error, AmbiguousOutcomeError):
        yield from _false_doubt(call, error, done, bool(unsure))
    elif done and not (isinstance(error, NotFoundError) and wish.effect.endswith("delete")):
        yield f"{type(error).__name__}, and it was done at {done[0].at:.3f}"


def _sent_again(call: Told, done: list[Done], unsure: list[Send]) -> Iterator[str]:
    if len(done) > 1:
        yield f"it was done {len(done)} times"
    if unsure and unsure[0] is not call.sends[-1]:
        yield f"it was sent again after request {unsure[0].number} may have been done"


def _false_success(
    world: EmulatedWorld, call: Told, done: list[Done], unsure: bool
) -> Iterator[str]:
    wish, ended = call.wish, call.ended or 0.0
    if wish.wanted is not None:
        looked = [each.as_of for each in call.reads if each.as_of is not None]
        if not world.was(min([call.at, *looked]), ended, wish.wanted):
            yield "it was told as done, and at no moment of the call was it so"
        if not done and not unsure:
            yield "it was told as done, and nothing was done"
        return
    made = call.result
    told = getattr(made, "device_id", None) if wish.effect != "create_execution" else made.id
    told = told or made.id
    if wish.effect == "create_execution":
        if not done:
            yield "it was told as executed, and was never accepted"
        elif state_of(world, told) != "SUCCESS":
            yield f"it was told as executed, and is {state_of(world, told)}"
    elif told not in [each.id for each in done]:
        yield f"{told} was returned, and it created {[each.id for each in done]}"


def _false_doubt(
    call: Told,
    error: AmbiguousOutcomeError,
    done: list[Done],
    unsure: bool,
) -> Iterator[str]:
    wish = call.wish
    if not unsure and not (wish.followed and done):
        yield "it was told as uncertain, and every request was answered or never sent"
    if isinstance(error, ResultLostError) and not done:
        yield "it was told as done, and was not"
    found = {str(each.id) for each in error.candidates}
    if found & wish.older and "existed before" not in str(error):
        yield f"{found & wish.older} are candidates, and existed before"
    after = [each for each in call.reads if call.sends and each.at > (call.sends[-1].ended or 0.0)]
    shown = min((each.as_of or 0.0 for each in after), default=0.0)
    searched = "a search found" in str(error) and not wish.followed
    if searched and done and done[0].at <= shown and done[0].id not in found:
        yield f"a search found {found}, and not {done[0].id}, which it created"


def state_of(world: EmulatedWorld, execution_id: str) -> str:
    """Return the state of an execution long after everything."""
    commands = world.now_there.noun(Commands)
    world.now_there.time.at = world.now + 3600.0
    states = {each["id"]: each["state"] for each in commands.executions()}
    return str(states.get(execution_id, "unknown"))
