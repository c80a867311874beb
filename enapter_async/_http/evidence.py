"""Rules for what an answer proves, and a record of what a client's answers have shown so far."""

import asyncio
import re
from collections import Counter
from datetime import datetime
from typing import Any, Final, NamedTuple

from multidict import istr

from enapter_async._http.dates import http_date
from enapter_async.errors import Certainty
from enapter_async.operation import Answer, Operation

_GIVEN_UP: Final = frozenset((408, 499))
"""Statuses by which a proxy reports that it forwarded the request and got no response in time."""
_LIVES_ELSEWHERE: Final = frozenset((301, 307, 308))
"""Redirects that are sent before anything is done; 302 and 303 may follow a completed write."""
_NOT_NOW: Final = frozenset((425, 429))
_DATE: Final = istr("Date")
"""The spelling that aiohttp's multidict looks up fastest."""
TOLERANCE: Final = 2.0
"""The tolerance in seconds for times in whole seconds or from two different clocks."""
_HIT: Final = re.compile(r";\s*hit\s*(?:=\s*\?1\s*)?(?:;|$)", re.IGNORECASE)
_ABOVE_ZERO: Final = re.compile(r"0*[1-9][0-9]*")
_NO_STATUS: Final = ("-control", "-lookup", "-key", "-tag", "-tags")
_FROM_STORE: Final = frozenset(("hit", "stale", "updating"))
_VALIDATED: Final = frozenset(("refresh", "revalidated"))


class Seen(NamedTuple):
    """How recent a state that was read is, by the server's times in seconds since 1970.

    `stamp` is when the state last changed, as it reports itself; `date` is the answer's `Date`;
    `at` is when the answer arrived, on the local monotonic clock. `stamped` means that other
    objects of its noun have a time of change. `lag` is the largest delay of this time behind `Date`
    that this client has seen in answers to its writes.
    """

    stamp: float | None
    date: float | None
    at: float
    stamped: bool
    lag: float

    def proves(self, first: float, before: float | None) -> bool:
        """Return whether the state is certainly newer than a write that first started at `first`.

        `before` is the time of change in a fresh read before that write, if that read already
        showed the desired state. If there are no times to compare, the read counts as proof.
        """
        if self.date is None or (self.stamp is None and not self.stamped):
            return True
        if self.stamp is None:
            return False
        began = self.date - (self.at - first)
        return self.stamp >= began - TOLERANCE - self.lag or self.stamp == before


class Evidence:
    """Facts learned from a client's successful answers; shared by all clients on its session."""

    __slots__ = ("_date", "_oldest", "_seconds", "asked", "asking", "lag", "living", "stamped")

    def __init__(self) -> None:
        self.living: set[object] = set()
        """The paths that are known to be served: the ids of proofs, and those that sites need."""
        self.asked: Counter[Operation[Any]] = Counter()
        """How many times each proof was read to check whether an API answers there."""
        self.asking = asyncio.Lock()
        self.stamped: set[int] = set()
        """The nouns whose objects have a time of change, by the ids of their proofs."""
        self.lag = 0.0
        """The largest delay of this time behind `Date` in answers to writes."""
        self._date: str | None = None
        self._seconds: float | None = None
        self._oldest: datetime | None = None
        """A time of change that was compared with `_date`; only an earlier one could lag more."""

    def learn(self, operation: Operation[Any], result: Any) -> None:
        """Record that the answer to an operation contained an object of its noun."""
        if not result:
            return
        self.prove(operation)
        one = result[0] if isinstance(result, tuple) else result
        if stamp_of(operation.answer, one) is not None:
            self.stamped.add(id(operation.proof))

    def prove(self, operation: Operation[Any]) -> None:
        """Record that the API for the operation's noun, and its site if any, is served here."""
        self.living |= {id(operation.proof), operation.proven_by()}

    def lives(self, operation: Operation[Any]) -> bool:
        """Return whether the API for the operation's noun, and its site if any, is known to exist.

        If the operation defines no proof, any successful answer counts as one.
        """
        return bool(self.living) if operation.proof is None else self.knows(operation)

    def knows(self, operation: Operation[Any]) -> bool:
        """Return whether nothing is left to learn from answers to the operation."""
        proof, needed = operation.proof, operation.proven_by()
        return (id(proof) if needed is proof else needed) in self.living

    def note_write(self, operation: Operation[Any], headers: Any, result: Any) -> None:
        """Record how far the time of change in a successful write's answer is behind its `Date`."""
        stamp = operation.answer.stamp
        moment = None if stamp is None else getattr(result, stamp, None)
        if not isinstance(moment, datetime):
            return
        date = self._seconds
        if headers.get(_DATE) != self._date:
            date = self._date_of(headers)  # which forgets `_oldest`
        noun, oldest = id(operation.proof), self._oldest
        if (
            oldest is not None
            and moment.tzinfo is oldest.tzinfo
            and moment >= oldest
            and noun in self.stamped
        ):
            return
        self.stamped.add(noun)
        if date is not None:
            self.lag = max(self.lag, date - moment.timestamp())
            self._oldest = moment

    def seen(self, operation: Operation[Any], headers: Any, state: Any, at: float) -> Seen:
        """Return how recent the state is that was just read."""
        stamp = stamp_of(operation.answer, state)
        stamped = id(operation.proof) in self.stamped
        return Seen(stamp, self._date_of(headers), at, stamped, self.lag)

    def _date_of(self, headers: Any) -> float | None:
        """Read `Date`, which changes at most once a second."""
        date: str | None = headers.get(_DATE)
        if date != self._date:
            self._date = date
            self._oldest = None
            self._seconds = None if date is None else http_date(date)
        return self._seconds


