"""Reads a job again and again: its rows, and of its partitions' journals only what is needed."""

import asyncio
import heapq
from collections.abc import Sequence
from typing import Any, Final

from enapter_async.fleet.distributed.job import controlling, read_status
from enapter_async.fleet.distributed.job_status import JobStatus
from enapter_async.fleet.distributed.places import Address, place_of
from enapter_async.fleet.journal.job_database import Row
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.replay import Replay
from enapter_async.fleet.reporting.status import Trouble, evenly_spread, latest_troubles
from enapter_async.operation import Target

_BAD: Final = ("differs", "pending", "failed", "unknown")


class JobStatusReader:
    """Reads one job's status repeatedly.

    The journal of a partition is read only once some of its operations were not done, and then only
    what was added to it since, when their number has changed. Use it from one task at a time.
    """

    def __init__(self, address: Address, job: str) -> None:
        self._place = place_of(address)
        self._job = job
        self._replays: dict[int, Replay] = {}
        self._troubles: dict[int, tuple[tuple[Any, ...], tuple[Trouble, ...]]] = {}

    async def read_with_troubles(self, most: int) -> tuple[JobStatus, tuple[Trouble, ...]]:
        """Read the status, and the latest operations that were not done, latest first.

        Raises:
            RunNotFoundError: there is no such job.
            JournalError: its database cannot be read now.
        """
        status, rows = await self._read()
        return status, await asyncio.to_thread(self._latest, rows, most)

    async def sampled_targets(self, most: int) -> tuple[Target, ...]:
        """Return the targets of operations that are evenly spread over the job, each once."""
        status, rows = await self._read()
        return await asyncio.to_thread(self._spread, rows, evenly_spread(status.total, most))

    async def _read(self) -> tuple[JobStatus, Sequence[Row]]:
        async with controlling(self._place) as control:
            return await read_status(control, self._place, self._job)

    def _latest(self, rows: Sequence[Row], most: int) -> tuple[Trouble, ...]:
        changed = self._changed(rows)
        if changed:
            with self._place.job_store(self._job).partitions() as read:
                for no, version in changed.items():
                    with read(no) as journal:
                        replay = self._replay_of(no, journal)
                        self._troubles[no] = version, latest_troubles(journal, replay, most)
        found = (trouble for _, troubles in self._troubles.values() for trouble in troubles)
        return tuple(heapq.nlargest(most, found, key=lambda trouble: trouble.at_ms))

    def _changed(self, rows: Sequence[Row]) -> dict[int, tuple[Any, ...]]:
        """Return the partitions whose troubles must be read again, and forget those without any."""
        changed = {}
        for row in rows:
            no, counts = row["no"], [row[name] for name in _BAD]
            version = (row["tries"], *counts)
            if not any(counts):
                self._troubles.pop(no, None)
            elif no not in self._troubles or self._troubles[no][0] != version:
                changed[no] = version
        return changed

    def _replay_of(self, no: int, journal: Journal) -> Replay:
        """Return the states of a partition's items; read only the events added since last time."""
        if no in self._replays:
            self._replays[no].read_on(journal)
        else:
            self._replays[no] = Replay(journal)
        return self._replays[no]

    def _spread(self, rows: Sequence[Row], chosen: range) -> tuple[Target, ...]:
        targets: dict[Target, None] = {}
        with self._place.job_store(self._job).partitions() as read:
            for row in rows:
                inside = range(row["first"], row["first"] + row["size"])
                some = [seq - row["first"] for seq in chosen if seq in inside]
                if some:
                    with read(row["no"]) as journal:
                        items = list(map(journal.item, some))
                    targets |= dict.fromkeys(each.operation.target() for each in items if each)
        return tuple(targets)
