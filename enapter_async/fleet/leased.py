"""Attempts of a run that another session can take over: none starts once that may have happened."""

from enapter_async._http.call import AttemptObserver
from enapter_async._http.fence import MAY_SEND
from enapter_async.fleet.journal.store import Lease


class LeasedAttempts:
    """Observes one call for another observer, and lets attempts start only under the lease.

    A process that was suspended, or that lost its database, finds its lease expired when it
    continues: by then, another session may be sending its operations. An attempt that waited for a
    new connection is therefore refused before its first byte (by the client's own transport).
    """

    __slots__ = ("_lease", "_observer", "failed", "passed")

    def __init__(self, lease: Lease, observer: AttemptObserver) -> None:
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
