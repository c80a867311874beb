"""What a run with a journal knows: what is left to do, and a page for each work under way."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from enapter_async.clock import Clock
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.credentials import kept_in
from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.fleet.inputs import Work, as_work, numbered
from enapter_async.fleet.journal import resume
from enapter_async.fleet.journal.records import (
    ACKNOWLEDGED,
    INTENT,
    Page,
    earlier_outcome,
    event_row,
    item_row,
    outcome_row,
    told,
)
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Standing
from enapter_async.fleet.journal.resume import merged
from enapter_async.fleet.journal.run_folders import RunLock
from enapter_async.fleet.journal.store import PAGE_ROWS, Journal
from enapter_async.fleet.journal.waves import WaveLog
from enapter_async.fleet.journal.writer import JournalWriter
from enapter_async.fleet.options import JournalOptions
from enapter_async.fleet.outcomes import FAILURES_KEPT, Outcome, State, Tally
from enapter_async.operation import Repeat


class Ledger:
    """The journal of one session of a run, with its lock."""

    def __init__(
        self, options: JournalOptions, lock: RunLock, journal: Journal, clock: Clock
    ) -> None:
        self._options = options
        self._lock = lock
        self._journal = journal
        self._clock = clock
        self._writer: JournalWriter | None = None
        self._standing: Standing | None = None
        self._todo = bytearray()
        self._uncertain: set[int] = set()
        self._power = options.power
        self._witnesses = resume.WITNESSES
        self.facts: dict[str, str] = {}
        self.works: Iterable[Work] | AsyncIterable[Work] = ()
        self.input_known = False
        """Whether the journal holds the whole input."""
        self.earlier: dict[State, int] = dict.fromkeys(State, 0)
        """What earlier sessions finished, and what this one leaves as it is."""
        self.acknowledged = 0
        self.blocked: list[tuple[Work, State]] = []
        """Works that ended badly and are left so: what follows them must not start."""
        self.left_badly: list[Outcome[Any]] = []
        """The first failed and unknown ones of earlier sessions, that are left so."""
        self.merged = 0

    @classmethod
    async def open(
        cls,
        options: JournalOptions,
        client: Any,
        operations: Any | None,
        *,
        credentials: str | None,
        on_failure: Callable[[JournalError], None],
        clock: Clock,
    ) -> Self:
        """Begin a run, or take one up where it ended. `operations` None: all of the journal's.

        Raises:
            RunRefusedError: another runner, input, server, token or version; nothing was sent.
            ConfigurationError: the operations contradict each other, or a file is unusable.
        """
        path = Path(options.path)
        if operations is not None and resume.is_known(operations):
            left_out = merged(operations)
        else:
            left_out = frozenset()
        lock = RunLock.take(path)
        try:
            journal = Journal.open(path)
        except BaseException:
            lock.release()
            raise
        ledger = cls(options, lock, journal, clock)
        try:
            await ledger._begin(client, operations, left_out, credentials)
            ledger._power = options.power or ledger.facts.get("level") == "power"
            ledger._writer = JournalWriter(journal, on_failure)
            ledger._note("begin", {"client": ledger.facts["version"]})
            ledger._settle_old()
        except BaseException:
            journal.close()
            lock.release()
            raise
        return ledger

    async def close(self) -> None:
        """Write what is left, and let go of the run.

        Raises:
            JournalError: not everything could be written.
        """
        try:
            if self._writer is not None:
                self._note("end", {})
                await self._writer.close()
        finally:
            self._journal.close()
            self._lock.release()

    @property
    def run(self) -> str:
        """The run's own name, in its journal and in its credentials."""
        return self.facts["run"]

    def tell(self, tally: Tally) -> None:
        """Let a session's counts begin with what earlier ones left."""
        tally.start_from(
            self.earlier, self.left_badly, merged=self.merged, acknowledged=self.acknowledged
        )

    # The beginning of a session.

    async def _begin(
        self, client: Any, operations: Any, left_out: frozenset[int], credentials: str | None
    ) -> None:
        self.facts = self._journal.facts()
        if not self.facts:
            if operations is None:
                raise RunRefusedError(f"no run was begun in {self._journal.path}")
            await self._begin_new(client, operations, left_out, credentials)
            return
        resume.check_facts(self._journal.path, self.facts)
        same_token = resume.check_same(self.facts, client, credentials)
        if not same_token and not self._options.accept_new_token:
            raise RunRefusedError(
                "this run was begun with another token; to go on with this one, accept it "
                "(accept_new_token, --accept-new-token)"
            )
        self._standing = Standing(self._journal)
        rest = await self._compare(operations)
        if not same_token:
            await resume.check_new_token(self._journal, self._standing, client)
            self.facts["token"] = client.fingerprint(bytes.fromhex(self.facts["salt"]))
            self._journal.put({"token": self.facts["token"]})
        self.input_known = "count" in self.facts
        self.works = self.left() if rest is None else rest

    async def _begin_new(
        self, client: Any, operations: Any, left_out: frozenset[int], credentials: str | None
    ) -> None:
        known = resume.is_known(operations)
        self.facts = {
            **self._options.facts,
            "level": "power" if self._options.power else "process",
            **resume.new_facts(
                client,
                at_ms=int(self._clock.wall() * 1000),
                known=known,
                credentials=credentials,
            ),
        }
        if not known:
            for _ in self._journal.begin(self.facts):
                pass
            self.works = self._streamed(operations, 0)
            return
        self.facts["count"] = str(len(operations))
        self.merged = len(left_out)
        rows = (item_row(each) for each in numbered(operations) if each.seq not in left_out)
        for _ in self._journal.begin(self.facts, rows):
            await asyncio.sleep(0)
        self.input_known = True
        self.works = (each for each in numbered(operations) if each.seq not in left_out)

    async def _compare(self, operations: Any) -> Iterable[Work] | AsyncIterable[Work] | None:
        """Refuse another input; give what is left to do where the input goes on."""
        if operations is None:
            return None
        comparison = resume.Comparison(self._journal, self.facts)
        if isinstance(operations, AsyncIterable):
            async_pulls = aiter(operations)
            while not comparison.finished:
                try:
                    comparison.take(await anext(async_pulls))
                except StopAsyncIteration:
                    comparison.end()
                    return None
            return self._left_and_streamed_async(async_pulls, comparison.position)
        pulls = iter(operations)
        while not comparison.finished:
            try:
                comparison.take(next(pulls))
            except StopIteration:
                comparison.end()
                return None
            if not comparison.position % PAGE_ROWS:
                await asyncio.sleep(0)
        return self._left_and_streamed(pulls, comparison.position)

    # The works.

    @property
    def resumed(self) -> bool:
        """Whether an earlier session began this run."""
        return self._standing is not None

    def left(self) -> Iterator[Work]:
        """Yield what a run that goes on has left, anew at each call."""
        for work in self._journal.works():
            if work.seq < len(self._todo) and self._todo[work.seq]:
                yield work

    def wave_log(self) -> WaveLog:
        """Read what the journal says of its waves, to be written on."""
        return WaveLog(
            self._journal,
            self._open_writer(),
            self._at_ms,
            standing=self._standing,
            left=self.blocked,
            accept=self._options.accept_wave,
        )

    def _left_and_streamed(self, pulls: Iterator[Any], position: int) -> Iterator[Work]:
        yield from self.left()
        yield from self._streamed_plain(pulls, position)

    async def _left_and_streamed_async(
        self, pulls: AsyncIterator[Any], position: int
    ) -> AsyncIterator[Work]:
        for work in self.left():
            yield work
        async for work in self._streamed_async(pulls, position):
            yield work

    def _streamed(self, operations: Any, position: int) -> Iterable[Work] | AsyncIterable[Work]:
        if isinstance(operations, AsyncIterable):
            return self._streamed_async(aiter(operations), position)
        return self._streamed_plain(iter(operations), position)

    def _streamed_plain(self, pulls: Iterator[Any], position: int) -> Iterator[Work]:
        for operation in pulls:
            yield self._pulled(operation, position)
            position += 1
        self._input_ended(position)

    async def _streamed_async(
        self, pulls: AsyncIterator[Any], position: int
    ) -> AsyncIterator[Work]:
        async for operation in pulls:
            yield self._pulled(operation, position)
            position += 1
        self._input_ended(position)

    def _pulled(self, operation: Any, position: int) -> Work:
        """Journal an operation of a streamed input, with or before its intent."""
        work = as_work(operation, position)
        self._open_writer().add_item(item_row(work))
        return work

    def _input_ended(self, count: int) -> None:
        self.input_known = True
        self._open_writer().add_fact("count", str(count))

    # What earlier sessions left.

    def _settle_old(self) -> None:
        """Decide for each item of earlier sessions whether it is left to do."""
        standing = self._standing
        if standing is None:
            return
        self._todo = bytearray(len(standing.marks))
        kept: frozenset[tuple[int, int]] | None = None
        for seq, value in enumerate(standing.marks):
            mark = Mark(value)
            if mark is Mark.UNTOUCHED:
                self._todo[seq] = 1
            elif mark.done:
                self.earlier[STATE_OF_MARK[mark]] += 1
            elif mark is Mark.FAILED and self._options.retry_failed:
                self._todo[seq] = 1
            elif mark is not Mark.MISSING:
                work = self._journal.work(seq)
                if work is None:
                    continue
                if kept is None:
                    kept = self._kept()
                self._settle(work, mark, standing, kept)

    def _settle(
        self, work: Work, mark: Mark, standing: Standing, kept: frozenset[tuple[int, int]]
    ) -> None:
        seq = work.seq
        if mark is Mark.FAILED:
            self._leave(work, State.FAILED)
        elif (seq, standing.intents.get(seq, 1)) in kept:
            # Killed between the credentials and the outcome: they are kept, so it was done.
            self._add(seq, State.APPLIED, told({"found": "in the credentials file"}))
            self.earlier[State.APPLIED] += 1
        elif work.operation.repeat is not Repeat.ONCE or self._options.ambiguous == "regenerate":
            self._todo[seq] = 1
            self._uncertain.add(seq)
        else:
            if self._options.ambiguous == "skip" and seq not in standing.acknowledged:
                self._add(seq, ACKNOWLEDGED)
                standing.acknowledged.add(seq)
            self.acknowledged += seq in standing.acknowledged
            self._leave(work, State.UNKNOWN)

    def _kept(self) -> frozenset[tuple[int, int]]:
        path = self.facts.get("credentials")
        return frozenset() if path is None else kept_in(Path(path), self.run)

    def _leave(self, work: Work, state: State) -> None:
        self.earlier[state] += 1
        self.blocked.append((work, state))
        kept = self.left_badly
        if sum(each.state is state for each in kept) < FAILURES_KEPT:
            number = None if self._standing is None else self._standing.told.get(work.seq)
            event = None if number is None else self._journal.event(number)
            kept.append(earlier_outcome(work, state, event))

    # The work of a session.

    def page(self, work: Work) -> Page:
        """Open a work's page."""
        standing = self._standing
        number = 0 if standing is None else standing.intents.get(work.seq, 0)
        return Page(work, number, self.intend, uncertain=work.seq in self._uncertain)

    def intend(self, page: Page) -> "asyncio.Future[None]":
        """Write the intent of a work; what is returned is done when it is committed.

        Raises, when it is awaited:
            JournalError: it was not written.
        """
        power = self._power or page.work.operation.repeat is Repeat.ONCE
        event = event_row(page.work.seq, INTENT, self._at_ms(), attempt=page.number)
        return self._open_writer().commit(event, power=power)

    def ended(self, page: Page, outcome: Outcome[Any]) -> None:
        """Write an outcome down, with the next group.

        What was held before anything was written of it stays as it was; so does what an
        earlier session may have done.
        """
        if outcome.state is State.HELD and (page.uncertain or not page.handed_in):
            self.passed_over(page.work, outcome)
            return
        row = outcome_row(page.work.seq, outcome, self._at_ms())
        # Cut off before its intent was written, it must not come before that.
        power = self._power or (page.handed_in and not page.announced)
        self._open_writer().add(row, power=power)
        if self._witnesses and outcome.state is State.APPLIED:
            self._witness(page.work, outcome.result)

    def passed_over(self, work: Work, outcome: Outcome[Any]) -> None:
        """Write down what a run that stopped had not come to, where the journal says otherwise.

        That is what failed in an earlier session and should be tried again: it is left to do.
        """
        marks = b"" if self._standing is None else self._standing.marks
        if work.seq < len(marks) and marks[work.seq] == Mark.FAILED:
            self.held(work, outcome)

    def held(self, work: Work, outcome: Outcome[Any]) -> None:
        """Write down that a work was not started, for a reason of its own."""
        if work.seq not in self._uncertain:
            self._open_writer().add(outcome_row(work.seq, outcome, self._at_ms()))

    def _witness(self, work: Work, result: Any) -> None:
        device_id = getattr(result, "id", None)
        if not work.operation.answer.secret and device_id:
            self._witnesses -= 1
            details = {"id": device_id, "site_id": getattr(result, "site_id", None)}
            self._add(work.seq, resume.WITNESS, told(details))

    def _add(self, seq: int | None, kind: str, detail: str | None = None) -> None:
        self._open_writer().add(event_row(seq, kind, self._at_ms(), detail=detail))

    def _note(self, kind: str, details: Mapping[str, Any]) -> None:
        self._add(None, kind, told(details))

    def _at_ms(self) -> int:
        return int(self._clock.wall() * 1000)

    def _open_writer(self) -> JournalWriter:
        if self._writer is None:
            raise ConfigurationError("a ledger is used while it is open")
        return self._writer
