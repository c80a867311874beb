"""The `fleet` commands for a job that several workers carry out."""

import asyncio
import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click

from enapter_async.cli.causes import causes_in
from enapter_async.cli.connecting import client_of, connection_of
from enapter_async.cli.endings import exit_of_job, exit_of_report
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.interrupts import Interrupts
from enapter_async.cli.options import Settings, is_quiet, tell, warn
from enapter_async.cli.progress import counts_text
from enapter_async.cli.rows import json_line, report_row
from enapter_async.cli.run_options import NewJob, given_run_options
from enapter_async.cli.streams import although_unheard
from enapter_async.cli.summary import output_console, show_counts, show_lines, show_report
from enapter_async.client import Client
from enapter_async.errors import EnapterError
from enapter_async.fleet.distributed.job import Job, controlling, distribute, read_status
from enapter_async.fleet.distributed.job_status import JobStatus, unserved_text, worker_command
from enapter_async.fleet.distributed.partitions import SIZE
from enapter_async.fleet.distributed.places import Database, Folder, place_of
from enapter_async.fleet.distributed.worker import Worker
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.run_folders import LAST
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.private_files import check_new
from enapter_async.fleet.reporting.results import write_result_files
from enapter_async.limits.limiter import Limiter
from enapter_async.text import counted, plain

TOLD_EVERY_S: Final = 5.0
"""How often progress is reported."""
JOIN_S: Final = 10.0
POLL_S: Final = 0.25
MOST_JOBS: Final = 50
"""How many jobs of a database are listed."""


def job_at(text: str) -> Job | None:
    """Return the job that a command's argument names, or None if it does not name one.

    Raises:
        ConfigurationError: it is an address of PostgreSQL that cannot be used.
    """
    place = None if text in ("", LAST) else place_of(text)
    if place is None or (isinstance(place, Folder) and not place.exists()):
        return None
    if isinstance(place, Database) and not place.only:
        return None
    try:
        return asyncio.run(Job.open(text))
    except RunNotFoundError:
        return None


def list_jobs(settings: Settings, address: str) -> None:
    """Write the latest jobs of a database, oldest first, each with its status."""
    place = place_of(address)

    async def read() -> list[JobStatus]:
        async with controlling(place) as control:
            latest = [record.name for record in await control.latest(MOST_JOBS)]
            return [(await read_status(control, place, name))[0] for name in reversed(latest)]

    found = asyncio.run(read())
    width = max((len(status.name) for status in found), default=0)
    for status in found:
        if settings.as_json:
            click.echo(json_line(status_row(Job(place, status.name), status)))
            continue
        going = "running" if status.running else exit_of_job(status).name.lower()
        source = plain(status.facts.get("source", ""))
        done = f"{status.done:>7} of {status.total:<7} done"
        click.echo(f"{plain(status.name):<{width}}  {done}  {going:<8}  {source}")
    if not found and not settings.as_json:
        tell(f"there is no job in {place.name}")


def apply_as_job(
    settings: Settings,
    operations: Collection[Any],
    options: RunOptions,
    new_job: NewJob,
    *,
    credentials: str | None = None,
    facts: Mapping[str, str],
) -> Exit:
    """Submit a job, and work on it with processes of this machine; return the exit code."""
    about = connection_of(settings).base_url.value
    submitting = distribute(
        operations,
        new_job.place,
        by=SIZE if new_job.by is None else new_job.by,
        max_rate=settings.max_rate,
        base_url=str(about),
        force=new_job.allow_overlap,
        facts=facts,
        options=attrs.evolve(options, journal=None, credentials=None, on_event=None),
    )
    job = asyncio.run(submitting)
    tell(f"job {job.name} in {job.place}: {counted(len(operations), 'operation')}")
    return work_on(settings, job, workers=new_job.workers, credentials=credentials)


