"""Stories of single calls: many callers of one client, each of whom must get a true report."""

import asyncio
from typing import Any

import attrs

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.errors import (
    AmbiguousOutcomeError,
    EnapterError,
    NotFoundError,
    ResultLostError,
)
from enapter_async.limits.pacing import Pacing
from tests.simulation import weather
from tests.simulation.loop import VirtualLoop, end
from tests.simulation.network import CALLER, Send, SimulatedClient, seems_done
from tests.simulation.story import (
    LEEWAY,
    Story,
    check_at_once,
    check_left,
    check_pauses,
    check_spacing,
    check_tasks,
    operation_of,
    run,
    secret_in,
    shapes,
)
from tests.simulation.world import Asked, Effect, wanted_by

SWEEP_SECONDS = 0.05
LENGTH = 60.0


@attrs.define(eq=False, kw_only=True)
class Told:
    """One call: the request, its time, and the report to its caller."""

    number: int
    asked: Asked
    at: float
    policy: RetryPolicy
    cancel_after: float | None = None
    ended: float | None = None
    leapt: float = 0.0
    result: Any = None
    error: EnapterError | None = None
    cancelled: bool = False
    well: bool = False
    sends: list[Send] = attrs.field(factory=list)
    reads: list[Send] = attrs.field(factory=list)


def tell_calls(story: Story) -> None:
    """Let callers make calls, and judge each report."""
    chance = story.chance
    story.people(shapes(chance.randint(1, 5)))
    story.network.weather = weather.draw(chance, start=0.0, length=LENGTH)
    calls = [_draw(story, number) for number in range(chance.randint(1, 14))]
    pacing = Pacing(
        max_in_flight=chance.choice((1, 2, 5, 100)), max_rate=chance.choice((None, None, 2.0))
    )
    timeouts = Timeouts(connect=chance.choice((0.5, 5.0)), read=chance.choice((0.3, 3.0, 30.0)))
    loop = story.loop(0.0)
    story.disturb(loop, 0.0, LENGTH)
    story.network.on_send = lambda send: _on_send(story, send, pacing)
    close_at = chance.uniform(0.0, LENGTH) if chance.random() < 0.1 else None
    run(
        story,
        loop,
        _callers(story, loop, calls, pacing=pacing, timeouts=timeouts, close_at=close_at),
    )
    if stubborn := end(loop):
        story.blame(loop.time(), f"tasks would not end: {stubborn}")
    story.world.settle_all()
    for call in calls:
        if call.ended is not None:
            _judge(story, call)
    check_spacing(story, story.network.sends, pacing.max_rate)
    # A pause is never longer than a call of the client would wait.
    check_pauses(story, story.network.sends, min(call.policy.max_retry_after for call in calls))


def _draw(story: Story, number: int) -> Told:
    chance = story.chance
    shape = chance.choice(list(story.world.devices.values()))
    address = shape.slug if chance.random() < 0.1 else shape.id
    verbs = ("get", "update", "assign_blueprint", "generate_config", "delete")
    verb = chance.choices(verbs, (2, 4, 2, 3, 5))[0]
    fields: dict[str, str] = {}
    if verb == "update":
        chosen = chance.choice((("name",), ("slug",), ("name", "slug")))
        fields = {field: f"{field}-by-{number}" for field in chosen}
    elif verb == "assign_blueprint":
        fields = {"blueprint_id": f"bp-{chance.randint(0, 2)}"}
    elif verb == "generate_config":
        fields = {"protocol": chance.choice(("MQTT", "MQTTS"))}
    return Told(
        number=number,
        asked=Asked(verb, address, tuple(sorted(fields.items()))),
        at=chance.uniform(0.0, chance.choice((0.1, LENGTH))),
        policy=RetryPolicy(
            attempts=chance.choice((1, 2, 4, 4, 6)),
            deadline=chance.choice((1.0, 10.0, 60.0, 60.0, 400.0)),
            max_retry_after=chance.choice((5.0, 120.0)),
            on_ambiguous="regenerate" if chance.random() < 0.15 else "raise",
        ),
        cancel_after=chance.uniform(0.0, 10.0) if chance.random() < 0.2 else None,
    )


def _on_send(story: Story, send: Send, pacing: Pacing) -> None:
    check_at_once(story, send, pacing.max_in_flight)
    call: Told = send.caller
    (call.sends if send.asked == call.asked else call.reads).append(send)


async def _callers(
    story: Story,
    loop: VirtualLoop,
    calls: list[Told],
    *,
    pacing: Pacing,
    timeouts: Timeouts,
    close_at: float | None,
) -> None:
    client = SimulatedClient(
        story.network,
        pacing=pacing,
        timeouts=timeouts,
        clock=story.clock(loop),
        hooks=(story.hook(loop),),
    )
    async with client:
        tasks = [asyncio.create_task(_caller(story, loop, client, call)) for call in calls]
        if close_at is not None:
            await asyncio.sleep(close_at)
            story.count("closed early")
            await client.close()
        await asyncio.gather(*tasks)
        check_left(story, client, loop.time())
        check_tasks(story, loop.time())


