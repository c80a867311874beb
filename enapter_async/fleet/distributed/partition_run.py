"""Carries out a partition that a worker has taken: a resumed run that may be stopped or lost."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from enapter_async.client import Client
from enapter_async.errors import EnapterError
from enapter_async.fleet.distributed.job_records import Control, JobRecord
from enapter_async.fleet.distributed.partition_lease import Claim
from enapter_async.fleet.errors import JournalError, RunBusyError, WaveNotPassedError
from enapter_async.fleet.journal.job_database import COUNTED, JUDGED
from enapter_async.fleet.journal.options import LEAST_LEASE, JournalOptions
from enapter_async.fleet.journal.postgres.jobs import partition_run
from enapter_async.fleet.options import CARRIED, RunOptions
from enapter_async.fleet.outcomes import Outcome, RunEvent, RunGoesOn, RunWaiting, State
from enapter_async.fleet.rollout.abort import counts_of
from enapter_async.fleet.run import Run
from enapter_async.fleet.waits import Wait

LOGGER: Final = "enapter_async.worker"
"""The logger of what workers do."""
logger = logging.getLogger(LOGGER)

TELL_S: Final = 0.25
"""How often a partition in progress reports counts and checks whether its job was stopped."""
BUSY_DELAY_S: Final = 0.5
"""The delay before retrying a partition whose journal another worker still holds."""
FAILURE_DELAY_S: Final = 5.0
"""The first delay before another worker may try a partition that was returned after an error."""


@attrs.frozen(kw_only=True)
class Ending:
    """How a worker's turn with a partition ended; `error` keeps this worker from continuing it."""

    finished: bool = False
    error: EnapterError | None = None
    busy: bool = False


