"""Watches a fleet run, request by request, and immediately checks what can be known by then.

Leaves checks that a late effect may still change to the `Judge`, at the end.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from enapter_async.fleet import Outcome
from enapter_async.fleet.outcomes import RunEvent, RunStopped, WaveBegan
from enapter_async.operation import Operation
from tests.simulation.network import Send
from tests.simulation.papers import DONE, INTENT, Reader, kept_secrets, read_journal, wave_notes
from tests.simulation.passing import unpassed
from tests.simulation.story import Story, check_at_once, secret_in
from tests.simulation.world import Asked, Effect, Shape, wanted_by

LONGEST_PAUSE = 120.0
"""The limit of a client's pause: the default of its retry policy."""


@attrs.frozen(kw_only=True)
class Item:
    """One operation on the fleet."""

    index: int
    asked: Asked
    operation: Operation[Any]
    as_item: bool = False
    group: str = ""
    after: int | None = None
    before: str | None = None

    def __str__(self) -> str:
        return f"item {self.index}, {self.asked}"


@attrs.frozen(kw_only=True)
class Known:
    """An outcome, when it was known, and how many requests had been sent by then."""

    at: float
    session: int
    sends: int
    state: str
    settled: bool
    error: str
    secret: str


@attrs.define(eq=False, kw_only=True)
class Session:
    """One process that works on the run."""

    number: int
    began: float
    story: Story
    standing: dict[Asked, str]
    """The state of each item when the session began: its last record in the journal."""
    refused: frozenset[int] = frozenset()
    """Waves that had not passed when the session began, according to the journal."""
    accepted: frozenset[int] = frozenset()
    """Waves that a person accepted anyway in an earlier session."""
    looked_at: set[int] = attrs.field(factory=set)
    how: str = "over"
    asked_to_stop: bool = False
    entered: bool = False
    over_at: float = 0.0
    report: Any = None
    stopped_at: int | None = None
    """How many requests had been sent when the run stopped itself."""
    order: list[tuple[Asked, Known]] = attrs.field(factory=list)
    ends: dict[Asked, Known] = attrs.field(factory=dict)
    told: list[Any] = attrs.field(factory=list)
    begun: set[Asked] = attrs.field(factory=set)

    def on_event(self, event: RunEvent) -> None:
        """Handle an event of the run."""
        network = self.story.network
        if network.dead:
            return
        now = asyncio.get_running_loop().time()
        self.story.trace.tell(now, "run", "{}", type(event).__name__)
        if isinstance(event, RunStopped):
            self.stopped_at = len(network.sends)
        if isinstance(event, WaveBegan):
            writes = [each for each in network.under_way if each.asked.writes]
            if writes:
                self.story.blame(now, f"wave {event.number} begins while {writes[0].asked} goes on")