async def _caller(story: Story, loop: VirtualLoop, client: SimulatedClient, call: Told) -> None:
    await asyncio.sleep(call.at)
    call.at = loop.time()
    leapt = loop.leapt
    CALLER.set(call)
    story.count("calls")
    story.trace.tell(call.at, f"caller {call.number}", "asks for {}", call.asked)
    waiting = asyncio.ensure_future(
        client.with_options(retry=call.policy).execute(operation_of(call.asked))
    )
    if call.cancel_after is not None:
        loop.call_later(call.cancel_after, waiting.cancel)
    try:
        call.result = await waiting
        call.well = True
    except EnapterError as error:
        call.error = error
    except asyncio.CancelledError:
        call.cancelled = True
        story.count("cancelled")
    call.ended = loop.time()
    call.leapt = loop.leapt - leapt
    told = "well" if call.well else type(call.error).__name__ if call.error else "cancelled"
    story.count(f"ended {told}")
    story.trace.tell(call.ended, f"caller {call.number}", "is told: {} ({})", told, call.error)


# Compare each report with what happened.


def _judge(story: Story, call: Told) -> None:
    found = list(_lies(story, call))
    for each in found:
        story.blame(call.ended or 0.0, f"caller {call.number}, {call.asked}: {each}")


def _lies(story: Story, call: Told) -> "list[str]":
    assert call.ended is not None
    wrong: list[str] = []
    done = _effects(story, call)
    if call.asked.once:
        wrong += _sent_again(call)
    # A refusal for too many requests does not count as an attempt, if more than one is allowed.
    counted = [each for each in call.sends if call.policy.attempts == 1 or not each.too_much]
    if len(counted) > call.policy.attempts:
        wrong.append(f"{len(counted)} attempts, and {call.policy.attempts} are allowed")
    sent_reads = [each for each in call.reads if each.told != "N"]
    # An unconfirmed change is looked up twice, and a 404 may need the page that proves it.
    most = 3 if call.asked.verb == "delete" else 1
    if (
        len(sent_reads) > most
        or len(call.reads) > most + 1
        or (call.reads and not call.asked.writes)
    ):
        wrong.append(f"{len(call.reads)} reads were made to settle it")
    late = call.ended - call.at - call.leapt - call.policy.deadline
    if late > 2 * SWEEP_SECONDS + LEEWAY:
        wrong.append(f"it ended {late:.3f} s after its deadline")
    if call.well:
        wrong += _false_success(story, call, done)
    elif call.error is not None:
        wrong += _false_error(call, done)
    return wrong


def _effects(story: Story, call: Told) -> list[Effect]:
    numbers = {each.number for each in call.sends}
    return [each for each in story.world.effects if each.send in numbers]


def _sent_again(call: Told) -> list[str]:
    """A once-only request that may have been done is sent again only if its caller asks for it."""
    first = next((n for n, each in enumerate(call.sends) if each.unsure), len(call.sends))
    if len(call.sends) > first + 1 and call.policy.on_ambiguous == "raise":
        return [f"it was sent again after request {call.sends[first].number} may have been done"]
    return []


def _false_success(story: Story, call: Told, done: list[Effect]) -> list[str]:
    asked, world = call.asked, story.world
    reads = call.reads if asked.writes else call.sends
    looked = [each.as_of for each in reads if each.as_of is not None]
    start = min([call.at, *looked])
    assert call.ended is not None
    if asked.verb == "get":
        shown = (call.result.name, call.result.slug, call.result.blueprint_id)
        held = any(
            (shape.name, shape.slug, shape.blueprint_id) == shown
            for moment in looked
            if (shape := world.as_of(call.result.id, moment)) is not None
        )
        return [] if held else [f"it was shown {shown}, which never was"]
    if asked.once:
        secret = secret_in(call.result)
        return [] if secret in [each.secret for each in done] else [f"nobody minted {secret}"]
    wrong = []
    if asked.verb == "delete":
        # If another user changes the slug meanwhile, the address no longer exists, but the device
        # does.
        held = world.nameless(asked.address, start, call.ended)
    else:
        wanted, ids = wanted_by(asked), world.known_as(asked.address)
        held = any(world.ever(each, start, call.ended, wanted) for each in ids)
    if not held:
        wrong.append("it was told as done, and at no moment of the call was it so")
    if not done and not any(each.unsure for each in call.sends):
        wrong.append("it was told as done, and nothing was done")
    return wrong


def _false_error(call: Told, done: list[Effect]) -> list[str]:
    error = call.error
    unsure = [each for each in call.sends if each.unsure]
    if isinstance(error, AmbiguousOutcomeError):
        if not unsure and not seems_done(call.asked.verb, call.sends):
            return ["it was told as uncertain, and every request was answered or never sent"]
        if isinstance(error, ResultLostError) and not done:
            return ["it was told as done, and was not"]
        return []
    if not call.asked.writes or not done:
        return []
    if isinstance(error, NotFoundError) and call.asked.verb == "delete":
        # Whoever deleted it: a deletion's 404 only claims that the device is gone.
        return []
    return [f"{type(error).__name__}, and it was done at {done[0].at:.3f}"]