class PartitionRun:
    """One partition in progress; `stop` ends it early."""

    def __init__(
        self,
        control: Control,
        job: JobRecord,
        claim: Claim,
        client: Client,
        *,
        journal: str,
        remote: bool,
        credentials: Path | None,
    ) -> None:
        self._control = control
        self._job = job
        self._claim = claim
        self._client = client
        self._journal = journal
        self._remote = remote
        self._credentials = credentials
        self._run: Run[Any] | None = None
        self._open = False
        self._why = ""
        """Why it stops early."""
        self._wait: Wait | None = None
        self._judged = {name: claim.counts()[f"judged_{name}"] for name in JUDGED}

    @property
    def job(self) -> str:
        """The name of its job."""
        return self._claim.job

    def stop(self, why: str) -> None:
        """Start no more operations; those in flight finish."""
        self._why = self._why or why
        if self._run is not None:
            self._run.stop(why)

    def cut(self) -> None:
        """Cancel the operations in flight, too."""
        self._why = self._why or "its operations were cancelled"
        if self._run is not None:
            self._run.cut()

    async def carry_out(self) -> Ending:
        """Carry out the rest of the partition, and return it to the job; return how this ended."""
        watching = asyncio.create_task(self._watch())
        self._tell_taken()
        try:
            ending = await self._carry_out()
        except asyncio.CancelledError:
            await self._give_back(Ending())
            raise
        finally:
            watching.cancel()
            await asyncio.wait({watching})
        await self._give_back(ending)
        return ending

    async def _carry_out(self) -> Ending:
        try:
            run: Run[Any] = Run(self._client, None, self._options())
            self._run = run
            if self._credentials is not None:
                await self._control.leases.stores(self._claim, str(self._credentials))
            async with run:
                self._open = True
                if self._why:
                    run.stop(self._why)
                await run.tell(self._count)
        except RunBusyError:
            return Ending(busy=True)
        except EnapterError as error:
            return Ending(error=error)
        report = run.report
        done = report.stopped is None and not self._why and report.complete
        return Ending(finished=done, error=report.stopped)

    def _options(self) -> RunOptions:
        facts = self._job.facts
        journal = JournalOptions(
            path=self._journal, lease=max(self._control.lease, LEAST_LEASE), **self._job.options
        )
        return RunOptions(
            journal=journal,
            abort=None,  # the counts of the whole job decide
            on_event=self._on_event,
            credentials=self._credentials,
            **{name: facts[name] for name in CARRIED},
        )

    def _on_event(self, event: RunEvent) -> None:
        if isinstance(event, RunWaiting | RunGoesOn):
            self._wait = event.wait if isinstance(event, RunWaiting) else None

    def _count(self, outcome: Outcome[Any]) -> None:
        for name in counts_of(outcome):
            self._judged[name] += 1

    def _counts(self) -> Mapping[str, int]:
        if self._run is None or not self._open:
            return self._claim.counts()
        counts = self._run.report.counts
        told = {name: counts[State(name)] for name in COUNTED}
        return told | {f"judged_{name}": number for name, number in self._judged.items()}

    async def _watch(self) -> None:
        """Report counts, keep the partition, and obey the job's stop."""
        clock = self._client.clock
        told_at = clock.monotonic()
        while True:
            await clock.sleep(TELL_S)
            waits = "" if self._wait is None else self._wait.text(clock.monotonic())
            try:
                async with asyncio.timeout(self._control.lease):
                    stop = await self._control.leases.renew(self._claim, self._counts(), waits)
            except (JournalError, TimeoutError):
                if clock.monotonic() - told_at > self._control.lease:
                    self.stop("the database of the job cannot be reached")
                continue
            told_at = clock.monotonic()
            if stop is None:
                self.stop("another worker has taken the partition")
            elif stop:
                self.stop(f"the job was stopped: {stop}")

    @property
    def _named(self) -> str:
        return partition_run(self._claim.job, self._claim.no)

    def _done(self) -> str:
        counts, size = self._counts(), self._claim.row["size"]
        states = (f"{counts[name]} {name}" for name in COUNTED if counts[name])
        return ", ".join((*states, f"of {size}")) if any(counts.values()) else f"0 of {size}"

    def _tell_taken(self) -> None:
        worker, previous = self._control.worker, self._claim.row["previous"]
        if previous:
            logger.warning(
                "worker %s took over %s from %s, which was silent for a whole lease: %s",
                worker, self._named, previous, self._done(),
            )  # fmt: skip
        else:
            logger.info("worker %s took %s: %s", worker, self._named, self._done())

    def _log_returned(self, ending: Ending, why: str, *, was_own: bool) -> None:
        worker, done = self._control.worker, self._done()
        if not was_own:
            logger.warning("worker %s lost %s to another worker: %s", worker, self._named, done)
        elif ending.finished:
            logger.info("worker %s finished %s: %s", worker, self._named, done)
        else:
            level = logging.INFO if ending.error is None else logging.WARNING
            logger.log(level, "worker %s returned %s (%s): %s", worker, self._named, why, done)

    async def _give_back(self, ending: Ending) -> None:
        error = ending.error
        # A database's failures are temporary; those of a journal file are not.
        passing = (WaveNotPassedError, JournalError) if self._remote else (WaveNotPassedError,)
        failed = error is not None and not isinstance(error, passing)
        delay = BUSY_DELAY_S if ending.busy or error is not None else 0.0
        if failed:
            delay = FAILURE_DELAY_S * 2.0 ** min(self._claim.row["failures"], 6)
        why = "" if error is None else f"{type(error).__name__}: {error}"
        clock = self._client.clock
        until = clock.monotonic() + (self._control.lease if self._remote else 0.0)
        while True:
            try:
                if isinstance(error, WaveNotPassedError):
                    await self._control.stop(self._claim.job, str(error))
                was_own = await self._control.leases.give_back(
                    self._claim,
                    self._counts(),
                    finished=ending.finished,
                    delay=delay,
                    failed=failed,
                    why=why,
                )
                break
            except JournalError as unreachable:
                if clock.monotonic() >= until:
                    logger.warning(
                        "worker %s left %s until its lease ends: %s",
                        self._control.worker, self._named, unreachable,
                    )  # fmt: skip
                    return
            await clock.sleep(TELL_S)
        held = "another worker still holds its journal" if ending.busy else ""
        self._log_returned(ending, why or self._why or held, was_own=was_own)
