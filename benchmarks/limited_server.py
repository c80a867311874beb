"""A server with a rate limit or a latency, like a distant API.

It prints its port and serves until it is terminated. Beyond its rate, or for a random share of all
requests, it answers 429, with or without Retry-After, in the API's envelope.
"""

import asyncio
import functools
import random
import time
from typing import Final, Protocol

from benchmarks.raw_server import RawServer, arguments, run

_ENVELOPE: Final = b'{"errors":[{"code":"too_many_requests","message":"Slow down."}]}'


class Limit(Protocol):
    """Decides about each request as it arrives."""

    def allows(self) -> bool:
        """Return whether one more request may pass now."""
        ...


class Bucket:
    """Allows `rate` requests per second, and `burst` saved up."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = time.monotonic()

    def allows(self) -> bool:
        """Return whether one more request may pass now."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Chance:
    """Allows all but a random share of the requests."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._random = random.Random(seed)  # noqa: S311 - no secret

    def allows(self) -> bool:
        """Return whether one more request may pass now."""
        return self._random.random() >= self._share


class LimitedServer(RawServer):
    """Answers one connection, late or with 429 if required."""

    def __init__(self, limit: Limit | None, latency: float, retry_after: int | None) -> None:
        super().__init__()
        self._limit = limit
        self._latency = latency
        told = b"" if retry_after is None else b"Retry-After: %d\r\n" % retry_after
        self._refusal = (
            b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n%b"
            b"Content-Length: %d\r\n\r\n%b" % (told, len(_ENVELOPE), _ENVELOPE)
        )

    def _answer(self, answers: list[bytes], *, close: bool) -> None:
        if self._limit is not None:
            answers = [each if self._limit.allows() else self._refusal for each in answers]
        answer = functools.partial(super()._answer, answers, close=close)
        if self._latency and answers:
            asyncio.get_running_loop().call_later(self._latency, answer)
        else:
            answer()


def main() -> None:
    """Serve until ended."""
    parser = arguments("python -m benchmarks.limited_server")
    parser.add_argument("--rate", type=float, help="requests per second; default: no limit")
    parser.add_argument("--burst", type=int, default=10)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--retry-after", type=int, help="seconds sent with each 429")
    parser.add_argument(
        "--share", type=float, help="refuse this share at random, instead of a rate"
    )
    parser.add_argument("--seed", type=int, default=1, help="of that chance")
    options = parser.parse_args()
    limit: Limit | None = None
    if options.share is not None:
        limit = Chance(options.share, options.seed)
    elif options.rate is not None:
        limit = Bucket(options.rate, options.burst)
    run(lambda: LimitedServer(limit, options.latency, options.retry_after), options)


if __name__ == "__main__":
    main()