class Witness:
    """Sees all sessions of one run."""

    def __init__(self, story: Story, job: Any, folder: Path) -> None:
        self.story = story
        self.job = job
        self.folder = folder
        self.journal = folder / "run.db"
        self.credentials = folder / "credentials.jsonl"
        self.items: dict[Asked, Item] = {item.asked: item for item in job.items}
        self.sends: dict[Asked, list[Send]] = {asked: [] for asked in self.items}
        self.sessions: list[Session] = []
        self._reader: Reader | None = None
        self._in_sink: set[tuple[str, str]] = set()

    # The sessions.

    def begin(self, number: int, now: float) -> Session:
        standing = {asked: paper.last for asked, paper in read_journal(self.journal).items()}
        refused, accepted = wave_notes(self.journal)
        session = Session(
            number=number,
            began=now,
            story=self.story,
            standing=standing,
            refused=refused,
            accepted=accepted,
        )
        self.sessions.append(session)
        return session

    def close(self) -> None:
        """Close the journal before it is restored."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def known(self, session: Session, outcome: Outcome[Any]) -> None:
        """Record an outcome at the moment when it is known."""
        if self.story.network.dead:
            return
        now = asyncio.get_running_loop().time()
        asked = self.asked_in(outcome)
        result = outcome.result
        known = Known(
            at=now,
            session=session.number,
            sends=len(self.story.network.sends),
            state=str(outcome.state),
            settled=outcome.settled,
            error=type(outcome.error).__name__ if outcome.error else "",
            secret=secret_in(result) if asked.once and result is not None else "",
        )
        why = f": {outcome.error}" if outcome.error else ""
        settled = ", settled" if outcome.settled else ""
        index = self.items[asked].index
        self.story.trace.tell(
            now, "outcome", "item {}, {}: {}{}{}", index, asked, known.state, settled, why
        )
        if asked in session.ends:
            self.story.blame(now, f"{self.items[asked]}: a second outcome, {known.state}")
        self.story.count(f"item {known.state}")
        session.ends[asked] = known
        session.order.append((asked, known))

    def told(self, session: Session, outcome: Outcome[Any]) -> None:
        """Record an outcome that was reported to the run's user."""
        session.told.append(outcome)

    def asked_in(self, outcome: Outcome[Any]) -> Asked:
        for asked, item in self.items.items():
            if item.operation is outcome.operation or item.operation == outcome.operation:
                return asked
        raise AssertionError(f"nobody asked for {outcome.operation!r}")

    # Before each request.

    def on_send(self, send: Send) -> None:
        session = self.sessions[-1]
        check_at_once(self.story, send, self.job.pacing.max_in_flight)
        if not send.asked.writes:
            return
        item = self.items.get(send.asked)
        if item is None:
            self.story.blame(send.at, f"nobody asked for {send.asked}")
            return
        for problem in self._problems(session, item):
            self.story.blame(send.at, f"request {send.number} ({item}): {problem}")
        self.sends[item.asked].append(send)
        session.begun.add(item.asked)

    def _problems(self, session: Session, item: Item) -> Iterator[str]:
        earlier = self.sends[item.asked]
        mine = [each for each in earlier if each.session == session.number]
        standing = session.standing.get(item.asked, "")
        if item.asked in session.ends:
            yield "it is sent after its outcome was known"
        if standing in DONE or (standing == "failed" and not self.job.retry_failed):
            yield f"it is sent again, and the journal says {standing}"
        if item.asked.once and any(each.unsure for each in earlier):
            again = self.job.ambiguous == "regenerate" and not any(each.unsure for each in mine)
            if not again and self.job.policy.on_ambiguous != "regenerate":
                yield "a once-only operation is sent again after it may have been done"
        if self.job.journal:
            yield from self._unwritten(session, item, earlier)
        yield from self._out_of_order(session, item)
        if not mine:
            yield from self._too_many(session, item)
            if item.before is not None and not self._looked(session, item):
                yield "it is sent, and nobody saw that its device is as planned"

    def _unwritten(self, session: Session, item: Item, earlier: list[Send]) -> Iterator[str]:
        if self._reader is None:
            self._reader = Reader(self.journal)
        intents = self._reader.intents(item.asked)
        needed = 1 + sum(each.unsure for each in earlier)
        if intents < needed:
            yield f"{intents} intents are on the disk, and it may arrive the {needed}. time"
        place = self._reader.place(item.asked)
        if self.job.rollout is None or place is None:
            return
        if place[1] not in session.looked_at:
            session.looked_at.add(place[1])
            yield from unpassed(self, session, place[1], self._reader.waves())
        for other in self.items.values():
            where = self._reader.place(other.asked)
            if where is not None and where[1] < place[1] and not self.end_of(session, other.asked):
                yield f"it is of wave {place[1] + 1}, and {other} of wave {where[1] + 1} goes on"
                return

    def end_of(self, session: Session, asked: Asked) -> str:
        """Return how an item ended, in this session or an earlier one; "" if it did not."""
        known = session.ends.get(asked)
        if known is not None:
            return known.state
        standing = session.standing.get(asked, "")
        if standing in (INTENT, "unknown") and self._is_kept(asked):
            return "applied"
        if standing == INTENT:
            return "unknown" if asked.once and self.job.ambiguous != "regenerate" else ""
        if standing == "unknown" and (not asked.once or self.job.ambiguous == "regenerate"):
            return ""
        if standing == "failed" and self.job.retry_failed:
            return ""
        return "" if standing == "held" else standing

    def _out_of_order(self, session: Session, item: Item) -> Iterator[str]:
        for other in self.items.values():
            before = other.asked.address == item.asked.address and other.index < item.index
            if before or item.after == other.index:
                end = self.end_of(session, other.asked)
                if end not in DONE:
                    yield f"{other} comes before it, and is {end or 'not over'}"

    def _too_many(self, session: Session, item: Item) -> Iterator[str]:
        busy = [asked for asked in session.begun if asked not in session.ends]
        if len(busy) >= self.job.concurrency:
            yield f"{len(busy)} items are already in flight"
        most = self.job.rollout.per_group if self.job.rollout is not None else None
        if most is not None and item.group:
            of_group = [asked for asked in busy if self.items[asked].group == item.group]
            if len(of_group) >= most:
                yield f"{len(of_group)} items of {item.group} are already in flight"
        if session.stopped_at is not None:
            late = {
                each.asked
                for each in self.story.network.sends[session.stopped_at :]
                if each.asked.writes and each.session == session.number
            }
            new = [
                asked
                for asked in late | {item.asked}
                if self.sends[asked][:1] == [] or self.sends[asked][0].number >= session.stopped_at
            ]
            # Those in flight: checked already, or waiting for their intents.
            if len(new) > self.job.concurrency:
                yield f"{len(new)} items were begun after the run had stopped"

    def _looked(self, session: Session, item: Item) -> bool:
        wanted = wanted_by(item.asked)

        def as_planned(shape: Shape | None) -> bool:
            return wanted(shape) or (shape is not None and shape.name == item.before)

        return any(
            as_planned(self.story.world.as_of(item.asked.address, each.as_of))
            for each in self.story.network.sends
            if each.session == session.number
            and each.as_of is not None
            and (each.asked.verb == "list" or each.asked.address == item.asked.address)
        )

    def _is_kept(self, asked: Asked) -> bool:
        """Return whether a secret of the item is in the credentials file."""
        if not (asked.once and self.job.credentials == "file"):
            return False
        kept = {secret for _, secret in self._kept()}
        return any(each.secret in kept for each in self._effects(asked))

    def _kept(self) -> set[tuple[str, str]]:
        return self._in_sink | set(kept_secrets(self.credentials))

    async def keep(self, operation: Any, result: Any) -> None:
        """Act as a sink of credentials, which in some jobs fails occasionally."""
        await asyncio.sleep(self.story.chance.choice((0.0, 0.01)))
        if self.job.credentials == "bad sink" and self.story.chance.random() < 0.2:
            raise OSError(28, "No space left on device")
        if not self.story.network.dead:
            self._in_sink.add((operation.device_id, secret_in(result)))

    def _effects(self, asked: Asked) -> list[Effect]:
        numbers = {each.number for each in self.sends[asked]}
        return [each for each in self.story.world.effects if each.send in numbers]
