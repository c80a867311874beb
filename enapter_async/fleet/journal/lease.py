"""A session's lease on a run that another session can take over: nothing is sent without it."""

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from enapter_async._http.call import AttemptObserver
from enapter_async._http.fence import MAY_SEND
from enapter_async.fleet.errors import JournalError

LEASE_SECONDS: Final = 3.0
COMMIT_SECONDS: Final = 10.0
RENEWALS: Final = 6
"""The number of renewals in one lease."""
MARGIN: Final = 0.25
"""During this last part of a lease, nothing more is sent."""


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)
boottime: Final[Callable[[], float]] = (
    time.monotonic if _CLOCK is None else partial(time.clock_gettime, _CLOCK)
)
"""Returns monotonic seconds that include the machine's sleep, if the platform supports it."""


@attrs.frozen(kw_only=True)
class HoldTerms:
    """How a run in PostgreSQL is held; a file needs none of it.

    `lease` is the number of seconds for which a silent session keeps its run; `commit_timeout` is
    the longest wait for a commit, after which the session writes nothing more. With `heed_stop` a
    run that was asked to stop is refused.
    """

    lease: float = LEASE_SECONDS
    commit_timeout: float = COMMIT_SECONDS
    heed_stop: bool = False


class SessionLease:
    """The lease of one session for `seconds`; `now` returns seconds.

    `failure` is the reason why the session may no longer write or send anything.
    """

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self.seconds = seconds
        self.now = now
        self.failure: JournalError | None = None
        self._certain_until = now()
        self._changed = asyncio.Event()
        """Set when the lease was renewed, or lost."""
        self._on_failure: Callable[[JournalError], None] | None = None
        self._on_stop: Callable[[str], None] | None = None

    def is_certain(self) -> bool:
        """Return whether this session certainly still holds the run; called before each send."""
        return self.now() < self._certain_until

    async def until_certain(self) -> None:
        """Wait until this session certainly holds the run.

        Raises:
            JournalError: another session took the run, or the database did not answer for too long.
        """
        while not self.is_certain():
            self.check()
            self._changed.clear()
            await self._changed.wait()

    def check(self) -> None:
        """Refuse to continue after a failure.

        Raises:
            JournalError: the lease is lost, or the journal could not be written.
        """
        if self.failure is not None:
            raise type(self.failure)(str(self.failure))

    def watch_failure(self, on_failure: Callable[[JournalError], None]) -> None:
        """Call `on_failure` once, if the lease is lost or the journal cannot be written."""
        self._on_failure = on_failure

    def watch_stop(self, on_stop: Callable[[str], None]) -> None:
        """Call `on_stop` once another process asks this session to stop, with its reason."""
        self._on_stop = on_stop

    def renewed(self, began: float, stop: str | None = None) -> None:
        """Record when a renewal began, and any request to stop that came with it."""
        if self.failure is None:
            self._certain_until = began + self.seconds * (1 - MARGIN)
        self._changed.set()
        if stop is not None and self._on_stop is not None:
            on_stop, self._on_stop = self._on_stop, None
            on_stop(stop)

    def fail(self, error: JournalError) -> None:
        """Record that the session may no longer write or send anything; keep the first error."""
        if self.failure is None:
            self.failure = error
            self._certain_until = -math.inf
            self._changed.set()
            if self._on_failure is not None:
                self._on_failure(error)


class LeasedAttempts:
    """Observes one call for another observer, and lets attempts start only under the lease.

    A process that was suspended, or that lost its database, finds its lease expired when it
    continues: by then, another session may be sending its operations. An attempt that waited for a
    new connection is therefore refused before its first byte (by the client's own transport).
    """

    __slots__ = ("_lease", "_observer", "failed", "passed")

    def __init__(self, lease: SessionLease, observer: AttemptObserver) -> None:
        self._lease = lease
        self._observer = observer
        self.passed = observer.passed
        self.failed = observer.failed
        MAY_SEND.set(lease.is_certain)

    def may_begin(self) -> bool:
        """Return whether an attempt may start at once."""
        return self._lease.is_certain() and self._observer.may_begin()

    async def begin(self) -> None:
        """Wait until an attempt may start.

        Raises:
            JournalError: another session has taken over, or may have.
        """
        await self._lease.until_certain()
        if not self._observer.may_begin():
            await self._observer.begin()
