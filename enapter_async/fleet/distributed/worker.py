"""A worker, which takes partitions of jobs one after the other and carries them out."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from enapter_async.client import Client
from enapter_async.errors import ConfigurationError, EnapterError, check_number
from enapter_async.fleet.distributed.clients import ClientFor, Clients
from enapter_async.fleet.distributed.engine import AHEAD, Engine
from enapter_async.fleet.distributed.job_records import Control, JobRecord
from enapter_async.fleet.distributed.keeper import Keeper
from enapter_async.fleet.distributed.partition_lease import LEASE_S, Claim, process_name
from enapter_async.fleet.distributed.partition_run import LOGGER, Ending, PartitionRun
from enapter_async.fleet.distributed.places import Address, place_of
from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.postgres.jobs import partition_run

logger = logging.getLogger(LOGGER)

POLL_S: Final = 0.25
"""How often an idle worker looks for a partition."""
BUSY_POLL_S: Final = 0.5
"""How often a worker without a free slot checks the waves and abort criteria of a job."""
LONGEST_RETRY_S: Final = 5.0
SUBMIT_AGAIN_S: Final = 2.0
"""When a partition that no worker has taken is queued again; duplicates have no effect. It is most
likely still in the queue, so each further attempt waits twice as long."""
LONGEST_SUBMIT_AGAIN_S: Final = 30.0
REST_S: Final = 5.0
"""How long a worker leaves a job to others after an error that may affect only this worker."""
LONGEST_REST_S: Final = 300.0
CLOCK_S: Final = 2.0
"""A larger difference between the clocks is reported."""
GIVE_UP_S: Final = 60.0
"""How long a worker that is to finish waits for an unreachable database."""


class Worker:
    """Carries out partitions of the jobs at an address, alongside any number of other workers.

    ::

        async with fleet.Worker(Client.from_env, "runs/rename/"):
            ...  # serve requests; it works until the block is left

    `client_for` makes the client, from keywords that it passes on to `Client` (such as the limiter
    that all workers of a job share). It may also be an open client, which is used as it is, and
    stays open; jobs with a `max_rate` are then left to other workers. `queues` are the queues to
    take partitions from (None: all); `slots` is how many partitions are in progress at once.
    Generated configurations are stored in the folder `credentials`, in a file of mode 0600 for each
    partition; they never enter the database, and a job that generates any is left to workers that
    have such a folder. `max_rate` is the most requests per second that this worker sends to a
    server, below the rate that a job declares for all of its workers. `name` identifies the worker
    to people: the logger `enapter_async.worker` records which partitions it takes, finishes and
    returns.

    Partitions are found in the job's own tables, or delivered by an `engine`, such as
    `PgQueuerEngine`, which each worker of the job must then have.

    When the block is left, operations in flight finish, for at most `grace` seconds (None: however
    long it takes), and the partitions are returned. A worker that is killed loses its partitions to
    the others after `lease` seconds. While the job's database cannot be reached, nothing is sent:
    the worker waits for it, and the surrounding program continues.
    """

    def __init__(
        self,
        client_for: ClientFor,
        address: Address,
        *,
        queues: Sequence[str] | None = None,
        slots: int = 2,
        credentials: str | os.PathLike[str] | None = None,
        max_rate: float | None = None,
        name: str | None = None,
        lease: float = LEASE_S,
        grace: float | None = None,
        engine: Engine | None = None,
    ) -> None:
        if isinstance(queues, str):
            raise ConfigurationError(f"queues is the text {queues!r}; use a tuple of texts")
        if slots < 1:
            raise ConfigurationError(f"slots is {slots}; it must be at least 1")
        if max_rate is not None:
            check_number("max_rate", max_rate, above=True)
            if isinstance(client_for, Client):
                raise ConfigurationError("max_rate belongs to the limiter of the open client")
        if not lease > 0:
            raise ConfigurationError(f"lease is {lease!r}; use seconds above 0")
        self._place = place_of(address)
        self._clients = Clients(client_for, self._place, max_rate)
        self._queues = None if queues is None else tuple(queues)
        self._slots = slots
        self._credentials = None if credentials is None else Path(credentials).absolute()
        self._lease = lease
        self._grace = grace
        self.name = name or process_name()
        self._engine = engine
        self._turns = asyncio.Semaphore(slots)
        self._submitted: dict[str, dict[int, tuple[float, float]]] = {}
        """When each partition that waits is queued again, and how long after that, by job."""
        self._control: Control | None = None
        self._keeper = Keeper(self._place)
        self._runs: dict[asyncio.Task[Ending], PartitionRun] = {}
        self._rests: dict[str, tuple[float, int]] = {}
        self._closing = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._finishing = False
        self._alive_until = 0.0
        self._told_apart = False
        self._failures = 0
        self._failing_since = 0.0
        self._refused: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Start working in the background."""
        if self._working is not None:
            raise ConfigurationError("a worker can be used only once; create a new one")
        self._working = asyncio.create_task(self._work(), name="fleet worker")
        return self

    async def __aexit__(self, *exit_: object) -> None:
        """Take no more partitions, let operations in flight finish, and close the clients."""
        self._closing.set()
        for run in self._runs.values():
            run.stop("the worker stops")
        try:
            if self._working is not None:
                await self._drain(self._working)
        finally:
            await self._clients.close()
            await self._keeper.keep_only(())
            if self._control is not None:
                with contextlib.suppress(EnapterError):  # otherwise its lease expires
                    await self._control.leave()
                    await self._control.leases.gone()
                await self._control.close()

    async def _drain(self, working: "asyncio.Task[None]") -> None:
        try:
            _, late = await asyncio.wait({working}, timeout=self._grace)
            for run in self._runs.values() if late else ():
                run.cut()
        finally:
            await working

    async def finish(self) -> Mapping[str, str]:
        """Wait until nothing is left for this worker; then take no more.

        Nothing is left once every job at the address has ended, was stopped, or must be left to
        other workers. Return the jobs that were left to others, each with the reason.

        Raises:
            EnapterError: the jobs cannot be reached, and waiting will not change that.
        """
        self._finishing = True
        if self._working is not None:
            await asyncio.shield(self._working)
        return dict(self._refused)

    async def _work(self) -> None:
        delivering = asyncio.create_task(self._deliver())
        try:
            while not self._closing.is_set():
                if await self._looked() and self._finishing and not self._runs:
                    return
                await self._rest()
        finally:
            for run in self._runs.values():
                run.stop("the worker stops")
            delivering.cancel()
            await asyncio.wait({delivering})
            if self._runs:
                await asyncio.wait(self._runs)
            self._take_ends()

    async def _looked(self) -> bool:
        """Look after each job once; return whether none is left for this worker."""
        try:
            over = await self._turn()
        except (EnapterError, OSError) as error:
            now = asyncio.get_running_loop().time()
            if not self._failures:
                self._failing_since = now
                logger.warning("worker %s waits: %s", self.name, error)
            self._failures += 1
            lasting = not self._place.remote or isinstance(error, ConfigurationError)
            if self._finishing and (lasting or now - self._failing_since > GIVE_UP_S):
                raise
            return False
        self._failures = 0
        return over

    async def _turn(self) -> bool:
        """Work on each job once; return whether no work is left."""
        self._take_ends()
        if self._control is None:
            self._control = await self._place.control(self.name, lease=self._lease)
        control = self._control
        await self._tell_alive(control)
        jobs = await control.unfinished(self._place.only)
        self._refused = {job.name: self._refused.get(job.name, "") for job in jobs}
        await self._keeper.keep_only(self._refused)
        for job in jobs:
            if not self._is_resting(job.name) and await self._is_admitted(control, job):
                kept = await self._keeper.keep(control, job.name, self._clients[job])
                self._refused[job.name] = ""
                if self._engine is None:
                    await self._take(control, job)
                elif kept:
                    await self._submit(control, self._engine, job.name)
        return all(self._refused.values())

    async def _tell_alive(self, control: Control) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._alive_until - self._lease:
            await control.leases.alive(self._queues)
            self._alive_until = now + 2 * self._lease

    async def _take(self, control: Control, job: JobRecord) -> None:
        while len(self._runs) < self._slots and not self._closing.is_set():
            claim = await control.leases.take(self._queues, only=job.name)
            if claim is None:
                return
            self._start(control, job, claim)

    async def _submit(self, control: Control, engine: Engine, job: str) -> None:
        """Queue the next partitions of a job, and again those that were lost in delivery."""
        now = asyncio.get_running_loop().time()
        before, submitted = self._submitted.get(job, {}), dict[int, tuple[float, float]]()
        for row in await control.waiting(job, AHEAD):
            no = row["no"]
            due, delay = before.get(no, (now, SUBMIT_AGAIN_S))
            if due <= now:
                await engine.submit(partition_run(job, no), row["queue"])
                due, delay = now + delay, min(LONGEST_SUBMIT_AGAIN_S, 2.0 * delay)
            submitted[no] = due, delay
        self._submitted[job] = submitted

    async def _deliver(self) -> None:
        """Take what the engine delivers, until cancelled."""
        failures = 0
        while self._engine is not None:
            try:
                await self._engine.work(self._handle, self._queues, self._slots)
            except (EnapterError, OSError) as error:
                if not failures:
                    logger.warning("worker %s waits for its engine: %s", self.name, error)
                failures += 1
                await asyncio.sleep(min(LONGEST_RETRY_S, POLL_S * 2.0 ** min(failures, 10)))

    async def _handle(self, key: str) -> None:
        """Carry out a partition that was delivered, if it is still to be done."""
        job_name, _, no = key.rpartition("/")
        async with self._turns:
            if self._closing.is_set() or self._is_resting(job_name):
                return
            try:
                control = self._control
                job = None if control is None else await control.job(job_name)
                if control is None or job is None or not await self._is_admitted(control, job):
                    return
                claim = await control.leases.take(self._queues, only=job_name, no=int(no))
            except (EnapterError, OSError, ValueError) as error:
                logger.warning("worker %s could not take %s: %s", self.name, key, error)
                return
            if claim is not None:
                await asyncio.wait({self._start(control, job, claim)})

    def _start(self, control: Control, job: JobRecord, claim: Claim) -> "asyncio.Task[Ending]":
        run = PartitionRun(
            control,
            job,
            claim,
            self._clients[job],
            journal=self._place.partition(claim.job, claim.no),
            remote=self._place.remote,
            credentials=self._credentials_of(job, claim),
        )
        task = asyncio.create_task(run.carry_out(), name=f"partition {claim.job}/{claim.no}")
        self._runs[task] = run
        return task

    def _credentials_of(self, job: JobRecord, claim: Claim) -> Path | None:
        if self._credentials is None or not job.facts["secrets"]:
            return None
        self._credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._credentials / f"{job.name.replace('/', '-')}-{claim.no:04d}.jsonl"

    def _take_ends(self) -> None:
        for task in [task for task in self._runs if task.done()]:
            run = self._runs.pop(task)
            try:
                ending = task.result()
            except Exception:
                logger.exception("worker %s: %s broke", self.name, task.get_name())
                self._rests[run.job] = self._next_rest(run.job)
                continue
            if ending.error is None:
                self._rests.pop(run.job, None)
            elif not isinstance(ending.error, JournalError):
                self._rests[run.job] = self._next_rest(run.job)

    def _next_rest(self, job: str) -> tuple[float, int]:
        _, times = self._rests.get(job, (0.0, 0))
        seconds = min(LONGEST_REST_S, REST_S * 2.0**times)
        return asyncio.get_running_loop().time() + seconds, times + 1

    def _is_resting(self, job: str) -> bool:
        until, _ = self._rests.get(job, (0.0, 0))
        return asyncio.get_running_loop().time() < until

    async def _is_admitted(self, control: Control, job: JobRecord) -> bool:
        """Open the client for a job; return whether it may work on it."""
        if not self._clients.can_keep(job.facts["max_rate"]):
            self._refuse(job, "it has a max_rate, and this worker's client has its own limiter")
            return False
        client = await self._clients.open(job)
        self._compare_clocks(job.position.now - client.clock.wall())
        facts = job.facts["run"]
        if str(client.base_url) != facts["base_url"]:
            self._refuse(job, f"its server is {facts['base_url']}, not {client.base_url}")
            return False
        if job.facts["secrets"] and self._credentials is None:
            self._refuse(job, "it generates configurations, and this worker has no `credentials`")
            return False
        token = client.fingerprint(bytes.fromhex(facts["salt"]))
        begun_with = job.token or await control.adopt_token(job.name, token)
        if begun_with != token and not job.options.get("accept_new_token"):
            self._refuse(job, "it was started with another token (accept_new_token)")
            return False
        return True

    def _compare_clocks(self, apart: float) -> None:
        if abs(apart) > CLOCK_S and self._place.remote and not self._told_apart:
            self._told_apart = True
            logger.warning(
                "worker %s: the database's clock is %+.1f s from this machine's, whose times the "
                "report shows; leases and limits use the database's",
                self.name, apart,
            )  # fmt: skip

    def _refuse(self, job: JobRecord, why: str) -> None:
        logger.warning("worker %s leaves job %s alone: %s", self.name, job.name, why)
        self._refused[job.name] = why
        self._rests[job.name] = self._next_rest(job.name)

    async def _rest(self) -> None:
        """Wait until some time has passed, a partition has ended, or the worker is closing."""
        usual = BUSY_POLL_S if len(self._runs) >= self._slots else POLL_S
        seconds = min(LONGEST_RETRY_S, usual * 2.0 ** min(self._failures, 10))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait(
                {closing, *self._runs}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            closing.cancel()
