"""Convert items, events and outcomes to and from the rows of a journal."""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from json.encoder import encode_basestring as _quoted
from typing import Any, Final, Protocol

import attrs

from enapter_async.converter import unstructure
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import APIError
from enapter_async.fleet.errors import EarlierError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.before_column import before_text, parse_before
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.reading import name_in
from enapter_async.operation import Operation, field_of
from enapter_async.operations.kinds import OLD_NAMES

MESSAGE_CHARACTERS: Final = 500
INTENT: Final = "intent"
OLD_DIFFERS: Final = '"error":"ResultDiffersError"'
"""The error type by which version 0.1, which had no `differs`, recorded such an outcome as failed.
"""
SHOWN: Final = "shown"
"""The detail of an outcome that differs: the returned values of the fields that were set."""
LATEST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
ACKNOWLEDGED: Final = "acknowledged"
NAME: Final = "name"
"""The detail of an outcome that is not done: the target's name, if it was read or returned."""
FOLLOW: Final = "follow"
"""The detail of a pending operation: the read that shows its progress."""
THERE: Final = "there"
"""The detail of an intent: the ids of objects that a search found before it."""
CANDIDATES: Final = "candidates"
"""The detail of an unknown outcome: the ids of what a search found."""
WAVE_BEGUN: Final = "wave begun"
WAVE_PASSED: Final = "wave passed"
WAVE_NOT_PASSED: Final = "wave not passed"

_ACCEPTED: Final = "it was accepted, and the run ended before it did"

_NAMES: Final = {state: state.value for state in State}
"""Looked up here, because the value of a member of an enumeration is slow to find."""
_BRIEF: Final = (None, "", None, 0, None, False, "", "")
"""An item from its `before` to its `type` by default."""

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
# Texts from a server may contain lone surrogates, which files can hold only as escapes.
_encode_detail: Final = json.JSONEncoder(separators=(",", ":")).encode

BriefItem = tuple[int, bytes, str]
"""seq, digest, operation: an item with default values in all other columns."""
FullItem = tuple[int, bytes, str, str | None, str, int | None, int, int | None, int]
ItemRow = BriefItem | FullItem

BriefEvent = tuple[int | None, str, int | None, int, int | None]
"""seq (None: about the run), kind, attempt, at_ms, elapsed_ms."""
FullEvent = tuple[
    int | None, int, str, int | None, int,
    int | None, int | None, str | None, str | None, str | None,
]  # fmt: skip
"""seq, step, kind, attempt, at_ms, elapsed_ms, status, code, request_id, detail (JSON text)."""
EventRow = BriefEvent | FullEvent


@attrs.frozen(kw_only=True)
class Event:
    """One row of the journal's events; times are milliseconds, `at_ms` since 1970."""

    id: int
    seq: int | None
    step: int
    kind: str
    attempt: int | None
    at_ms: int
    elapsed_ms: int | None
    status: int | None
    code: str | None
    request_id: str | None
    detail: str | None

    @property
    def details(self) -> Mapping[str, Any]:
        """The parsed `detail`; empty if it is missing or cannot be parsed."""
        return details_of(self.detail)


def details_of(detail: Any) -> Mapping[str, Any]:
    """Return the details of an event from their text; empty if there is none, or it is damaged."""
    found: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(detail) if isinstance(detail, str) else None
    return found if isinstance(found, dict) else {}


def operation_text(operation: Operation[Any]) -> str:
    """Return an operation as JSON text, which is the same for equal operations."""
    fields = operation_to_json(operation)
    try:  # a fast path for operations with text fields only, which most are
        return "{" + ",".join([f'"{key}":{_quoted(value)}' for key, value in fields.items()]) + "}"
    except TypeError:
        return _encode(fields)


