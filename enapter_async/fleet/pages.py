"""What the journal says of one work: its page, and the rows that are written on it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from enapter_async.errors import APIError
from enapter_async.fleet.journal import EventRow
from enapter_async.fleet.report import Outcome
from enapter_async.fleet.work import Work

MESSAGE_CHARACTERS: Final = 500


class Page:
    """One work's place in the journal."""

    __slots__ = ("_intend", "announced", "number", "uncertain", "work")

    def __init__(
        self,
        work: Work,
        number: int,
        intend: Callable[["Page"], Awaitable[None]],
        *,
        uncertain: bool,
    ) -> None:
        self._intend = intend
        self.work = work
        self.number = number
        """How many intents were written for the work, in all sessions."""
        self.uncertain = uncertain
        self.announced = False

    def announce(self) -> Awaitable[None]:
        """Write the intent; what is returned is done when it is committed.

        Raises, when it is awaited:
            JournalError: it was not written, and nothing may be sent.
        """
        self.number += 1
        self.announced = True
        return self._intend(self)


def event_row(
    seq: int | None,
    kind: str,
    at_ms: int,
    *,
    attempt: int | None = None,
    detail: str | None = None,
) -> EventRow:
    """Write an event that is no outcome."""
    return (seq, 0, kind, attempt, at_ms, None, None, None, None, detail)


def outcome_row(seq: int, outcome: Outcome[Any], at_ms: int) -> EventRow:
    """Write an outcome: no result, and of an error its class and its message."""
    error = outcome.error
    details: dict[str, Any] = {"settled": True} if outcome.settled else {}
    status = code = None
    if error is not None:
        details["error"] = type(error).__name__
        details["message"] = str(error)[:MESSAGE_CHARACTERS]
    if isinstance(error, APIError):
        status = error.status
        code = next((each.code for each in error.errors if each.code), None)
    return (
        seq,
        0,
        outcome.state.value,
        outcome.attempts,
        at_ms,
        int(outcome.elapsed * 1000),
        status,
        code,
        getattr(error, "request_id", None),
        told(details) if details else None,
    )


def told(details: Mapping[str, Any]) -> str:
    """Write an event's details; no secret and no body may be in them."""
    return json.dumps(details, ensure_ascii=False, separators=(",", ":"))