def candidates(
    operation: Operation[Any],
    found: Any,
    seen: Seen | None,
    first: float | None,
    there: frozenset[str] | None = None,
) -> tuple[Any, ...]:
    """Return the search results that an operation first attempted at `first` may have created.

    `seen` is the evidence from the search's answer. Its `Date` gives the start of the first attempt
    on the server's clock; objects created before that are left out, and so are those whose ids are
    in `there`, because a search before the first attempt found them.
    """
    listed = tuple(
        each
        for each in operation.candidates(found)
        if there is None or str(getattr(each, "id", None)) not in there
    )
    if seen is None or seen.date is None or first is None:
        return listed
    began = seen.date - (seen.at - first) - TOLERANCE
    made = ((each, operation.created(each)) for each in listed)
    return tuple(each for each, at in made if at is None or at.timestamp() >= began)


def stamp_of(answer: Answer[Any], value: Any) -> float | None:
    """Return when a value last changed, in seconds since 1970, or None if unknown."""
    moment = None if answer.stamp is None else getattr(value, answer.stamp, None)
    return moment.timestamp() if isinstance(moment, datetime) else None


def told_by_cache(headers: Any) -> str:
    """Return the header that shows that a cache sent the answer; "" if there is none.

    These are `Age` above 0 (RFC 9111), `Cache-Status` with a hit (RFC 9211), and older headers such
    as X-Cache, CF-Cache-Status, and X-Varnish with two numbers. An answer that was validated at the
    server ("REVALIDATED", "TCP_REFRESH_HIT") is as good as the server's own.
    """
    for name, value in headers.items():
        lower = name.lower()
        if lower == "age":
            hit = _ABOVE_ZERO.fullmatch(value.strip()) is not None
        elif lower == "cache-status":
            hit = any(_HIT.search(each) for each in value.split(","))
        elif lower == "x-varnish":
            hit = len(value.split()) > 1
        else:
            words = set(re.split(r"[^a-z]+", value.lower()))
            told = "cache" in lower and not lower.endswith(_NO_STATUS)
            hit = told and bool(words & _FROM_STORE) and not words & _VALIDATED
        if hit:
            return f"{name}: {value}"
    return ""


def certainty_of(status: int, *, dated: bool) -> Certainty:
    """Return the certainty that a status other than 2xx implies for a write: REFUSED or MAYBE.

    `dated` means that the answer has the API's own form and a time to retry; a proxy's 503 does
    not. A redirect counts as a refusal if it says that the resource has a different address. A 302
    or 303 may also follow a completed write; other redirects prove nothing.
    """
    if 300 <= status < 400:
        refused = status in _LIVES_ELSEWHERE
    elif status == 503:
        refused = dated
    else:
        refused = 400 <= status < 500 and status not in _GIVEN_UP
    return Certainty.REFUSED if refused else Certainty.MAYBE


def is_final(status: int) -> bool:
    """Return whether a status ends a call at once: a redirect, or a permanent refusal."""
    return 300 <= status < 500 and status not in _NOT_NOW and status not in _GIVEN_UP


def confirmed_by(status: int, body: Any, key: str | None) -> bool:
    """Return whether a successful answer confirms an operation that returns nothing.

    `body` is the decoded JSON, None if there is none. A 204 confirms the operation, and so does a
    200 with an empty object or with the object itself under `key`. An empty 200 does not, because a
    web server may return it for anything. A 202 does not either: it is only a promise.
    """
    if status == 204:
        return True
    if status != 200 or not isinstance(body, dict) or "errors" in body:
        return False
    return not body or (key is not None and isinstance(body.get(key), dict))
