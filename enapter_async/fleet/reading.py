"""The interface of a run's client, and functions that read the state of objects."""

from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

from enapter_async._http.call import CallRecord, listed, older
from enapter_async._http.evidence import candidates
from enapter_async._http.message import Failure
from enapter_async._http.searching import ids_of, looks_before, searched
from enapter_async.errors import AmbiguousOutcomeError, EnapterError, NotFoundError
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.operation import Operation, Settles, Target, described
from enapter_async.operations.kinds import OLD_NOUN
from enapter_async.operations.nouns import noun_named

T = TypeVar("T")

FINDABLE: Final = (Settles.KEY, Settles.SEARCH)
"""The ways to settle an operation by a read that finds what it may have created."""


class Caller(Protocol):
    """The part of a client that a run needs; implemented by `Client`."""

    def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> Coroutine[Any, Any, T]:
        """Carry out an operation and fill `record`; errors state whether it was done."""
        ...


def is_not_there(error: EnapterError) -> bool:
    """Return whether an error proves that the requested object does not exist.

    The client has already applied the only rule for this: the response has the API's own form, and
    such an API is known to be at the base URL. Any other 404, such as a proxy's page, says nothing
    about a device.
    """
    return isinstance(error, NotFoundError) and error.proven


def name_in(state: Any, target: Target) -> str:
    """Return the name of an operation's target from a state of it; "" if the state has none."""
    name = getattr(state, "name", None)
    own = target.name in (getattr(state, "id", None), getattr(state, "slug", None))
    return name if own and target.name is not None and isinstance(name, str) else ""


async def read_state(
    client: Caller, reading: Operation[T], *, record: CallRecord | None = None
) -> T | None:
    """Return the state that a decision is based on, or None if the object does not exist.

    Raises:
        EnapterError: it could not be read, or a 404 does not prove that it does not exist.
    """
    record = record or CallRecord(decides=True)
    try:
        return await client.call(reading, record=record, patient=True)
    except NotFoundError as error:
        if not is_not_there(error):
            raise
    return None


async def _search(client: Caller, operation: Operation[Any], record: CallRecord) -> Any:
    """Return what the search of an operation finds.

    Raises:
        EnapterError: a page could not be read, or there are too many.
    """

    async def read(page: Operation[Any]) -> Any:
        return await client.call(page, record=record, patient=True)

    found = await searched(operation, read)
    if isinstance(found, Failure):
        raise found.error
    return found


async def find_older(
    client: Caller, operation: Operation[Any], record: CallRecord
) -> frozenset[str] | None:
    """Return the ids of objects that could later be taken for what the operation creates.

    None if no such search is needed, or if it failed: then they are unknown.
    """
    look: Operation[Any] | None = operation.reads()
    if look is None or not looks_before(operation):
        return None
    try:
        if operation.settles is Settles.KEY:
            state = await read_state(client, look, record=record)
            return frozenset() if state is None else ids_of((state,))
        return ids_of(operation.candidates(await _search(client, operation, record)))
    except EnapterError:
        return None


async def find_created(
    client: Caller,
    operation: Operation[Any],
    *,
    record: CallRecord,
    age: float,
    there: frozenset[str] | None = None,
) -> Any:
    """Find and return what an operation, first sent `age` seconds ago, created.

    That is the only result of its search, or the object with its key if it is as requested.
    `there` are the ids that `find_older` returned before it was sent.

    Raises:
        AmbiguousOutcomeError: there is none, or more than one, or it is unknown whether it existed
            before; the error has all of them.
        EnapterError: the search failed.
    """
    search: Operation[Any] | None = operation.reads()
    if search is not None and operation.settles is Settles.KEY:
        state = await read_state(client, search, record=record)
        if operation.holds(state) and there == frozenset():
            return operation.result_of(state)
        search = None
    found = () if search is None else await _search(client, operation, record)
    seen = record.seen
    known = candidates(operation, found, seen, None if seen is None else seen.at - age, there)
    doubt = older(operation, there)
    if len(known) == 1 and not doubt:
        return known[0]
    target = operation.target()
    raise AmbiguousOutcomeError(
        f"{described(operation)} may or may not have happened: a search found {listed(known)}"
        f"{doubt}",
        noun=target.noun,
        subject=target.name,
        hint=f"read the {target.word} to see",
        candidates=known,
    )


def health_name(target: Target) -> str | None:
    """Return the name of an object for health checks, or None if it has none."""
    if target.id is None or not noun_named(target.noun).health:
        return None
    bare = target.noun == OLD_NOUN and ":" not in target.id
    return target.id if bare else f"{target.noun}:{target.id}"


async def is_online(client: Caller, name: str) -> bool:
    """Return whether the object with this `health_name` is online; changes nothing.

    An object that cannot be read counts as not online. Safe to repeat.

    Raises:
        PausedTooLongError: the server is unavailable, which says nothing about the object.
    """
    before, colon, after = name.partition(":")
    noun_name, thing_id = (before, after) if colon else (OLD_NOUN, name)
    noun = noun_named(noun_name)
    reading = noun.get(thing_id, noun.health)
    if reading is None:
        return False
    try:
        state = await client.call(reading, record=CallRecord(), patient=True)
    except PausedTooLongError:
        raise
    except EnapterError:
        return False
    return noun.is_online(state) is True
