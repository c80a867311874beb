"""The client that reads and writes for a run, and what a reading shows."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from enapter_async._http.call import CallRecord
from enapter_async.errors import EnapterError, NotFoundError
from enapter_async.operation import Operation, Target
from enapter_async.operations.kinds import OLD_NOUN
from enapter_async.operations.nouns import noun_named

T = TypeVar("T")


class Caller(Protocol):
    """What a run needs of a client, and what `Client` is."""

    def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> Coroutine[Any, Any, T]:
        """Carry an operation out and fill `record`; raise what truly became of it."""
        ...


class KnownClient(Caller, Protocol):
    """What a journal must know of a client to recognise it again, and what `Client` is."""

    @property
    def base_url(self) -> Any:
        """Where the API is."""
        ...

    def fingerprint(self, salt: bytes) -> str:
        """Tell tokens apart without showing them."""
        ...


def is_not_there(error: EnapterError) -> bool:
    """Return whether an error is the API's word that what was asked for is not there.

    This is the one rule for it, and the client that carried the call out has applied it: the
    answer has the API's own form, and such an API is known to answer at the base URL. Any other
    404, such as a proxy's page, says nothing about a device.
    """
    return isinstance(error, NotFoundError) and error.proven


async def read_state(
    client: Caller, reading: Operation[T], *, record: CallRecord | None = None
) -> T | None:
    """Return the state that a decision rests on, None where it is not there.

    Raises:
        EnapterError: it could not be read; also a 404 that says nothing.
    """
    record = record or CallRecord(decides=True)
    try:
        return await client.call(reading, record=record, patient=True)
    except NotFoundError as error:
        if not is_not_there(error):
            raise
    return None


def health_name(target: Target) -> str | None:
    """Return what a thing is called among those whose health is looked at, or None."""
    if target.id is None or not noun_named(target.noun).health:
        return None
    return target.id if target.noun == OLD_NOUN else f"{target.noun}:{target.id}"


async def is_online(client: Caller, name: str) -> bool:
    """Return whether a thing, by its `health_name`, is online; changes nothing.

    One that cannot be read is not known to be online. Safe to repeat.
    """
    noun_name, _, thing_id = name.rpartition(":")
    noun = noun_named(noun_name or OLD_NOUN)
    reading = noun.get(thing_id, noun.health)
    if reading is None:
        return False
    try:
        state = await client.call(reading, record=CallRecord(), patient=True)
    except EnapterError:
        return False
    return noun.is_online(state) is True