def digest_of(text: str) -> bytes:
    """Return the digest by which an operation is recognised."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def is_digest_of(digest: bytes, operation: Operation[Any]) -> bool:
    """Return whether an operation has this digest, even in a journal of version 0.1."""
    text = operation_text(operation)
    if digest == digest_of(text):
        return True
    old = next((name for name, kind in OLD_NAMES.items() if kind == operation.kind), None)
    return old is not None and digest == digest_of(text.replace(operation.kind, old, 1))


def item_row(item: WorkItem) -> ItemRow:
    """Return an item as a row.

    Raises:
        ConfigurationError: the operation's class has no name in files.
    """
    text = operation_text(item.operation)
    if item[2:10] == _BRIEF:
        return (item.seq, digest_of(text), text)
    return (
        item.seq,
        digest_of(text),
        text,
        before_text(item),
        storable(item.group),
        item.unit,
        item.wave,
        item.after,
        int(item.unchanged),
    )


def item_of(row: Sequence[Any]) -> WorkItem:
    """Parse an item from its columns, all except the digest.

    Raises:
        TypeError, ValueError, RecursionError: the row was not written by a run.
    """
    seq, operation, before, group, unit, wave, after, unchanged = row
    if row[2:] == (None, "", None, 0, None, 0):
        return WorkItem(seq, operation_from_json(json.loads(operation)))
    planned, (name, kind) = parse_before(before)
    whole = [wave, *(number for number in (unit, after) if number is not None)]
    if not (
        all(isinstance(number, int) for number in whole)
        and all(isinstance(each, str) for each in (group, name, kind))
        and isinstance(planned, dict | None)
    ):
        raise TypeError(f"item {seq} is malformed")
    if after is not None and after >= seq:
        raise ValueError(f"item {seq} follows item {after}")
    return WorkItem(
        seq=seq,
        operation=operation_from_json(json.loads(operation)),
        before=planned,
        group=group,
        unit=unit,
        wave=wave,
        after=after,
        unchanged=bool(unchanged),
        name=name,
        type=kind,
    )


def event_of(row: Sequence[Any]) -> Event:
    """Parse an event from its columns.

    Raises:
        TypeError, ValueError: the row was not written by a run.
    """
    number, seq, step, kind, attempt, at_ms, elapsed_ms, status, code, request_id, detail = row
    if not (
        all(isinstance(each, int | None) for each in (seq, attempt, elapsed_ms, status))
        and all(isinstance(each, str | None) for each in (code, request_id, detail))
        and isinstance(kind, str)
        and isinstance(at_ms, int)
        and 0 <= at_ms <= LATEST_MS
    ):
        raise TypeError(f"event {number} is malformed")
    if kind == State.FAILED and detail is not None and OLD_DIFFERS in detail:
        kind = str(State.DIFFERS)
    return Event(
        id=number,
        seq=seq,
        step=step,
        kind=kind,
        attempt=attempt,
        at_ms=at_ms,
        elapsed_ms=elapsed_ms,
        status=status,
        code=code,
        request_id=request_id,
        detail=detail,
    )


def event_row(
    seq: int | None,
    kind: str,
    at_ms: int,
    *,
    attempt: int | None = None,
    detail: str | None = None,
) -> EventRow:
    """Return the row of an event that is not an outcome."""
    if detail is None:
        return (seq, kind, attempt, at_ms, None)
    return (seq, 0, kind, attempt, at_ms, None, None, None, None, detail)


def intent_row(item_record: "ItemRecord", at_ms: int) -> EventRow:
    """Return the row of an intent, with the ids of objects that existed before it."""
    seq, number, there = item_record.item.seq, item_record.number, item_record.there
    detail = None if there is None else detail_text({THERE: sorted(there)})
    return event_row(seq, INTENT, at_ms, attempt=number, detail=detail)


def outcome_row(
    seq: int,
    outcome: Outcome[Any],
    at_ms: int,
    reading: Operation[Any] | None = None,
    name: str = "",
) -> EventRow:
    """Return an outcome as a row; `reading` shows the progress of a pending operation.

    `name` is that of the target, if it was read or returned; it is stored beside an error. An error
    is stored as its class and message. A result is stored only if it differs from the request, and
    then only the fields that the operation sets.
    """
    error = outcome.error
    elapsed_ms = int(outcome.elapsed * 1000)
    if error is None and not outcome.settled:
        return (seq, _NAMES[outcome.state], outcome.attempts, at_ms, elapsed_ms)
    candidates = getattr(error, "candidates", ())
    request_id = getattr(error, "request_id", None)
    details: dict[str, Any] = {"settled": True} if outcome.settled else {}
    status = code = None
    if error is not None:
        details["error"] = type(error).__name__
        details["message"] = storable(str(error))[:MESSAGE_CHARACTERS]
        if name:
            details[NAME] = storable(name)[:MESSAGE_CHARACTERS]
    if candidates:
        details[CANDIDATES] = [storable(str(getattr(each, "id", ""))) for each in candidates]
    if reading is not None and outcome.state is State.PENDING:
        details[FOLLOW] = operation_to_json(reading)
    if outcome.state is State.DIFFERS and not outcome.operation.answer.secret:
        fields = outcome.operation.changes()
        details[SHOWN] = {field: unstructure(field_of(outcome.result, field)) for field in fields}
    if isinstance(error, APIError):
        status = error.status
        code = next((storable(each.code) for each in error.errors if each.code), None)
    return (
        seq,
        0,
        outcome.state.value,
        outcome.attempts,
        at_ms,
        elapsed_ms,
        status,
        code,
        None if request_id is None else storable(request_id),
        detail_text(details),
    )


def pending_row(seq: int, reading: Operation[Any], at_ms: int) -> EventRow:
    """Return the row of an operation that was just accepted; `reading` shows its progress."""
    details = {FOLLOW: operation_to_json(reading), "message": _ACCEPTED}
    return event_row(seq, State.PENDING.value, at_ms, attempt=0, detail=detail_text(details))


def detail_text(details: Mapping[str, Any]) -> str:
    """Return an event's details as JSON; they must contain no secret and no body."""
    return _encode_detail(details)


