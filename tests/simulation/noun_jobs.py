"""Stories of jobs with operations of all nouns: killed, stopped, and resumed from the journal."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.errors import EnapterError
from enapter_async.fleet import JournalOptions, Outcome, Run
from enapter_async.limits.pacing import Pacing
from tests.simulation import weather
from tests.simulation.drawing import Interruption
from tests.simulation.emulated import EmulatedWorld
from tests.simulation.jobs import SCRATCH
from tests.simulation.loop import ProcessKilled, VirtualLoop, end
from tests.simulation.network import Send, SimulatedClient, seems_done
from tests.simulation.noun_calls import DEVICES, effects_of, state_of
from tests.simulation.papers import has_begun, photograph, restore
from tests.simulation.story import Story, check_at_once, check_left, check_tasks, run
from tests.simulation.wishes import Wish, draw_wishes
from tests.simulation.world import Asked

LENGTH: Final = 40.0
_KINDS: Final = ("kill", "kill", "kill at a turn", "kill at a turn", "stop", "cut")
_MAYBE: Final = ("intent", "unknown", "pending")


@attrs.frozen
class Known:
    """An outcome, when it was known, and how many requests had been sent by then."""

    at: float
    sends: int
    began: float
    session: int
    outcome: Outcome[Any]
    standing: str
    """The item's last record in the journal when the session began."""

    @property
    def state(self) -> str:
        return str(self.outcome.state)


class NounJob:
    """One job, its sessions, and everything that was sent for each operation."""

    def __init__(self, story: Story, folder: Path) -> None:
        chance = story.chance
        self.story = story
        self.folder = folder
        self.there = EmulatedWorld(DEVICES, story.told)
        story.inhabit(self.there)
        self.wishes = draw_wishes(chance, self.there, chance.randint(1, 8))
        self.sends: dict[Asked, list[Send]] = {wish.asked: [] for wish in self.wishes}
        self.known: dict[Asked, list[Known]] = {wish.asked: [] for wish in self.wishes}
        self.began = 0.0
        self.standing: dict[int, str] = {}
        self.policy = RetryPolicy(
            attempts=chance.choice((1, 2, 4)),
            deadline=chance.choice((10.0, 60.0)),
            on_ambiguous="regenerate" if chance.random() < 0.1 else "raise",
        )
        self.pacing = Pacing(max_in_flight=chance.choice((1, 4, 100)))
        self.timeouts = Timeouts(connect=5.0, read=chance.choice((1.0, 10.0)))
        self.options: dict[str, Any] = {
            "retry_failed": chance.random() < 0.3,
            "accept_candidates": chance.random() < 0.4,
            "ambiguous": chance.choice(("report", "report", "skip", "regenerate")),
        }
        self.how: dict[str, Any] = {
            "concurrency": chance.choice((1, 3, 8)),
            "wait": chance.choice((1.0, 30.0)),
            "check": chance.random() < 0.2,
            "abort": None,
            "credentials": folder / "credentials.jsonl",
        }

    @property
    def repeats(self) -> bool:
        """Whether a once-only operation may be sent again after it may have been done."""
        return "regenerate" in (self.policy.on_ambiguous, self.options["ambiguous"])

    def run(self, client: SimulatedClient) -> Run[Any]:
        journal = JournalOptions(path=self.folder / "run.db", **self.options)
        operations = [wish.operation for wish in self.wishes]
        return Run(client, operations, journal=journal, **self.how)

    def on_send(self, send: Send) -> None:
        check_at_once(self.story, send, self.pacing.max_in_flight)
        if not send.asked.writes:
            return
        mine = self.sends.get(send.asked)
        if mine is None:
            self.story.blame(send.at, f"nobody asked for {send.asked}")
            return
        wish = next(each for each in self.wishes if each.asked == send.asked)
        if wish.once and not self.repeats and any(each.unsure for each in mine):
            self.story.blame(send.at, f"{wish} is sent again after it may have been done")
        mine.append(send)

    def told(self, outcome: Outcome[Any], now: float) -> None:
        number = next(
            n for n, wish in enumerate(self.wishes) if wish.operation == outcome.operation
        )
        wish, network = self.wishes[number], self.story.network
        self.story.count(f"{wish.operation.kind} {outcome.state}")
        self.story.trace.tell(now, "outcome", "{}: {} ({})", wish, outcome.state, outcome.error)
        self.known[wish.asked].append(
            Known(
                now,
                len(network.sends),
                self.began,
                network.session,
                outcome,
                self.standing.get(number, ""),
            )
        )

    def read_standing(self) -> None:
        """Read the last record of each item, without any code of the package."""
        path = self.folder / "run.db"
        self.standing = {}
        if has_begun(path):
            events = "SELECT seq, kind FROM event WHERE seq IS NOT NULL ORDER BY id"
            with closing(sqlite3.connect(path)) as connection:
                self.standing = dict(connection.execute(events).fetchall())


