"""Random operations on a fleet for one story, and random events for its sessions."""

import random
from typing import Any, Final

import attrs

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.fleet import DEFAULT_ABORT, AbortCriterion, HealthGate, Rollout
from enapter_async.limits.pacing import Pacing
from tests.simulation.story import Story, operation_of, shapes
from tests.simulation.witness import Item
from tests.simulation.world import Asked

INTERRUPTIONS: Final = (
    "kill",
    "kill",
    "kill at a turn",
    "kill at a turn",
    "stop",
    "cut",
    "cancel",
    "leave",
    "full disk",
)


@attrs.frozen(kw_only=True)
class Interruption:
    """How a session ends early: after a number of seconds, turns or outcomes."""

    kind: str
    after: float


@attrs.frozen(kw_only=True)
class Job:
    """The operations on a fleet, and the options of the job."""

    items: tuple[Item, ...]
    form: str
    concurrency: int
    journal: bool
    power: bool
    credentials: str
    rollout: Rollout | None
    abort: Any
    check: bool
    retry_failed: bool
    ambiguous: Any
    accept_wave: bool
    max_pause: float
    pacing: Pacing
    policy: RetryPolicy
    timeouts: Timeouts
    slow: float
    interruptions: tuple[Interruption, ...]


def draw_job(story: Story) -> Job:
    chance = story.chance
    story.people(shapes(chance.randint(1, 24)))
    form = chance.choice(("list", "list", "list", "iterator", "async"))
    items = _draw_items(story, planned=form == "list")
    rollout = None
    if form == "list" and chance.random() < 0.35:
        rollout = Rollout(
            waves=chance.choice(((1, "rest"), (1, 3, "50%"), (2, 2, 2), ("10%", "50%"))),
            hold=chance.choice((0.0, 0.0, 20.0)),
            per_group=chance.choice((None, None, 1, 2)),
            health=HealthGate(most_lost=50.0) if chance.random() < 0.1 else None,
        )
    criterion = AbortCriterion(
        failure_type=chance.choice(("all", "failed", "unknown")),
        threshold_percentage=chance.choice((10.0, 25.0, 33.33, 50.0, 100.0)),
        min_executed=chance.choice((1, 2, 3, 5, 10)),
    )
    journal = chance.random() < 0.85
    kinds = [chance.choice(INTERRUPTIONS) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    return Job(
        items=items,
        form=form,
        concurrency=chance.choice((1, 2, 3, 8, 64)),
        journal=journal,
        power=chance.random() < 0.2,
        credentials=chance.choice(("file", "file", "file", "sink", "bad sink", "")),
        rollout=rollout,
        abort=chance.choice((None, DEFAULT_ABORT, criterion, criterion, criterion)),
        check=chance.random() < 0.2,
        retry_failed=chance.random() < 0.3,
        ambiguous=chance.choice(("report", "report", "skip", "regenerate")),
        accept_wave=random.Random(f"wave {story.seed}").random() < 0.3,
        max_pause=chance.choice((30.0, 900.0, 900.0)),
        pacing=Pacing(
            max_in_flight=chance.choice((1, 4, 100, 100)),
            max_rate=chance.choice((None, None, None, 5.0)),
        ),
        policy=RetryPolicy(
            attempts=chance.choice((1, 2, 4, 4)),
            deadline=chance.choice((10.0, 60.0, 60.0)),
            on_ambiguous="regenerate" if chance.random() < 0.1 else "raise",
        ),
        timeouts=Timeouts(connect=5.0, read=chance.choice((1.0, 10.0))),
        slow=chance.choice((0.0, 0.0, 0.0, 0.5)),
        interruptions=tuple(_draw_interruption(story, kind) for kind in kinds),
    )


def _draw_interruption(story: Story, kind: str) -> Interruption:
    chance = story.chance
    if kind == "kill at a turn":
        return Interruption(kind=kind, after=round(10.0 ** chance.uniform(0.0, 3.0)))
    if kind == "leave":
        return Interruption(kind=kind, after=chance.randint(0, 10))
    if kind in ("cut", "cancel") and chance.random() < 0.5:
        # While the first intents are being written to the disk.
        return Interruption(kind=kind, after=chance.uniform(0.0, 0.03))
    return Interruption(kind=kind, after=10.0 ** chance.uniform(-2.0, 1.5))


def _draw_items(story: Story, *, planned: bool) -> tuple[Item, ...]:
    """Draw one or more operations for each device, deletions last, and mix the devices."""
    chance = story.chance
    as_items = planned and chance.random() < 0.5
    mints = chance.random() < 0.6
    deleting = chance.choice((0.2, 0.2, 0.8))
    queues: list[list[Asked]] = []
    for number, device_id in enumerate(story.world.devices):
        wishes = [
            Asked("update", device_id, (("name", f"new-{number}"),)),
            Asked("assign_blueprint", device_id, (("blueprint_id", f"bp-{number % 3 + 1}"),)),
            Asked("update", device_id, (("slug", f"new-slug-{number}"),)),
        ]
        if mints:
            wishes += [
                Asked("generate_config", device_id, (("protocol", protocol),))
                for protocol in ("MQTT", "MQTTS")
            ]
        queue = chance.sample(wishes, chance.choice((0, 1, 1, 1, 2, 3)))
        if chance.random() < deleting:
            queue.append(Asked("delete", device_id))
        queues.append(queue)
    alone = {queue[0].address for queue in queues if len(queue) == 1}
    found: list[Item] = []
    while any(queues):
        asked = chance.choice([queue for queue in queues if queue]).pop(0)
        shape = story.world.devices[asked.address]
        before = chance.random() < 0.3 and asked.address in alone
        after = as_items and found and chance.random() < 0.1
        found.append(
            Item(
                index=len(found),
                asked=asked,
                operation=operation_of(asked),
                as_item=as_items,
                group=shape.site_id if as_items else "",
                after=chance.randrange(len(found)) if after else None,
                before=shape.name if as_items and before else None,
            )
        )
    return tuple(found)
