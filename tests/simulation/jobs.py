"""Stories of fleet runs: sessions are stopped, cut off and killed, and resume from the journal."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from enapter_async.errors import EnapterError
from enapter_async.fleet import (
    JournalOptions,
    Outcome,
    Run,
    WorkItem,
)
from tests.simulation import weather
from tests.simulation.drawing import Interruption, Job, draw_job
from tests.simulation.judge import Judge
from tests.simulation.loop import ProcessKilled, VirtualLoop, end
from tests.simulation.network import SimulatedClient
from tests.simulation.papers import has_begun, photograph, restore
from tests.simulation.story import (
    Story,
    check_left,
    check_tasks,
    run,
)
from tests.simulation.witness import Item, Session

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own within it
SCRATCH: Final = MEMORY if MEMORY.is_dir() else None
ACTS: Final = ("stop", "cut", "cancel", "full disk")
LENGTH: Final = 40.0
BETWEEN: Final = 30.0


def tell_job(story: Story) -> None:
    """Let a run begin, be interrupted and end, and judge its reports."""
    job = draw_job(story)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        witness = Judge(story, job, Path(folder))
        story.network.on_send = witness.on_send
        now = 0.0
        for number, interruption in enumerate((*job.interruptions, None)):
            now = _play(
                story, job, witness, number=number, interruption=interruption, now=now
            ) + story.chance.uniform(0.0, BETWEEN)
            if not job.journal or story.broken:
                break
        story.world.settle_all()
        witness.judge()


# One session.


def _play(
    story: Story,
    job: Job,
    witness: Judge,
    *,
    number: int,
    interruption: Interruption | None,
    now: float,
) -> float:
    """Play one session, and return the time of its end."""
    chance, network = story.chance, story.network
    last = interruption is None and number > 0
    network.session = number
    network.weather = weather.CALM if last else weather.draw(chance, start=now, length=LENGTH)
    loop = story.loop(now)
    if not last:
        story.disturb(loop, now, LENGTH)
    session = witness.begin(number, now)
    kind = "" if interruption is None else interruption.kind
    story.trace.tell(
        now, "session", "{} begins{}", number + 1, f", to meet: {kind}" if kind else ""
    )
    story.count("sessions")
    picture: dict[str, bytes] = {}

    def die() -> None:
        picture.update(photograph(witness.folder))
        network.dead = True
        story.trace.tell(loop.time(), "session", "{} is killed", number + 1)

    loop.on_kill = die
    if interruption is not None and kind == "kill at a turn":
        loop.kill_at_turn = int(interruption.after)
    elif interruption is not None and kind == "kill":
        loop.call_later(interruption.after, loop.kill)
    try:
        run(
            story,
            loop,
            _session(story, job, witness, session, interruption=interruption, loop=loop),
        )
    except ProcessKilled:
        story.count("kills")
    over = loop.time()
    witness.close()
    stubborn = end(loop)
    if network.dead:
        session.how = "killed"
        restore(witness.folder, picture)
        network.dead = False
    elif stubborn:
        story.blame(over, f"tasks would not end: {stubborn}")
    story.world.settle(over)
    witness.over(session, over)
    return over


async def _session(
    story: Story,
    job: Job,
    witness: Judge,
    session: Session,
    *,
    interruption: Interruption | None,
    loop: VirtualLoop,
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
        watched = WatchedRun(
            witness,
            session,
            client,
            _input(story, job, witness, first=session.number == 0),
            concurrency=job.concurrency,
            journal=_journal(job, witness),
            rollout=job.rollout,
            abort=job.abort,
            credentials=_keeper(job, witness),
            check=job.check,
            max_pause=job.max_pause,
            on_event=session.on_event,
        )
        whole = asyncio.ensure_future(_whole(watched, witness, session, interruption, job.slow))
        if interruption is not None and interruption.kind in ACTS:
            acts = {
                "stop": watched.stop,
                "cut": watched.cut,
                "cancel": whole.cancel,
                "full disk": watched.fill_disk,
            }
            act = acts[interruption.kind]
            loop.call_later(interruption.after, _act, story, session, interruption.kind, act)
        try:
            await whole
        except asyncio.CancelledError:
            session.how = "cancelled"
        except EnapterError as error:
            session.how = "not begun"
            story.trace.tell(loop.time(), "session", "ends in {}: {}", type(error).__name__, error)
            if session.begun or session.ends:
                story.blame(loop.time(), f"{type(error).__name__} ends a session that had begun")
        if story.network.dead:
            return
        session.report = watched.report
        check_left(story, client, loop.time())
        if watched._pool.unfinished:
            left = watched._pool.unfinished
            story.blame(loop.time(), f"{left} operations are left in flight")
    check_tasks(story, loop.time())


def _act(story: Story, session: Session, kind: str, act: Any) -> None:
    if session.how == "over" and session.report is None and not story.network.dead:
        story.count(kind)
        story.trace.tell(asyncio.get_running_loop().time(), "session", "{}", kind)
        if kind in ("cut", "full disk"):
            session.how = kind
        session.asked_to_stop = True
        act()


async def _whole(
    watched: "WatchedRun",
    witness: Judge,
    session: Session,
    interruption: Interruption | None,
    slow: float,
) -> None:
    leave = interruption is not None and interruption.kind == "leave"
    async with watched:
        session.entered = True
        async for outcome in watched:
            witness.told(session, outcome)
            if leave and interruption is not None and len(session.told) > interruption.after:
                session.how = "left"
                break
            if slow:
                await asyncio.sleep(slow)


class WatchedRun(Run[Any]):
    """A run that records the moment at which each outcome is known."""

    def __init__(self, witness: Judge, session: Session, *arguments: Any, **settings: Any) -> None:
        self._witness = witness
        self._session_log = session
        super().__init__(*arguments, **settings)

    def fill_disk(self) -> None:
        """Let SQLite find the disk full from now on."""
        if self._session is not None:
            self._session._journal._connection.execute("PRAGMA max_page_count=1")

    def _take(self, outcome: Outcome[Any]) -> None:
        self._witness.known(self._session_log, outcome)
        super()._take(outcome)


def _keeper(job: Job, witness: Judge) -> Any:
    return (
        witness.credentials
        if job.credentials == "file"
        else witness.keep
        if job.credentials
        else None
    )


def _journal(job: Job, witness: Judge) -> JournalOptions | None:
    if not job.journal:
        return None
    return JournalOptions(
        path=witness.journal,
        power=job.power,
        retry_failed=job.retry_failed,
        ambiguous=job.ambiguous,
        accept_wave=job.accept_wave,
    )


def _input(story: Story, job: Job, witness: Judge, *, first: bool) -> Any:
    """Return the input in the job's form, or nothing if the journal knows all of it."""
    from_journal = not first and job.form == "list" and story.chance.random() < 0.5
    if from_journal and has_begun(witness.journal):
        return None
    works = _works(job.items)
    if job.form == "iterator":
        return iter(works)
    if job.form == "async":
        return _slowly(works, story.chance.choice((0.0, 0.2)))
    return works


def _works(items: Sequence[Item]) -> list[Any]:
    return [
        WorkItem(
            seq=item.index,
            operation=item.operation,
            group=item.group,
            after=item.after,
            before=None if item.before is None else {"name": item.before},
        )
        if item.as_item
        else item.operation
        for item in items
    ]


async def _slowly(works: Iterable[Any], seconds: float) -> AsyncIterator[Any]:
    for work in works:
        await asyncio.sleep(seconds)
        yield work