def storable(text: str) -> str:
    """Escape lone surrogates, which headers and JSON may contain, so that UTF-8 can encode them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def earlier_outcome(item: WorkItem, state: State, event: Event | None) -> Outcome[Any]:
    """Return an item's outcome in an earlier session, as recorded in its last event."""
    if event is None or event.kind == INTENT:
        message = "the run ended when it was about to send this operation; no outcome was recorded"
        return Outcome(operation=item.operation, state=state, error=EarlierError(message))
    error = EarlierError(
        event.details.get("message") or f"outcome in an earlier session: {event.kind}",
        error_type=event.details.get("error"),
        status=event.status,
        code=event.code,
        request_id=event.request_id,
        noun=item.operation.target().noun,
    )
    return Outcome(
        operation=item.operation,
        state=state,
        error=None if state.done else error,
        settled=bool(event.details.get("settled")),
        attempts=event.attempt or 0,
        elapsed=(event.elapsed_ms or 0) / 1000,
    )


class RecordKeeper(Protocol):
    """Interface for writing about single items; implemented by `JournalSession`."""

    def add_intent(self, item_record: "ItemRecord") -> "asyncio.Future[None]":
        """Write the intent of an item; the returned future is done when it is committed."""
        ...

    def accepted(self, item_record: "ItemRecord", reading: Operation[Any]) -> None:
        """Write that an item's operation was accepted; `reading` shows its progress."""

    def age(self, item_record: "ItemRecord") -> float:
        """Return how many seconds ago the first intent of an item was written."""
        ...


class ItemRecord:
    """The journal record of one item."""

    __slots__ = (
        "_commit", "_keeper", "adopts", "follow", "item", "name", "number", "there", "uncertain",
    )  # fmt: skip

    def __init__(self, item: WorkItem, keeper: RecordKeeper) -> None:
        self._keeper = keeper
        self._commit: asyncio.Future[None] | None = None
        self.item = item
        self.name = ""
        """The target's name, as far as it was read or returned."""
        self.number = 0
        """How many intents were submitted for the item, in all sessions."""
        self.uncertain = False
        """Whether an earlier session may have carried it out."""
        self.follow: Operation[Any] | None = None
        """The read of an accepted operation, until it has ended."""
        self.adopts = False
        """Whether the only candidate that a search finds is taken for what was done."""
        self.there: frozenset[str] | None = None
        """The ids of candidates that existed before the first intent; None if they are unknown."""

    def note_name(self, state: Any) -> None:
        """Keep the target's name, if a state that was read or returned has it."""
        self.name = name_in(state, self.item.operation.target()) or self.name

    def age(self) -> float:
        """Return how many seconds ago an earlier session wrote the item's first intent, or 0."""
        return self._keeper.age(self) if self.uncertain else 0.0

    def accepted(self, reading: Operation[Any]) -> None:
        """Record that the operation was accepted; `reading` shows its progress."""
        self.follow = reading
        self._keeper.accepted(self, reading)

    @property
    def place(self) -> tuple[int, int]:
        """The item and the intent that a result belongs to."""
        return self.item.seq, self.number

    @property
    def has_intent(self) -> bool:
        """Whether the journal may contain an intent, because this session submitted one."""
        return self._commit is not None

    @property
    def intent_written(self) -> bool:
        """Whether the last intent is in the journal, which means that the item may be sent."""
        done = self._commit
        return (
            done is not None and done.done() and not done.cancelled() and done.exception() is None
        )

    def write_intent(self) -> "asyncio.Future[None]":
        """Write the intent; the returned future is done when it is committed.

        Raises, when the future is awaited:
            JournalError: it was not written, and nothing may be sent.
        """
        self.number += 1
        self._commit = self._keeper.add_intent(self)
        return self._commit
