"""One session of a fleet job in a backend: its run, and its status for watchers."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import attrs

from enapter_async.client import Client
from enapter_async.fleet.errors import WaveNotPassedError
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.journal.stop_request import stop_request, stopping_on_request
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.reporting.status import created_at
from enapter_async.fleet.run import Run
from enapter_async.integrations.answers import words_for
from enapter_async.integrations.job_files import (
    JobFile,
)
from enapter_async.integrations.job_reader import (
    TROUBLES_TOLD,
    JobReader,
    Look,
    begun_at,
    trouble,
)
from enapter_async.integrations.progress import Job, Phase, Progress, Rate, about, next_steps
from enapter_async.logs import BACKEND

STOPPED_BY_REQUEST: Final = "it was stopped"

logger = logging.getLogger(BACKEND)


class Session:
    """One session of a job, running in this process."""

    run: Run[Any]
    task: asyncio.Task[None]

    def __init__(
        self,
        client: Client,
        folder: RunFolder,
        file: JobFile,
        reader: JobReader,
        *,
        facts: Mapping[str, str],
        total: int,
        new: bool = False,
    ) -> None:
        self.folder = folder
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Checked here, because the task that waits for the session may have been cancelled.
        self.opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())
        self.troubles: list[Mapping[str, Any]] = []
        self._file = file
        self._reader = reader
        self._facts = facts
        self._total = total
        self._clock = client.clock
        self._new = new
        self._created_at: str | None = None
        self._rate = Rate(self._clock.monotonic())
        self._progress = Progress(lambda: self.run.report)
        self._stopping = False
        self._leaving = False
        self._earlier = stop_request(folder)

    def options(self) -> RunOptions:
        """Return the options of a `Run` of this job."""
        return self._file.settings.options(on_event=self._progress.tell)

    async def carry_out(self) -> None:
        """Run to the end, and then record the intended state of the job."""
        try:
            async with (
                self.run as run,
                stopping_on_request(self.folder, self._stop_on_request, earlier=self._earlier),
            ):
                self._begun()
                async for outcome in run:
                    self._take(outcome)
            await self._ended()
        except Exception as error:
            if self.opened.done():
                logger.exception("job %s failed unexpectedly", self.folder.id)
            else:
                if self._new:
                    JobFile.remove(self.folder)
                    self.folder.discard_if_unused()
                self.opened.set_exception(error)

    def stop(self) -> None:
        """Start no further operation, because a person stopped the job."""
        if not self._stopping:
            self._stopping = True
            # First stop, so it stops even if the file cannot be written.
            self.run.stop(STOPPED_BY_REQUEST)
            self._file = attrs.evolve(self._file, wanted="stopped", why=STOPPED_BY_REQUEST)
            self._file.write(self.folder)

    def _stop_on_request(self) -> None:
        try:
            self.stop()
        except OSError as error:
            # The request itself is still in the folder, with the same meaning.
            logger.warning("job %s cannot be marked as stopped: %s", self.folder.id, error)

    def leave(self) -> None:
        """Start no further operation, because the backend closes; the job is still meant to run."""
        self._leaving = True
        self.run.stop("the backend is closing")

    def view(self) -> Job:
        """Return its current status."""
        now = self._clock.monotonic()
        return Job(
            id=self.folder.id,
            phase=Phase.STOPPING if self._stopping or self._leaving else Phase.RUNNING,
            **about(self._facts),
            created_at=self._created_at,
            counts=dict(self.run.report.counts),
            total=self._total,
            rate=self._rate.value(now),
            waves=self._progress.waves(),
            waiting=self._progress.waiting(now),
            stopped=self._progress.stopped or self._file.why,
            credentials=credentials_in(self.folder),
        )

    def _begun(self) -> None:
        report = self.run.report
        self._total -= report.merged
        earlier = (*report.failures, *report.unknowns, *report.differing, *report.pending)
        self.troubles = [trouble(outcome) for outcome in earlier]
        self._created_at = begun_at(self.folder)
        if not self._new:
            self._file.write(self.folder)
        self.opened.set_result(None)

    def _take(self, outcome: Outcome[Any]) -> None:
        if outcome.state is not State.HELD:
            self._rate.take(self._clock.monotonic())
        bad = not outcome.state.done and outcome.state is not State.HELD
        if bad and len(self.troubles) < TROUBLES_TOLD:
            self.troubles.append(trouble(outcome))

    async def _ended(self) -> None:
        report = self.run.report
        wanted, why, stopped_by = self._file.wanted, self._file.why, ""
        if report.stopped is not None:
            wanted, why = "stopped", words_for(report.stopped)
            stopped_by = type(report.stopped).__name__
            # Watchers receive no upstream text; the operators of the backend may read it.
            logger.warning("job %s stopped: %s", self.folder.id, report.stopped)
        else:
            open_states = (State.HELD, State.PENDING, State.UNKNOWN)
            left = sum(report.counts[each] for each in open_states)
            if not left or not (self._leaving or self._stopping):
                wanted, why = "ended", ""
        waves = self._progress.waves()
        self._file = attrs.evolve(
            self._file, wanted=wanted, why=why, stopped_by=stopped_by, waves=waves
        )
        self._file.write(self.folder)
        seen = await asyncio.to_thread(self._reader.look)
        # Another process may already be running it, so this state may be out of date.
        if not seen.held_by_runner and seen.file == self._file:
            self._file = attrs.evolve(self._file, summary=seen.summary)
            self._file.write(self.folder)


def job_on_disk(folder: RunFolder, seen: Look) -> Job:
    """Return the status of a job from its files alone."""
    if seen.held_by_runner:
        phase = Phase.STOPPING if seen.stop_requested else Phase.ELSEWHERE
    else:
        phase = Phase.ENDED if seen.file.wanted == "ended" else Phase.STOPPED
    why = seen.file.why
    if not why and seen.stop_requested and phase is not Phase.ENDED:
        why = STOPPED_BY_REQUEST
    elif seen.cut_short:
        why = "its process ended early"
    refused = seen.file.stopped_by == WaveNotPassedError.__name__
    steps = next_steps(seen.summary.counts, seen.summary.unknown, wave_refused=refused)
    counts = dict(seen.summary.counts)
    total = sum(counts.values())
    if seen.held_by_runner:
        counts[State.HELD] = 0  # unfinished operations are not held while the job is running
    return Job(
        id=folder.id,
        phase=phase,
        **about(seen.facts),
        created_at=created_at(seen.facts),
        counts=counts,
        total=total,
        stopped=why,
        next_steps=() if seen.held_by_runner else tuple(steps),
        # The waves of an earlier session do not describe the session that runs elsewhere.
        waves=() if seen.held_by_runner else seen.file.waves,
        credentials=credentials_in(folder),
    )


def credentials_in(folder: RunFolder) -> tuple[str, ...]:
    """Return the file with a job's generated configurations, if there is one."""
    return (str(folder.credentials),) if folder.credentials.is_file() else ()
