"""The values that a transport and the protocol exchange: a request, its answer, or a failure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import attrs

from enapter_async.concealment import RawAnswer
from enapter_async.errors import Certainty, EnapterError


class Message(NamedTuple):
    """A request ready to be sent: `target` is the escaped path with its query.

    `fresh` requests an answer from the server itself, not from a cache; `headers` replace those of
    the client, for a request or an answer that is not JSON.
    """

    method: str
    target: str
    body: bytes | None
    fresh: bool = False
    headers: Mapping[str, str] | None = None


class Reply(NamedTuple):
    """An answer as it arrived; `body` is decompressed and capped.

    `cut` is the reason why the body is incomplete, or empty. `late` means that time ran out, and
    `framed` that the body ends before the connection does. `headers` is one of aiohttp's
    multidicts. Like `Message`, it is a tuple because one is created for every exchange, which takes
    a third of the time of a class.
    """

    status: int
    headers: Any
    body: bytes
    cut: str = ""
    late: bool = False
    framed: bool = True


class OpenedReply(Reply):
    """An answer whose body is still arriving: `body` is the open `Stream`."""


@attrs.frozen(kw_only=True)
class Failure:
    """One attempt that returned no usable answer, as a value.

    `error` is the error that the call raises if it ends here. `retries` is how often such a failure
    may be retried within one call, or None for as often as the policy allows. `timed_out` means
    that a limit of the client cut the attempt, `from_api` that the API itself answered and not a
    proxy, `cut` that the body of an error did not arrive in full, and `unconfirmed` that a
    successful status arrived but does not confirm the operation.
    `answer` is the received part of an answer that may hold a secret and could not be read.
    """

    certainty: Certainty
    error: EnapterError
    kind: str
    retries: int | None = None
    status: int | None = None
    retry_after: float | None = None
    timed_out: bool = False
    from_api: bool = False
    cut: bool = False
    unconfirmed: bool = False
    answer: RawAnswer | None = None

    @property
    def absent(self) -> bool:
        """Whether the answer reports that the requested object does not exist."""
        return self.status == 404 and self.from_api
