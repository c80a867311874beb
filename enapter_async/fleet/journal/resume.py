"""Checks whether a run can be resumed with an input, and merges equal operations."""

import itertools
import secrets
import socket
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from enapter_async._http.call import CallRecord
from enapter_async._version import __version__
from enapter_async.converter.operations import operation_from_json
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.fleet.errors import InputConflictError, RunRefusedError
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.journal.names import Hold
from enapter_async.fleet.journal.reading import MOST_ITEMS, Journal, damaged
from enapter_async.fleet.journal.records import FOLLOW, THERE, Event, is_digest_of
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.fleet.reading import Caller
from enapter_async.operation import Operation, Repeat, described
from enapter_async.operations.nouns import noun_named

CREDENTIALS: Final = "credentials"
LOST: Final = "a replica took over the database, and may have lost that it was sent"
WITNESS: Final = "witness"
WITNESSES: Final = 3
_FACTS: Final[Mapping[str, Callable[[str], object]]] = {
    "run": str,
    "version": str,
    "base_url": str,
    "token": str,
    "input": str,
    "salt": bytes.fromhex,
}


def new_facts(
    base_url: str, fingerprint: Callable[[bytes], str], *, at_ms: int, known: bool
) -> dict[str, str]:
    """Return the facts about a new run, against which later sessions are checked.

    `fingerprint` returns a string that identifies the client's token; "" if there is none yet.
    """
    salt = secrets.token_bytes(16)
    return {
        "run": secrets.token_hex(8),
        "version": __version__,
        "created_ms": str(at_ms),
        "base_url": base_url,
        "salt": salt.hex(),
        "token": fingerprint(salt),
        "input": "known" if known else "streamed",
    }


def credentials_fact(path: str, *, shared: bool) -> dict[str, str]:
    """Return the fact that credentials are kept in a file; which machine's, if journals are shared.

    Raises:
        ConfigurationError: a journal cannot hold the file's name.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"a journal cannot hold the name {path!a}, which is not UTF-8; choose another "
            "credentials file"
        ) from None
    return {f"{CREDENTIALS}@{socket.gethostname()}:{path}" if shared else CREDENTIALS: path}


def credentials_here(facts: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files on this machine in which the run's credentials are kept."""
    here = f"{CREDENTIALS}@{socket.gethostname()}:"
    return tuple(path for key, path in facts.items() if key == CREDENTIALS or key.startswith(here))