def tell_noun_job(story: Story) -> None:
    """Let a job with operations of all nouns be interrupted and resumed, and judge its reports."""
    chance = story.chance
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        job = NounJob(story, Path(folder))
        story.network.on_send = job.on_send
        kinds = [chance.choice(_KINDS) for _ in range(chance.choice((0, 1, 1, 2)))]
        ends = [Interruption(kind=kind, after=10.0 ** chance.uniform(-2.0, 1.5)) for kind in kinds]
        now = 0.0
        for number, interruption in enumerate((*ends, None)):
            now = _play(story, job, number, interruption, now) + chance.uniform(0.0, 30.0)
        story.world.settle_all()
        for wish in job.wishes:
            for known in job.known[wish.asked]:
                for lie in _lies(job, wish, known):
                    story.blame(known.at, f"{wish}: told {known.state}, and {lie}")
            done = effects_of(job.there, wish, job.sends[wish.asked])
            if wish.once and len(done) > 1 and not job.repeats:
                story.blame(done[1].at, f"{wish} was done {len(done)} times")


def _play(
    story: Story, job: NounJob, number: int, interruption: Interruption | None, now: float
) -> float:
    """Play one session, and return the time of its end."""
    chance, network = story.chance, story.network
    network.session, job.began = number, now
    last = interruption is None and number > 0
    network.weather = weather.CALM if last else weather.draw(chance, start=now, length=LENGTH)
    loop = story.loop(now)
    story.disturb_clocks(loop, now, LENGTH)
    job.read_standing()
    picture: dict[str, bytes] = {}

    def die() -> None:
        picture.update(photograph(job.folder))
        network.dead = True
        story.trace.tell(loop.time(), "session", "{} is killed", number + 1)

    loop.on_kill = die
    if interruption is not None and interruption.kind == "kill at a turn":
        loop.kill_at_turn = round(10.0 ** (interruption.after % 3.0))
    elif interruption is not None and interruption.kind == "kill":
        loop.call_later(interruption.after, loop.kill)
    story.count("sessions")
    try:
        run(story, loop, _session(story, job, interruption, loop))
    except ProcessKilled:
        story.count("kills")
    over = loop.time()
    stubborn = end(loop)
    if network.dead:
        restore(job.folder, picture)
        network.dead = False
    elif stubborn:
        story.blame(over, f"tasks would not end: {stubborn}")
    story.world.settle(over)
    return over


async def _session(
    story: Story, job: NounJob, interruption: Interruption | None, loop: VirtualLoop
) -> None:
    client = SimulatedClient(
        story.network,
        retry=job.policy,
        timeouts=job.timeouts,
        pacing=job.pacing,
        clock=story.clock(loop),
        hooks=(story.hook(loop),),
    )
    async with client:
        try:
            async with job.run(client) as watched:
                if interruption is not None and interruption.kind in ("stop", "cut"):
                    act = watched.stop if interruption.kind == "stop" else watched.cut
                    loop.call_later(interruption.after, act)
                async for outcome in watched:
                    if not story.network.dead:
                        job.told(outcome, loop.time())
        except EnapterError as error:
            story.trace.tell(loop.time(), "session", "ends in {}: {}", type(error).__name__, error)
        if story.network.dead:
            return
        check_left(story, client, loop.time())
    check_tasks(story, asyncio.get_running_loop().time())


# Compare each outcome with what happened.


def _lies(job: NounJob, wish: Wish, known: Known) -> Iterator[str]:
    state = known.state
    sends = [each for each in job.sends[wish.asked] if each.number < known.sends]
    done = effects_of(job.there, wish, sends)
    if state == "applied":
        yield from _not_applied(job, wish, known)
    elif state in ("unchanged", "absent"):
        if not ((done or wish.older) if wish.once else _held(job, wish, known)):
            yield "at no moment was it so"
    elif state in ("failed", "held"):
        if done and not (wish.followed and known.standing == "pending"):
            yield f"it was done at {done[0].at:.3f}"
    elif state in ("differs", "pending"):
        if not done:
            yield "it was never done"
    else:
        unsure = any(each.unsure for each in sends) or known.standing in _MAYBE
        unsure = unsure or seems_done(wish.effect, sends)
        if not unsure and not (wish.followed and done):
            yield "it was never sent, or surely refused each time"


def _not_applied(job: NounJob, wish: Wish, known: Known) -> Iterator[str]:
    done = effects_of(job.there, wish, job.sends[wish.asked])
    if not wish.once:
        if not _held(job, wish, known):
            yield "at no moment was it so"
        return
    result = known.outcome.result
    if wish.followed:
        if not done or state_of(job.there, result.id) != "SUCCESS":
            yield f"execution {result.id} is {state_of(job.there, result.id)}"
        return
    made = getattr(result, "device_id", None) or result.id
    if made not in [each.id for each in done]:
        yield f"it returned {made}, and created {[each.id for each in done]}"


def _held(job: NounJob, wish: Wish, known: Known) -> bool:
    sends = job.story.network.sends
    looked = [each.as_of for each in sends if each.as_of is not None]
    start = min([known.began, *(at for at in looked if at >= known.began - weather.OLDEST_READ)])
    return wish.wanted is not None and job.there.was(start, known.at, wish.wanted)
