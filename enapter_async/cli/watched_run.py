"""Reads a run or a job in progress repeatedly, from its journals alone."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from enapter_async.cli.endings import exit_of_job, exit_of_run
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.fleet_jobs import resume_command, status_row
from enapter_async.cli.fleet_status import row_of_run
from enapter_async.cli.places import Place
from enapter_async.cli.runner import commands_on
from enapter_async.fleet.distributed.job import Job
from enapter_async.fleet.distributed.job_reading import JobStatusReader
from enapter_async.fleet.distributed.job_status import JobStatus, unserved_text, worker_command
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.reporting.status import StatusReader, Trouble, sampled_targets
from enapter_async.operation import Target
from enapter_async.text import plain

TROUBLES: Final = 5
"""How many operations that were not done are shown."""
RATE_S: Final = 30.0
"""The number of seconds over which the rate is measured."""


@attrs.frozen(kw_only=True)
class Look:
    """What a run or a job looks like at one moment.

    `row` is its status as `fleet status --json` writes it, and `ending` the exit code of that
    command. `counts` has no operations that are in flight or waiting. `wave` of `waves` counts from
    1. `ways_on` are the next steps for people, each with its command. `rate` is how many
    operations ended per second lately; None if that is not known yet.
    """

    title: str
    row: Mapping[str, Any]
    running: bool
    ending: Exit
    counts: Mapping[State, int]
    in_flight: int
    waiting: int
    wave: int = 0
    waves: int = 0
    pace: str = ""
    workers: tuple[str, ...] = ()
    stopped: str = ""
    ways_on: tuple[tuple[str, str], ...] = ()
    troubles: tuple[Trouble, ...] = ()
    rate: float | None = None

    @property
    def total(self) -> int:
        """The number of operations."""
        return sum(self.counts.values()) + self.in_flight + self.waiting

    @property
    def ended(self) -> int:
        """The number of operations that have ended in this run, whatever their outcome."""
        return sum(self.counts.values()) - self.counts[State.HELD]


class WatchedRun:
    """A run of one process, in a folder or in PostgreSQL."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._reader = StatusReader(place.journal)

    async def look(self) -> Look:
        """Return what the run looks like now."""
        return await asyncio.to_thread(self._look)

    async def read_start(self, most: int) -> tuple[Mapping[str, str], tuple[Target, ...]]:
        """Return the facts about the run, and the targets of some of its operations."""
        return await asyncio.to_thread(self._read_start, most)

    def _read_start(self, most: int) -> tuple[Mapping[str, str], tuple[Target, ...]]:
        with contextlib.closing(read_journal(self._place.journal)) as opened:
            return opened.facts(), sampled_targets(opened, most)

    def _look(self) -> Look:
        status, troubles = self._reader.read_with_troubles(TROUBLES)
        pace = status.pace
        is_limited = pace is not None and (pace.rate is not None or bool(pace.paused_s))
        return Look(
            title=f"Run {self._place.id} of {plain(status.facts.get('source', 'operations'))}",
            row=row_of_run(self._place, status),
            running=status.running,
            ending=exit_of_run(status),
            counts=status.counts,
            in_flight=status.in_flight,
            waiting=status.waiting,
            wave=status.wave,
            waves=status.waves,
            pace=plain(str(pace)) if is_limited else "",
            ways_on=tuple(commands_on(self._place, status)),
            troubles=troubles,
        )


class WatchedJob:
    """A job of several workers."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._reader = JobStatusReader(job.address, job.name)

    async def look(self) -> Look:
        """Return what the job looks like now."""
        return self._look(*await self._reader.read_with_troubles(TROUBLES))

    async def read_start(self, most: int) -> tuple[Mapping[str, str], tuple[Target, ...]]:
        """Return the facts about the job, and the targets of some of its operations."""
        facts = (await self._job.status()).facts
        return facts, await self._reader.sampled_targets(most)

    def _look(self, status: JobStatus, troubles: tuple[Trouble, ...]) -> Look:
        # Until a job is over, what was not started is still to come.
        waiting = 0 if status.over else status.counts[State.HELD]
        return Look(
            title=f"Job {plain(status.name)} in {plain(self._job.place)}",
            row=status_row(self._job, status),
            running=not status.over,
            ending=exit_of_job(status),
            counts={**status.counts, State.HELD: status.counts[State.HELD] - waiting},
            in_flight=0,
            waiting=waiting,
            wave=status.wave,
            waves=status.waves,
            pace=plain(status.waiting or unserved_text(status.unserved)),
            workers=tuple(map(plain, status.workers)),
            stopped=plain(status.stopped or ""),
            ways_on=tuple(_ways_on(self._job, status)),
            troubles=troubles,
        )


Watched = WatchedRun | WatchedJob


def _ways_on(job: Job, status: JobStatus) -> Iterator[tuple[str, str]]:
    if status.unserved:
        yield "to start one", worker_command(job.place, status.unserved)
    if status.over and not status.ended:
        yield "to continue", resume_command(job)
