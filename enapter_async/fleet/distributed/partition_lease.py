"""The lease of a worker on a partition: the statements that take, renew and return one.

A worker takes a partition on a lease, and renews the lease with each report of its counts. The
statement that takes a partition also checks whether its job was stopped, so that no partition
begins after a stop.
"""

import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async.fleet.journal.job_database import COUNTED, JUDGED, Row
from enapter_async.fleet.journal.postgres.jobs import JobDatabase

LEASE_S: Final = 3.0
"""How long a silent worker keeps its partition."""

_SET_COUNTS: Final = ", ".join(
    [f"{name} = :{name}" for name in COUNTED]
    + [f"judged_{name} = :judged_{name}" for name in JUDGED]
)
_TAKE: Final = (
    "UPDATE {p}part SET previous = owner, owner = :worker, owned_until = {now} + :lease,"
    " tries = tries + 1"
    " WHERE (job, no) = ("
    "  SELECT part.job, part.no FROM {p}part AS part JOIN {p}job AS job ON job.name = part.job"
    "  WHERE part.open = 1 AND job.stop IS NULL AND job.ended_at IS NULL"
    "   AND part.wave <= job.wave AND part.owned_until < {now} AND part.not_before <= {now}"
    "   AND (:every = 1 OR {in_queues}) AND (:only = '' OR job.name = :only)"
    "   AND (:no < 0 OR part.no = :no)"
    "  ORDER BY job.created_at, part.no LIMIT 1 {lock}"
    " ) RETURNING *"
)
_RENEW: Final = (
    "UPDATE {p}part SET owned_until = {now} + :lease, waits = :waits, " + _SET_COUNTS + ""
    " WHERE job = :job AND no = :no AND owner = :worker AND tries = :tries"
    " RETURNING (SELECT coalesce(stop, '') FROM {p}job WHERE name = :job) AS stop"
)
_GIVE_BACK: Final = (
    "UPDATE {p}part SET owner = '', owned_until = 0, waits = '', open = :open,"
    " not_before = {now} + :delay, why = :why,"
    " failures = failures + CASE owner WHEN '' THEN 0 ELSE :gave_up END, " + _SET_COUNTS + ""
    " WHERE job = :job AND no = :no AND owner IN (:worker, '') AND tries = :tries RETURNING no"
)
_STORES: Final = (
    "UPDATE {p}part SET credentials = :credentials"
    " WHERE job = :job AND no = :no AND owner = :worker AND tries = :tries"
)


def process_name() -> str:
    """Return a new readable name for a user of this process's jobs."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


@attrs.frozen(kw_only=True)
class Claim:
    """A partition that a worker has taken; `row` is its row in the database.

    `previous` in it is the worker whose lease ended, or "" if it was free.
    """

    job: str
    no: int
    tries: int
    worker: str
    row: Row

    def counts(self) -> dict[str, int]:
        """Return the counts in the row, by column."""
        names = (*COUNTED, *(f"judged_{name}" for name in JUDGED))
        return {name: int(self.row[name]) for name in names}


_ALIVE: Final = (
    "INSERT INTO {p}worker (name, queues, alive_until)"
    " VALUES (:identity, :queues, {now} + :lease)"
    " ON CONFLICT (name) DO UPDATE SET alive_until = excluded.alive_until"
)
_GONE: Final = "DELETE FROM {p}worker WHERE name = :identity OR alive_until < {now} - :forgotten"
FORGOTTEN_S: Final = 3600.0


@attrs.frozen
class PartitionLeases:
    """Takes, renews and returns partitions on behalf of `worker`, for `seconds` each time."""

    _database: JobDatabase
    worker: str
    seconds: float
    _identity: str = attrs.field(init=False, factory=process_name)
    """Unlike the worker's name, which people choose, it is unique."""

    async def take(
        self, queues: Sequence[str] | None, *, only: str = "", no: int = -1
    ) -> Claim | None:
        """Take the next free partition of these queues (None: all), or `no` if it is free.

        No partition of a stopped job is taken.
        """
        rows = await self._database.execute(
            _TAKE,
            worker=self.worker,
            lease=self.seconds,
            every=int(queues is None),
            queues=json.dumps(queues or ()),
            only=only,
            no=no,
        )
        if not rows:
            return None
        [row] = rows
        return Claim(job=row["job"], no=row["no"], tries=row["tries"], worker=self.worker, row=row)

    async def renew(self, claim: Claim, counts: Mapping[str, int], waits: str = "") -> str | None:
        """Report counts and renew the lease; return why the job stops, or "" if it continues.

        None means that another worker has taken the partition. `waits` says why it sends nothing.
        """
        rows = await self._database.execute(
            _RENEW, **self._of(claim), lease=self.seconds, waits=waits, **counts
        )
        return str(rows[0]["stop"]) if rows else None

    async def stores(self, claim: Claim, file: str) -> None:
        """Record where this worker stores what it generates, before anything is stored."""
        files = [*filter(None, claim.row["credentials"].split("\n"))]
        if f"{self.worker}: {file}" not in files:
            files.append(f"{self.worker}: {file}")
        await self._database.execute(_STORES, **self._of(claim), credentials="\n".join(files))

    async def give_back(
        self,
        claim: Claim,
        counts: Mapping[str, int],
        *,
        finished: bool,
        delay: float = 0.0,
        failed: bool = False,
        why: str = "",
    ) -> bool:
        """Return a partition, or end it; return False if another worker already owns it.

        Safe to repeat, since an answer may be lost.
        """
        rows = await self._database.execute(
            _GIVE_BACK,
            **self._of(claim),
            **counts,
            open=int(not finished),
            delay=delay,
            gave_up=int(failed),
            why=why,
        )
        return bool(rows)

    async def alive(self, queues: Sequence[str] | None) -> None:
        """Record that this worker takes partitions of these queues (None: all) for two leases."""
        await self._database.execute(
            _ALIVE, identity=self._identity, queues=json.dumps(queues), lease=2 * self.seconds
        )

    async def gone(self) -> None:
        """Record that this worker takes no more partitions; forget those killed long ago."""
        await self._database.execute(_GONE, identity=self._identity, forgotten=FORGOTTEN_S)

    def _of(self, claim: Claim) -> dict[str, Any]:
        return {
            "job": claim.job, "no": claim.no, "worker": claim.worker, "tries": claim.tries,
        }  # fmt: skip
