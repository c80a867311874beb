"""The clients of a worker: one for each server and rate, with the limiter that its jobs share."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.fleet.distributed.job_records import JobRecord
from enapter_async.fleet.distributed.places import Place
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.limits.pacing import Pacing

ClientFor = Callable[..., Client] | Client
"""Makes a worker's client from keywords, such as `Client.from_env`; or a client that is open."""


class Clients:
    """Opens clients for jobs; `max_rate` is the worker's own for each server, or None."""

    def __init__(self, client_for: ClientFor, place: Place, max_rate: float | None) -> None:
        self._client_for = client_for
        self._place = place
        self._max_rate = max_rate
        self._limiters: dict[str, AdaptiveLimiter] = {}
        self._clients: dict[str, Client] = {}
        self._opening = asyncio.Lock()
        self._exits = AsyncExitStack()

    def can_keep(self, max_rate: float | None) -> bool:
        """Return whether a job with this rate can be carried out: an open client has a limiter."""
        return max_rate is None or not isinstance(self._client_for, Client)

    async def open(self, job: JobRecord) -> Client:
        """Return the client for a job, opened when it is first needed."""
        async with self._opening:
            client = self._clients.get(_kind(job))
            if client is None:
                client = self._clients[_kind(job)] = await self._opened(job)
        return client

    def __getitem__(self, job: JobRecord) -> Client:
        """Return the client that `open` has returned for a job."""
        return self._clients[_kind(job)]

    async def close(self) -> None:
        """Close all clients that were opened here, and their limiters."""
        await self._exits.aclose()

    async def _opened(self, job: JobRecord) -> Client:
        base_url, max_rate = job.facts["run"]["base_url"], job.facts["max_rate"]
        if isinstance(self._client_for, Client):
            return self._client_for
        own = self._own_limiter(base_url)
        if max_rate is None:
            given = {} if own is None else {"limiter": own}
            return await self._exits.enter_async_context(self._client_for(**given))
        limiter = self._place.limiter(base_url, max_rate, own)
        await self._exits.enter_async_context(limiter)
        return await self._exits.enter_async_context(self._client_for(limiter=limiter))

    def _own_limiter(self, base_url: str) -> AdaptiveLimiter | None:
        """Return the limiter of this worker's own rate, which its jobs on one server share."""
        if self._max_rate is None:
            return None
        found = self._limiters.get(base_url)
        if found is None:
            found = AdaptiveLimiter(Pacing(max_rate=self._max_rate), Clock())
            self._limiters[base_url] = found
            self._exits.push_async_callback(found.close)
        return found


def _kind(job: JobRecord) -> str:
    """Return the settings that jobs must share to use one client."""
    return f"{job.facts['max_rate']} {job.facts['run']['base_url']}"