def work_on(
    settings: Settings, job: Job, *, workers: int | None, credentials: str | None = None
) -> Exit:
    """Work on a job with processes of this machine until it is over; return the exit code.

    `workers` is their number; None stands for 1.
    """
    if workers == 0:
        tell(f"to carry it out: {worker_command(job.place, ())}")
        return Exit.DONE
    folder = _folder_of(job)
    kept = credentials or (None if folder is None else str(folder / "credentials"))
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_work, args=(settings, job.address, kept), daemon=True)
        for _ in range(workers if workers and workers > 1 else 0)
    ]
    for process in processes:
        process.start()
    try:
        return asyncio.run(_watch(settings, job, processes, credentials=kept))
    finally:
        for process in processes:
            process.join(JOIN_S)
            if process.is_alive():
                process.kill()


def _folder_of(job: Job) -> Path | None:
    """Return the folder of a job, or None if it is in a database."""
    place = place_of(job.address)
    return place.path if isinstance(place, Folder) else None


def _work(settings: Settings, address: str, credentials: str | None) -> None:
    """Work on the jobs at an address, in a separate process, until they are over."""
    # Ctrl-C reaches every process of a terminal; the first one tells the job to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def work() -> None:
        async with worker_of(settings, address, credentials=credentials, slots=1) as worker:
            await _finish(worker)

    with contextlib.suppress(EnapterError):  # it was reported
        asyncio.run(work())


def worker_of(settings: Settings, address: str, **how: Any) -> Worker:
    """Return a worker for the jobs at an address, with clients from the settings."""

    def client_for(limiter: Limiter | None = None) -> Client:
        return client_of(settings, limiter=limiter, in_flight=64)

    return Worker(client_for, address, **how)


async def _watch(
    settings: Settings,
    job: Job,
    processes: list[Any],
    *,
    credentials: str | None,
) -> Exit:
    """Report progress until a job is over, and stop it on Ctrl-C."""
    stopping: list[asyncio.Task[None]] = []

    def drain() -> None:
        tell("stopping the job: operations in flight finish; press Ctrl-C again to cancel them")
        stopping.append(asyncio.create_task(job.stop("it was interrupted")))

    def cut() -> None:
        warn("cancelled: operations in flight are unknown; press Ctrl-C again to exit now")
        for process in processes:
            process.kill()

    told_at = 0.0

    def show(status: JobStatus) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= TOLD_EVERY_S:
            told_at = time.monotonic()
            tell(plain(_progress(status)))
            if settings.as_json:
                click.echo(json_line(status_row(job, status)))

    async with contextlib.AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(drain, cut))
        working: list[Callable[[], bool]] = [process.is_alive for process in processes]
        if not processes:
            own = worker_of(settings, job.address, credentials=credentials)
            finishing = asyncio.create_task(_finish(await stack.enter_async_context(own)))
            stack.callback(finishing.cancel)
            working.append(lambda: not finishing.done())
        waiting = asyncio.create_task(job.wait(show))
        while not waiting.done() and any(is_working() for is_working in working):
            await asyncio.wait({waiting}, timeout=POLL_S)
        waiting.cancel()
        await asyncio.wait({waiting, *stopping})
    return await _conclude(settings, job) if interrupts.exit is None else interrupts.exit


async def _finish(worker: Worker) -> None:
    """Wait until nothing is left for a worker; if jobs have not ended, report why."""
    try:
        for job, why in (await worker.finish()).items():
            warn(f"job {job} was left alone: {why}")
    except EnapterError as error:
        warn(f"enapter-async: a worker ended: {error}")


async def _conclude(settings: Settings, job: Job) -> Exit:
    report = await job.report()
    status = await job.status()
    with although_unheard():
        if settings.as_json:
            click.echo(json_line(report_row(report, str(job.place))))
        elif not is_quiet():
            with contextlib.closing(read_journal(job)) as journal:
                show_report(report, () if report.ok else causes_in(journal))
    if status.stopped is not None:
        tell(f"to continue: {resume_command(job)}")
    if (folder := _folder_of(job)) is not None:
        [first, _] = write_result_files(job, folder)
        tell(f"results: {first}")
    ending = exit_of_report(report)
    if is_quiet() and ending is not Exit.DONE:
        retry = " --retry-failed" if report.counts[State.FAILED] else ""
        warn(
            f"enapter-async: job {job.name}: {counts_text(report.counts)}; "
            f"next: {resume_command(job)}{retry}"
        )
    return ending


