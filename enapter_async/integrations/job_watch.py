"""The event stream for a watcher of a fleet job, from its session in this process or its files.

Nothing is queued for a watcher: a slow reader receives fewer events, but always the latest.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final

from enapter_async.clock import Clock
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.integrations.event_stream import StreamEvent
from enapter_async.integrations.job_reader import JobReader
from enapter_async.integrations.job_session import Session, job_on_disk

TICK_SECONDS: Final = 0.25
"""The minimum interval between events for a watcher."""
STILL_SECONDS: Final = 1.0
"""The interval of checks while nothing changes, or while another process runs the job."""


async def watch_session(
    live: Session, after: str | None, *, clock: Clock, closing: Callable[[], bool]
) -> AsyncGenerator[StreamEvent, None]:
    """Yield changes until the session is over; the end itself is in the job's files."""
    told, heard = live.heard(after)
    last = live.view() if heard else None
    while not closing():
        troubles = live.troubles[told:]
        if troubles:
            data = {"from": told, "troubles": troubles}
            told += len(troubles)
            yield StreamEvent(id=live.mark(told), kind="troubles", data=data)
        job = live.view()
        if job != last:
            last = job
            yield StreamEvent(id=live.mark(told), kind="job", data=job.as_json())
        if live.over and told == len(live.troubles):
            return
        await live.news(STILL_SECONDS)
        await clock.sleep(TICK_SECONDS)


async def watch_files(
    folder: RunFolder,
    reader: JobReader,
    *,
    troubles: bool,
    patience: float,
    clock: Clock,
    leaving: Callable[[], bool],
) -> AsyncGenerator[StreamEvent, None]:
    """Yield changes until no process runs the job, or until `leaving` is true.

    A job whose process died counts as over if no process resumes it within `patience` seconds.
    Without `troubles`, the failed operations are omitted, because the watcher already has them.
    """
    told: Sequence[Mapping[str, Any]] = ()
    last, cut_short_at = None, None
    while True:
        seen = await asyncio.to_thread(reader.look)
        if leaving():
            return
        job = job_on_disk(folder, seen)
        if troubles and told != seen.troubles:
            alike = alike_at(told, seen.troubles)
            told = seen.troubles
            data = {"from": alike, "troubles": told[alike:]}
            yield StreamEvent(id=f"disk.0.{len(told)}", kind="troubles", data=data)
        if not seen.cut_short:
            cut_short_at = None
        elif cut_short_at is None:
            cut_short_at = clock.monotonic()
        given_up = cut_short_at is None or clock.monotonic() - cut_short_at >= patience
        over = given_up and not job.active
        if over or job != last:
            last = job
            kind = "end" if over else "job"
            yield StreamEvent(id=f"disk.0.{len(told)}", kind=kind, data=job.as_json())
        if over:
            return
        await clock.sleep(STILL_SECONDS)


def alike_at(before: Sequence[Any], now: Sequence[Any]) -> int:
    """Return how many leading items are equal in both."""
    pairs = enumerate(zip(before, now, strict=False))
    return next((n for n, (old, new) in pairs if old != new), min(len(before), len(now)))
