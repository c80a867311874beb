"""Moves a job from wave to wave, and stops it. One worker at a time does this."""

import asyncio
import logging
from collections.abc import Collection

import attrs

from enapter_async.client import Client
from enapter_async.fleet.distributed.coordinator import Begin, End, Hold, Stop, next_step
from enapter_async.fleet.distributed.examination import Examination, Seen
from enapter_async.fleet.distributed.job_statements import Control, JobRecord
from enapter_async.fleet.distributed.partition_run import LOGGER
from enapter_async.fleet.distributed.places import Place

logger = logging.getLogger(LOGGER)


@attrs.define
class Keeper:
    """Takes the next steps of jobs, as far as this worker is their keeper.

    Devices are examined in the background, since a gate may watch them for minutes.
    """

    place: Place
    _beginning: dict[str, asyncio.Task[None]] = attrs.field(factory=dict)

    async def keep(self, control: Control, job: str, client: Client) -> bool:
        """Take the next step of a job; return whether this worker is its keeper.

        Raises:
            JournalError: the database cannot be used now.
        """
        record = await control.keep(job)
        if record is None:
            await self._give_up(job)
            return False
        beginning = self._beginning.get(job)
        if beginning is None:
            await self._step(control, record, client)
        elif beginning.done():
            del self._beginning[job]
            beginning.result()
        return True

    async def keep_only(self, jobs: Collection[str]) -> None:
        """Stop examining devices for all jobs but these."""
        for job in self._beginning.keys() - set(jobs):
            await self._give_up(job)

    async def _give_up(self, job: str) -> None:
        beginning = self._beginning.pop(job, None)
        if beginning is not None:
            beginning.cancel()
            await asyncio.gather(beginning, return_exceptions=True)

    async def _step(self, control: Control, job: JobRecord, client: Client) -> None:
        waves = await control.waves(job.name)
        step = next_step(waves, job.position, rollout=job.rollout, criteria=job.criteria)
        match step:
            case Stop():
                await _stop(control, job, step.why)
            case Hold():
                await control.hold(job, step.seconds)
            case Begin():
                examination = None if job.rollout is None else Examination(client, job.rollout)
                if examination is not None and examination.is_needed:
                    examining = self._examine(control, job, step.wave, examination)
                    self._beginning[job.name] = asyncio.create_task(examining)
                else:
                    await _begin(control, job, step.wave, Seen())
            case End():
                if await control.end(job):
                    logger.info("worker %s: job %s has ended", control.worker, job.name)

    async def _examine(
        self, control: Control, job: JobRecord, wave: int, examination: Examination
    ) -> None:
        """Let a wave start, unless the devices of the previous one are not as before."""
        apart = ""
        if not job.position.accepted:
            judged = await examination.after(job.seen)
            apart = f"; {judged.apart} devices are not configured" if judged.apart else ""
            if judged.why:
                number = job.position.wave + 1
                why = f"wave {number} did not pass: {judged.why}{apart}"
                await _stop(control, job, why)
                return
        rows = await control.partitions(job.name)
        journals = [
            self.place.partition(job.name, row["no"]) for row in rows if row["wave"] == wave
        ]
        await _begin(control, job, wave, await examination.before(journals), apart)


async def _begin(control: Control, job: JobRecord, wave: int, seen: Seen, apart: str = "") -> None:
    if await control.move(job, wave, seen) and job.rollout is not None:
        what = f"wave {wave + 1} started{apart}"
        logger.info("worker %s: job %s: %s", control.worker, job.name, what)
        await control.note(job.name, what)


async def _stop(control: Control, job: JobRecord, why: str) -> None:
    if await control.stop(job.name, why):
        logger.warning("worker %s: job %s was stopped: %s", control.worker, job.name, why)