def _progress(status: JobStatus) -> str:
    by = f" by {', '.join(status.workers)}" if status.workers else ""
    wave = f", wave {status.wave} of {status.waves}" if status.waves > 1 else ""
    waits = f"; {status.waiting}" if status.waiting else ""
    return (
        f"{status.done} of {status.total} done, {status.finished} of {status.partitions} "
        f"partitions finished, {status.at_work} in progress{by}{wave}{waits}"
    )


def resume_command(job: Job) -> str:
    """Return the command that continues a job."""
    place = f"'{job.place}'" if "#" in job.place else job.place
    return f"enapter-async fleet resume {place}"


def status_row(job: Job, status: JobStatus) -> dict[str, Any]:
    """Return a job's status as one JSON object."""
    return {
        "job": status.name,
        "place": job.place,
        "running": status.running,
        "counts": {str(state): number for state, number in status.counts.items()},
        "total": status.total,
        "partitions": status.partitions,
        "finished": status.finished,
        "at_work": status.at_work,
        "workers": list(status.workers),
        "waiting": status.waiting,
        "unserved": list(status.unserved),
        "wave": status.wave,
        "waves": status.waves,
        "stopped": status.stopped,
        "credentials": list(status.credentials),
    }


def show_status(settings: Settings, job: Job) -> Exit:
    """Show a job's status; return the exit code."""
    status = asyncio.run(job.status())
    if settings.as_json:
        click.echo(json_line(status_row(job, status)))
    else:
        console = output_console()
        lines = [f"Job {status.name} in {job.place}", _progress(status)]
        if status.unserved:
            command = worker_command(job.place, status.unserved)
            lines += [unserved_text(status.unserved), f"to start one: {command}"]
        show_lines(console, map(plain, lines))
        show_counts(console, status.counts)
        if status.stopped is not None:
            lines = [f"stopped: {plain(status.stopped)}"]
            if not status.ended:
                lines.append(f"to continue: {resume_command(job)}")
            show_lines(console, lines)
        show_lines(console, (f"configurations: {plain(file)}" for file in status.credentials))
    return exit_of_job(status)


def stop_job(settings: Settings, job: Job, *, wait: float) -> Exit:
    """Stop a job on all machines; return the exit code."""

    async def stop() -> JobStatus:
        await job.stop("`fleet stop` requested it")
        try:
            async with asyncio.timeout(wait):
                return await job.wait()
        except TimeoutError:
            return await job.status()

    status = asyncio.run(stop())
    if settings.as_json:
        click.echo(json_line(status_row(job, status)))
    if status.ended:
        tell(f"job {job.name} has already ended")
    elif status.running:
        tell(
            f"job {job.name} starts nothing more; {status.at_work} partitions are still in progress"
        )
    else:
        tell(f"job {job.name} has stopped; to continue: {resume_command(job)}")
    return Exit.STOPPED if status.running else Exit.DONE


def resume_job(
    settings: Settings, job: Job, how: Mapping[str, Any], *, workers: int | None
) -> Exit:
    """Resume a job, and work on it with processes of this machine; return the exit code."""
    given = given_run_options()
    if settings.max_rate is not None:
        given.append("--max-rate")
    if given:
        raise click.UsageError(
            f"a job for several workers keeps its options, so {' and '.join(given)} cannot be "
            f"given here; for another value, stop the job, and plan and apply the rest as a new one"
        )
    asyncio.run(job.resume(**how))
    return work_on(settings, job, workers=workers)


def report_path(job: Job, output: str | None, *, replace: bool) -> Path:
    """Return the path for a job's report.

    Raises:
        ConfigurationError: there is such a file already.
    """
    folder = _folder_of(job)
    if output is None and folder is not None:
        return folder / "report.html"
    path = Path(output or f"{job.name.replace('/', '-')}.html")
    check_new(path, replace=replace)
    return path
