"""One session of a run with a journal: its remaining items, and the records of items in flight."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from enapter_async.clock import Clock
from enapter_async.fleet.credentials import kept_in
from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.journal import resume
from enapter_async.fleet.journal.lease import SessionLease
from enapter_async.fleet.journal.names import Hold, store_of
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.reading import PAGE_ROWS
from enapter_async.fleet.journal.records import (
    ACKNOWLEDGED,
    ItemRecord,
    detail_text,
    earlier_outcome,
    event_row,
    intent_row,
    item_row,
    outcome_row,
    pending_row,
)
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Replay
from enapter_async.fleet.journal.row_groups import Writer
from enapter_async.fleet.journal.streaming import streamed, streamed_async
from enapter_async.fleet.journal.waves import WaveLog
from enapter_async.fleet.outcomes import FAILURES_KEPT, Outcome, State, Tally
from enapter_async.fleet.reading import FINDABLE
from enapter_async.operation import Operation, Repeat

_ONCE: Final = Repeat.ONCE
_IS_UNTOUCHED: Final = bytes(value == Mark.UNTOUCHED for value in range(256))


class JournalSession:
    """The journal of one session of a run, with its lock."""

    def __init__(self, options: JournalOptions, hold: Hold, writer: Writer, clock: Clock) -> None:
        self._options = options
        self._hold = hold
        self._journal = hold.journal
        self._clock = clock
        self._writer = writer
        self._replay: Replay | None = None
        self._todo = bytearray()
        self._uncertain: set[int] = set()
        self._adopting: set[int] = set()
        self._pending: set[int] = set()
        self._power = options.power
        self._witnesses = resume.WITNESSES
        self.facts: dict[str, str] = {}
        self.items: Iterable[WorkItem] | AsyncIterator[WorkItem] = ()
        self.planned = self.input_known = False
        """Whether the journal holds the whole input."""
        self.earlier: dict[State, int] = dict.fromkeys(State, 0)
        """The counts of items that earlier sessions finished, or that this one leaves alone."""
        self.acknowledged = 0
        self.blocked: list[tuple[WorkItem, State]] = []
        """Items that ended badly and are not retried; no item that follows them may start."""
        self.left_badly: list[Outcome[Any]] = []
        """The first bad outcomes of earlier sessions that are not retried."""
        self.merged = 0

    @classmethod
    async def open(
        cls,
        options: JournalOptions,
        client: Any,
        given: Input | None,
        *,
        credentials: str | None,
        on_failure: Callable[[JournalError], None],
        clock: Clock,
    ) -> Self:
        """Start or resume a run. If `given` is None, all items are taken from the journal.

        Raises:
            RunRefusedError: the runner, input, server, token or version differs; nothing was sent.
            ConfigurationError: the operations contradict each other, or a file cannot be used.
        """
        left_out = resume.merged(given) if given is not None and given.known else frozenset()
        hold = await store_of(options.path).hold(options.terms)
        session = cls(options, hold, hold.writer(on_failure), clock)
        try:
            await session._begin(client, given, left_out, credentials)
            session._power = options.power or session.facts.get("level") == "power"
            session.note("begin", {"client": session.facts["version"]})
            session._settle_old()
            for item in resume.twins(session._journal, session._adopting):
                session._todo[item.seq] = 0
                session._leave(item, State.UNKNOWN)
        except BaseException:
            await hold.release()
            raise
        return session

    async def close(self) -> None:
        """Write the remaining rows, and release the run's lock.

        Raises:
            JournalError: not everything could be written.
        """
        try:
            self.note("end", {})
            await self._writer.close()
        finally:
            await self._hold.release()

    @property
    def lease(self) -> SessionLease | None:
        """The lease by which the run is held, if it can pass to another session."""
        return self._hold.lease

    @property
    def credentials(self) -> str | None:
        """The file in which this machine keeps the run's credentials, if it does."""
        return next(iter(resume.credentials_here(self.facts)), None)

    @property
    def run(self) -> str:
        """The run's id, in its journal and in its credentials file."""
        return self.facts["run"]

    def tell(self, tally: Tally, *, on_stop: Callable[[str], None]) -> None:
        """Start the counts of this session from those of earlier ones, and watch for a stop."""
        if self.lease is not None:
            self.lease.watch_stop(on_stop)
        tally.start_from(
            self.earlier, self.left_badly, merged=self.merged, acknowledged=self.acknowledged
        )

    # The start of a session.

    async def _begin(
        self, client: Any, given: Input | None, left_out: frozenset[int], credentials: str | None
    ) -> None:
        self.facts = self._journal.facts()
        if not self.facts:
            if given is None:
                raise RunRefusedError(f"no run was started in {self._journal.name}")
            await self._begin_new(client, given, left_out, credentials)
            return
        resume.check_facts(self._journal.name, self.facts)
        base_url, fingerprint = str(client.base_url), client.fingerprint
        same_token = resume.check_same(self.facts, base_url, fingerprint, credentials)
        begun = bool(self.facts["token"])
        if begun and not same_token and not self._options.accept_new_token:
            raise RunRefusedError(
                "this run was started with another token; to continue with this token, accept it "
                "(accept_new_token, --accept-new-token)"
            )
        self._replay = Replay(self._journal)
        self.planned = self._journal.is_planned()
        rest = None if given is None else await self._compare(given)
        if not same_token:
            if begun:
                await resume.check_new_token(self._journal, self._replay, client)
            self.facts["token"] = client.fingerprint(bytes.fromhex(self.facts["salt"]))
            await self._hold.put({"token": self.facts["token"]})
        if credentials is not None and credentials not in resume.credentials_here(self.facts):
            fact = resume.credentials_fact(credentials, shared=self.lease is not None)
            self.facts |= fact
            await self._hold.put(fact)
        self.input_known = "count" in self.facts
        self.items = self.left() if rest is None else rest

    async def _begin_new(
        self, client: Any, given: Input, left_out: frozenset[int], credentials: str | None
    ) -> None:
        self.facts = {
            **self._options.facts,
            "level": "power" if self._options.power else "process",
            **resume.new_facts(
                str(client.base_url), client.fingerprint, at_ms=self._at_ms(), known=given.known
            ),
        }
        if credentials is not None:
            self.facts |= resume.credentials_fact(credentials, shared=self.lease is not None)
        if not given.known:
            await self._hold.begin(self.facts)
            add, end = self._writer.add_item, self._end_input
            if given.waits:
                self.items = streamed_async(given.pulled_async(), add, end)
            else:
                self.items = streamed(given.pulled_plain(), add, end)
            return
        self.facts["count"] = str(len(given))
        self.merged = len(left_out)
        await self._hold.begin(self.facts, map(item_row, given.items(left_out)))
        self.input_known = True
        self.items = given.items(left_out)

    async def _compare(self, given: Input) -> AsyncIterator[WorkItem] | None:
        """Refuse a different input; return the remaining items, or None if the input has ended."""
        comparison = resume.Comparison(self._journal, self.facts)
        pulls = given.pulled_async()
        while not comparison.finished:
            item = await anext(pulls, None)
            if item is None:
                comparison.end()
                return None
            comparison.take(item)
            if not comparison.position % PAGE_ROWS:
                await asyncio.sleep(0)
        return streamed_async(
            pulls,
            self._writer.add_item,
            self._end_input,
            earlier=self.left(),
            position=comparison.position,
        )

    def _end_input(self, number: int) -> None:
        """Record the number of items of a streamed input that has ended."""
        self.input_known = True
        self._writer.add_fact("count", str(number))

    # The items.

    @property
    def resumed(self) -> bool:
        """Whether an earlier session started this run."""
        return self._replay is not None

    def left(self) -> Iterator[WorkItem]:
        """Yield the remaining items of a resumed run; repeatable."""
        for item in self._journal.items():
            if item.seq < len(self._todo) and self._todo[item.seq]:
                yield item

    def wave_log(self) -> WaveLog:
        """Return the journal's log of waves, for reading and writing."""
        return WaveLog(
            self._journal,
            self._writer,
            self._at_ms,
            replay=self._replay,
            left=self.blocked,
            accept=self._options.accept_wave,
        )

    # Items of earlier sessions.

    def _settle_old(self) -> None:
        """Decide which items of earlier sessions remain to be done."""
        replay = self._replay
        if replay is None:
            return
        for seq in resume.perhaps_sent(self._hold, replay):
            self._add(seq, State.UNKNOWN, detail_text({"message": resume.LOST}))
        # Nearly all items of a partition are untouched.
        self._todo = replay.marks.translate(_IS_UNTOUCHED)
        kept: frozenset[tuple[int, int]] | None = None
        for seq, value in enumerate(replay.marks):
            if self._todo[seq]:
                continue
            mark = Mark(value)
            if mark.done:
                self.earlier[STATE_OF_MARK[mark]] += 1
            elif mark is Mark.FAILED and self._options.retry_failed:
                self._todo[seq] = 1
            elif mark is not Mark.MISSING:
                item = self._journal.item(seq)
                if item is None:
                    continue
                if kept is None:
                    kept = self._kept()
                self._settle(item, mark, replay, kept)

    def _settle(
        self, item: WorkItem, mark: Mark, replay: Replay, kept: frozenset[tuple[int, int]]
    ) -> None:
        seq = item.seq
        if mark in (Mark.FAILED, Mark.DIFFERS):
            self._leave(item, STATE_OF_MARK[mark])
        elif (seq, replay.intents.get(seq, 1)) in kept:
            # Done: the run was killed after storing the credentials, before writing the outcome.
            self._add(seq, State.APPLIED, detail_text({"found": "in the credentials file"}))
            self.earlier[State.APPLIED] += 1
        elif mark is Mark.PENDING:
            self._todo[seq] = 1
            self._pending.add(seq)
        elif self._options.accept_candidates and item.operation.settles in FINDABLE:
            self._todo[seq] = 1
            self._uncertain.add(seq)
            self._adopting.add(seq)
        elif item.operation.repeat is not Repeat.ONCE or self._options.ambiguous == "regenerate":
            self._todo[seq] = 1
            self._uncertain.add(seq)
        else:
            if self._options.ambiguous == "skip" and seq not in replay.acknowledged:
                self._add(seq, ACKNOWLEDGED)
                replay.acknowledged.add(seq)
            self.acknowledged += seq in replay.acknowledged
            self._leave(item, State.UNKNOWN)

    def _kept(self) -> frozenset[tuple[int, int]]:
        files = resume.credentials_here(self.facts)
        return frozenset[tuple[int, int]]().union(
            *(kept_in(Path(path), self.run) for path in files)
        )

    def _leave(self, item: WorkItem, state: State) -> None:
        self.earlier[state] += 1
        self.blocked.append((item, state))
        kept = self.left_badly
        if sum(each.state is state for each in kept) < FAILURES_KEPT:
            number = None if self._replay is None else self._replay.last_event.get(item.seq)
            event = None if number is None else self._journal.event(number)
            kept.append(earlier_outcome(item, state, event))

    # Items of this session.

    def item_record(self, item: WorkItem) -> ItemRecord:
        """Return the record of an item."""
        record, replay, seq = ItemRecord(item, self), self._replay, item.seq
        if replay is not None:
            record.number = replay.intents.get(seq, 0)
            if seq in self._uncertain:
                record.uncertain = True
                record.there = resume.older_in(self._journal, seq)
            if seq in self._pending:  # when an earlier session ended
                event = self._journal.event(replay.last_event[seq])
                record.follow = resume.follow_in(self._journal, event)
            record.adopts = seq in self._adopting
        return record

    def accepted(self, item_record: ItemRecord, reading: Operation[Any]) -> None:
        """Record that an item's operation was accepted; `reading` shows its progress."""
        self._writer.add(pending_row(item_record.item.seq, reading, self._at_ms()))

    def age(self, item_record: ItemRecord) -> float:
        """Return how many seconds ago the first intent of an item was written."""
        at_ms = self._journal.first_intent(item_record.item.seq)
        return 0.0 if at_ms is None else self._clock.wall() - at_ms / 1000

    def add_intent(self, item_record: ItemRecord) -> "asyncio.Future[None]":
        """Write the intent of an item; the returned future is done when it is committed.

        Raises, when the future is awaited:
            JournalError: it was not written.
        """
        power = self._power or item_record.item.operation.repeat is _ONCE
        at_ms = int(self._clock.wall() * 1000)
        return self._writer.commit(intent_row(item_record, at_ms), power=power)

    def ended(self, item_record: ItemRecord, outcome: Outcome[Any]) -> None:
        """Record an outcome in the next group of rows.

        A held item keeps its earlier state if nothing was written about it yet, or if an
        earlier session may have carried it out.
        """
        item, power = item_record.item, self._power
        if outcome.error is not None:
            has_intent = item_record.has_intent
            if outcome.state is State.HELD and (item_record.uncertain or not has_intent):
                self.passed_over(item, outcome)
                return
            # If it was cut off before its intent was written, the outcome must follow the intent.
            power = power or (has_intent and not item_record.intent_written)
        at_ms = int(self._clock.wall() * 1000)
        row = outcome_row(item.seq, outcome, at_ms, item_record.follow, item_record.name)
        self._writer.add(row, power=power)
        if self._witnesses and outcome.state is State.APPLIED:
            witness = resume.witness(item.operation, outcome.result)
            if witness:
                self._witnesses -= 1
                self._add(item.seq, resume.WITNESS, detail_text(witness))

    def passed_over(self, item: WorkItem, outcome: Outcome[Any]) -> None:
        """Record that a stopped run did not reach an item, if the journal shows another state.

        This concerns items to retry that failed in an earlier session: they remain to be done.
        """
        marks = b"" if self._replay is None else self._replay.marks
        if item.seq < len(marks) and marks[item.seq] == Mark.FAILED:
            self.held(item, outcome)

    def held(self, item: WorkItem, outcome: Outcome[Any]) -> None:
        """Record that an item was not started for a specific reason."""
        if item.seq not in self._uncertain and item.seq not in self._pending:
            self._writer.add(outcome_row(item.seq, outcome, self._at_ms()))

    def _add(self, seq: int | None, kind: str, detail: str | None = None) -> None:
        self._writer.add(event_row(seq, kind, self._at_ms(), detail=detail))

    def note(self, kind: str, details: Mapping[str, Any]) -> None:
        """Write a note about the run."""
        self._add(None, kind, detail_text(details))

    def _at_ms(self) -> int:
        return int(self._clock.wall() * 1000)
