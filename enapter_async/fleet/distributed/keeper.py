"""Moves a job from wave to wave, and stops it. One worker at a time does this."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence

import attrs

from enapter_async.client import Client
from enapter_async.fleet.distributed.coordinator import Begin, End, Hold, Stop, next_step
from enapter_async.fleet.distributed.job_records import Control, JobRecord
from enapter_async.fleet.distributed.partition_run import LOGGER
from enapter_async.fleet.distributed.places import Place
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.waves import Seen
from enapter_async.fleet.patience import PatientReads
from enapter_async.fleet.rollout.examination import Examination, sampled
from enapter_async.fleet.waits import Wait

logger = logging.getLogger(LOGGER)


@attrs.define
class _Examining:
    """The examination of devices before a wave, and why it waits, if it does."""

    task: "asyncio.Task[None] | None" = None
    wait: Wait | None = None

    def waits(self, wait: Wait | None) -> None:
        self.wait = wait


@attrs.define
class Keeper:
    """Takes the next steps of jobs, as far as this worker is their keeper.

    Devices are examined in the background, since a gate may watch them for minutes.
    """

    place: Place
    _examining: dict[str, _Examining] = attrs.field(factory=dict)

    async def keep(self, control: Control, job: str, client: Client) -> bool:
        """Take the next step of a job; return whether this worker is its keeper.

        Raises:
            JournalError: the database cannot be used now.
        """
        record = await control.keep(job)
        if record is None:
            await self._give_up(job)
            return False
        examining = self._examining.get(job)
        if examining is None or examining.task is None:
            await self._step(control, record, client)
        elif examining.task.done():
            del self._examining[job]
            examining.task.result()
        else:
            wait = examining.wait
            text = "" if wait is None else wait.text(client.clock.monotonic())
            if text != record.waits:
                await control.waits(record, text)
        return True

    async def keep_only(self, jobs: Collection[str]) -> None:
        """Stop examining devices for all jobs but these."""
        for job in self._examining.keys() - set(jobs):
            await self._give_up(job)

    async def _give_up(self, job: str) -> None:
        examining = self._examining.pop(job, None)
        if examining is not None and examining.task is not None:
            examining.task.cancel()
            await asyncio.gather(examining.task, return_exceptions=True)

    async def _step(self, control: Control, job: JobRecord, client: Client) -> None:
        waves = await control.waves(job.name)
        step = next_step(waves, job.position, rollout=job.rollout, criteria=job.criteria)
        match step:
            case Stop():
                await _stop(control, job, step.why)
            case Hold():
                await control.hold(job, step.seconds)
            case Begin() if job.rollout and (job.rollout.health or job.rollout.gates):
                examining = self._examining[job.name] = _Examining()
                clock, patience = client.clock, job.facts["max_pause"]
                reads = PatientReads(client, clock, patience, examining.waits)
                examination = Examination(reads, clock, job.rollout)
                begin = self._examine(control, job, step.wave, examination)
                examining.task = asyncio.create_task(begin)
            case Begin():
                await _begin(control, job, step.wave, Seen())
            case End():
                if await control.end(job):
                    logger.info("worker %s: job %s has ended", control.worker, job.name)

    async def _examine(
        self, control: Control, job: JobRecord, wave: int, examination: Examination
    ) -> None:
        """Let a wave start, unless the devices of the previous one are not as before."""
        try:
            await self._begin_examined(control, job, wave, examination)
        except PausedTooLongError as error:
            await _stop(control, job, f"wave {wave + 1} cannot start without a check: {error}")

    async def _begin_examined(
        self, control: Control, job: JobRecord, wave: int, examination: Examination
    ) -> None:
        apart = ""
        if not job.position.accepted:
            judged = await examination.after(job.position.wave, job.seen)
            apart = judged.apart_text
            if judged.why:
                number = job.position.wave + 1
                why = f"wave {number} did not pass: {judged.why}{apart}"
                await _stop(control, job, why)
                return
        rows = await control.partitions(job.name)
        journals = [
            self.place.partition(job.name, row["no"]) for row in rows if row["wave"] == wave
        ]
        items = _items_in(journals)
        sample = await asyncio.to_thread(sampled, examination.rollout, items)
        await _begin(control, job, wave, await examination.before(wave, sample), apart)


def _items_in(journals: Sequence[str]) -> Iterator[WorkItem]:
    """Yield the items of these partitions."""
    for each in journals:
        with contextlib.closing(read_journal(each)) as journal:
            yield from journal.items()


async def _begin(control: Control, job: JobRecord, wave: int, seen: Seen, apart: str = "") -> None:
    if await control.move(job, wave, seen) and job.rollout is not None:
        what = f"wave {wave + 1} started{apart}"
        logger.info("worker %s: job %s: %s", control.worker, job.name, what)
        await control.note(job.name, what)


async def _stop(control: Control, job: JobRecord, why: str) -> None:
    if await control.stop(job.name, why):
        logger.warning("worker %s: job %s was stopped: %s", control.worker, job.name, why)
