"""What an answer proves, as pure rules, and what the answers of one client have shown so far."""

import asyncio
from typing import Any, Final

from enapter_async.errors import Certainty
from enapter_async.operation import Operation

_GIVEN_UP: Final = frozenset((408, 499))
"""A proxy that gave up waiting says so after it passed the request on."""
_LIVES_ELSEWHERE: Final = frozenset((301, 307, 308))
"""Redirects that come before anything is done; 302 and 303 are also what follows a form."""
_NOT_NOW: Final = frozenset((425, 429))


class Evidence:
    """What a client's good answers have shown; shared by all clients on its session."""

    __slots__ = ("asked", "asking", "living")

    def __init__(self) -> None:
        self.living: set[int] = set()
        """The nouns whose API is known to answer at the base URL, by the ids of their proofs."""
        self.asked = 0
        """How often it was checked whether an API answers there."""
        self.asking = asyncio.Lock()

    def learn(self, operation: Operation[Any], result: Any) -> None:
        """Record that an operation was answered with an object of its noun."""
        if result:
            self.living.add(id(operation.proof))

    def lives(self, operation: Operation[Any]) -> bool:
        """Return whether the API of an operation's noun is known to answer at the base URL.

        Of an operation that names no proof, any good answer is one.
        """
        return bool(self.living) if operation.proof is None else id(operation.proof) in self.living


def certainty_of(status: int, *, dated: bool) -> Certainty:
    """Return what a status outside of 2xx says of a write: REFUSED, or MAYBE.

    `dated` says that the answer has the API's own form and names a time to come again, which
    distinguishes its 503 from a proxy's. A redirect is a refusal if it says that the address is
    elsewhere; 302 and 303 may also follow something that was done, and the others mean nothing.
    """
    if 300 <= status < 400:
        refused = status in _LIVES_ELSEWHERE
    elif status == 503:
        refused = dated
    else:
        refused = 400 <= status < 500 and status not in _GIVEN_UP
    return Certainty.REFUSED if refused else Certainty.MAYBE


def is_final(status: int) -> bool:
    """Return whether a status ends a call at once: a redirect, or a refusal for good."""
    return 300 <= status < 500 and status not in _NOT_NOW and status not in _GIVEN_UP


def confirmed_by(status: int, body: Any, key: str | None) -> bool:
    """Return whether a good status says that an operation which returns nothing was done.

    `body` is the decoded JSON, None where there is none. 204 says it, and 200 with an empty
    object or with the thing itself under `key`; an empty 200 is what a web server answers to
    anything, and 202 is a promise.
    """
    if status == 204:
        return True
    if status != 200 or not isinstance(body, dict) or "errors" in body:
        return False
    return not body or (key is not None and isinstance(body.get(key), dict))