def credentials_elsewhere(facts: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files on other machines that hold credentials of the run, as `host:path`."""
    mark, here = f"{CREDENTIALS}@", f"{CREDENTIALS}@{socket.gethostname()}:"
    return tuple(
        key.removeprefix(mark) for key in facts if key.startswith(mark) and not key.startswith(here)
    )


def check_credentials(facts: Mapping[str, str], left: Iterator[WorkItem]) -> None:
    """Refuse a session that would generate credentials, and keep them nowhere.

    Raises:
        RunRefusedError: the run keeps them on other machines, and some are left to generate.
    """
    elsewhere = credentials_elsewhere(facts)
    if elsewhere and any(item.operation.answer.secret for item in left):
        raise RunRefusedError(
            f"this run keeps its credentials in {elsewhere[0]}: name a file on this machine for "
            "those that are left to generate (credentials=FILE)"
        )


def perhaps_sent(hold: Hold, replay: Replay) -> Iterator[int]:
    """Yield once-only items without a record of a start, if a failover may have lost intents.

    From then on, `replay` counts them as unknown.
    """
    for item in hold.journal.items() if hold.failed_over else ():
        if replay.marks[item.seq] == Mark.UNTOUCHED and item.operation.repeat is Repeat.ONCE:
            replay.marks[item.seq] = Mark.UNKNOWN
            yield item.seq
    hold.failed_over = False


def check_facts(journal: str, facts: Mapping[str, str]) -> None:
    """Refuse facts that were not written by a run.

    Raises:
        RunRefusedError: the message names the first fact that is missing or invalid.
    """
    for name, read in _FACTS.items():
        if name not in facts:
            raise damaged(journal, f"it has no {name}")
        try:
            read(facts[name])
        except ValueError:
            raise damaged(journal, f"{name} cannot be read") from None
    count = facts.get("count", "0")
    if not (count.isdecimal() and len(count) <= len(str(MOST_ITEMS))):
        raise damaged(journal, "count cannot be read")


def check_same(
    facts: Mapping[str, str],
    base_url: str,
    fingerprint: Callable[[bytes], str],
    credentials: str | None,
) -> bool:
    """Refuse a different server or credentials file; return whether the token is the same.

    The run of a partition has no token ("") until a worker begins it.

    Raises:
        RunRefusedError: the message names the difference.
    """
    if facts["base_url"] != base_url:
        raise RunRefusedError(f"this run uses {facts['base_url']}, but the client uses {base_url}")
    kept = facts.get(CREDENTIALS)
    if credentials is not None and kept is not None and credentials != kept:
        raise RunRefusedError(f"this run stores its credentials in {kept}, not in {credentials}")
    return facts["token"] == fingerprint(bytes.fromhex(facts["salt"]))


async def check_new_token(journal: Journal, replay: Replay, client: Caller) -> None:
    """Read up to three objects of the run with a new token, and compare their ids and sites.

    Raises:
        RunRefusedError: an object is missing or differs, or there is no object to compare.
    """
    compared = 0
    for operation, name, site_id in _comparable(journal, replay):
        target = operation.target()
        noun = noun_named(target.noun)
        request = noun.get(name) or operation.reads()
        if request is None:
            continue
        try:
            record = CallRecord(decides=True)
            state = await client.call(request, record=record, patient=True)
        except EnapterError as error:
            raise RunRefusedError(
                f"the new token cannot read {name}, a {target.word} of this run: {error}"
            ) from None
        facts = noun.facts_at(name, state)
        if name not in (facts.id, facts.slug) or (site_id and facts.site_id != site_id):
            raise RunRefusedError(f"the new token shows a different {target.word} as {name}")
        compared += 1
        if compared == WITNESSES:
            return
    if not compared:
        raise RunRefusedError(
            "the new token cannot be checked: this run has no object that can be read"
        )


def _comparable(
    journal: Journal, replay: Replay
) -> Iterator[tuple[Operation[Any], str, str | None]]:
    """Yield objects to check a token with (operation, name, site), recorded ones first."""
    gone = {
        item.operation.writes_to()
        for item in journal.items()
        if item.operation.holds(None) and replay.marks[item.seq] is not Mark.UNTOUCHED
    }
    for event in journal.events():
        if event.kind == WITNESS and event.seq is not None:
            name, site_id = event.details.get("id"), event.details.get("site_id")
            item = journal.item(event.seq)
            if item is not None and isinstance(name, str):
                operation = item.operation
                if (operation.target().noun, name) not in gone:
                    yield operation, name, site_id
    for item in journal.items():
        thing, target = item.operation.writes_to(), item.operation.target()
        if target.id and thing and thing not in gone and not replay.marks[item.seq]:
            yield item.operation, target.id, item.group or None


def witness(operation: Operation[Any], result: Any) -> dict[str, Any]:
    """Return the facts by which another token can be checked, if a result holds them; else {}."""
    state = noun_named(operation.target().noun).state
    known = not operation.answer.secret and (state is None or isinstance(result, state))
    thing_id = getattr(result, "id", None) if known else None
    return {"id": thing_id, "site_id": getattr(result, "site_id", None)} if thing_id else {}


def follow_in(journal: Journal, event: Event) -> Operation[Any]:
    """Return the read that follows a pending item, from the item's event.

    Raises:
        RunRefusedError: the event does not contain it.
    """
    try:
        return operation_from_json(event.details.get(FOLLOW, {}))
    except ConfigurationError as error:
        raise damaged(journal.name, f"item {event.seq} is pending: {error}") from None


def older_in(journal: Journal, seq: int) -> frozenset[str] | None:
    """Return the ids of objects that existed before an item was first sent; None if unknown."""
    there = journal.first_details(seq).get(THERE)
    return frozenset(map(str, there)) if isinstance(there, list) else None


class Comparison:
    """Compares an input with the journal, operation by operation, before anything is sent.

    Pass each item to `take`. Once `finished` is true, nothing is left to compare, and a streamed
    input may continue from there. Call `end` if the input ends before that.
    """

    def __init__(self, journal: Journal, facts: Mapping[str, str]) -> None:
        self._rows = iter(journal.digests())
        self._next = next(self._rows, None)
        self._known = facts["input"] == "known"
        self._total = int(facts["count"]) if "count" in facts else None
        self.position = 0

    @property
    def finished(self) -> bool:
        """Whether the input may continue with operations that are not in the journal."""
        return self._next is None and self._total is None

    def take(self, item: WorkItem) -> None:
        """Compare the next item.

        Raises:
            RunRefusedError: the item differs from the journal; the message names the item.
        """
        seq, operation = item.seq, item.operation
        if self._total is not None and self.position >= self._total:
            raise RunRefusedError(
                f"the input differs: it has more than the {self._total} operations in the journal"
            )
        self.position += 1
        if self._next is None or self._next[0] > seq:
            if not self._known:
                raise RunRefusedError(f"the input differs: operation {seq} is not in the journal")
            return  # it was merged with an equal one
        if self._next[0] != seq or not is_digest_of(self._next[1], operation):
            raise RunRefusedError(
                f"the input differs: operation {seq} ({described(operation)}) differs from "
                "the journal's"
            )
        self._next = next(self._rows, None)

    def end(self) -> None:
        """Check the end of the input.

        Raises:
            RunRefusedError: the journal has more operations.
        """
        if self._next is not None or (self._total is not None and self.position < self._total):
            raise RunRefusedError(
                f"the input differs: it ends after {self.position} operations, but the journal has "
                f"more"
            )


def merged(given: Input) -> frozenset[int]:
    """Return the `seq` of each operation that is left out because it equals an earlier one.

    Raises:
        InputConflictError: two values are set for one field of one object, or an operation
            follows the deletion of its object.
    """
    repeated = repeated_things(given)
    by_thing: dict[tuple[str, str], _Requests] = {}
    equal: list[int] = []
    conflicts: list[str] = []
    if repeated:
        for item in given.items():
            thing = item.operation.writes_to()
            if thing is None or hash(thing) not in repeated:
                continue
            requests = by_thing.setdefault(thing, _Requests())
            if requests.holds_equal(item):
                equal.append(item.seq)
            else:
                conflicts.extend(requests.take(item))
    if conflicts:
        raise InputConflictError(tuple(conflicts))
    return frozenset(equal)


def repeated_things(given: Input) -> frozenset[int]:
    """Return the hashes of objects that occur repeatedly, using eight bytes per operation."""
    hashes = array("q")
    for item in given.items():
        thing = item.operation.writes_to()
        if thing is not None:
            hashes.append(hash(thing))
    found = sorted(hashes)
    return frozenset(one for one, other in itertools.pairwise(found) if one == other)


class _Requests:
    """The operations of an input on one object."""

    __slots__ = ("_deleted_at", "_fields", "_operations")

    def __init__(self) -> None:
        self._operations: list[Operation[Any]] = []
        self._fields: dict[str, tuple[Any, int]] = {}
        self._deleted_at: int | None = None

    def holds_equal(self, item: WorkItem) -> bool:
        return item.unit is None and item.operation in self._operations

    def take(self, item: WorkItem) -> Iterator[str]:
        """Add an item, and yield its contradictions."""
        operation = item.operation
        name = operation.target().name
        self._operations.append(operation)
        if self._deleted_at is not None:
            yield f"operation {item.seq} comes after operation {self._deleted_at} deletes {name}"
        if operation.repeat is not Repeat.CONVERGENT or item.unit is not None:
            return
        if operation.holds(None):
            self._deleted_at = item.seq
        for field, value in operation.changes().items():
            before, seq = self._fields.setdefault(field, (value, item.seq))
            if before != value:
                yield (
                    f"operations {seq} and {item.seq} set {field} of {name} "
                    f"to {before!r} and {value!r}"
                )


def twins(journal: Journal, seqs: Collection[int]) -> Iterator[WorkItem]:
    """Yield those items that equal another one of the run: a search cannot tell them apart."""
    if not seqs:
        return
    seen: set[bytes] = set()
    doubled: set[bytes] = set()
    for _, digest in journal.digests():
        (doubled if digest in seen else seen).add(digest)
    for seq, digest in journal.digests():
        if digest in doubled and seq in seqs and (item := journal.item(seq)) is not None:
            yield item
