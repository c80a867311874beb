"""The servers, the ideal speed against each, and the bounds."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import attrs

from benchmarks.limits.world import (
    LATENCY,
    Bucket,
    Chance,
    Outages,
    Places,
    Server,
    Window,
    in_turn,
    wave,
)

WORKERS: Final = 64
MANY: Final = 20_000
"""The number of operations in a random row."""


@attrs.frozen(kw_only=True)
class Row:
    """One server and the work against it.

    `ideal` is the fewest seconds that any client needs; if it is None, a client that only waits as
    the server says sets them. `time` and `requests` are the bounds: of the time in units of the
    ideal, and of the requests per success.
    """

    name: str
    group: str
    make: Callable[[], Server]
    operations: int
    ideal: float | None
    time: float
    requests: float
    clients: int = 1
    smoke: bool = False
    """Whether the row belongs to the short form."""


def unlimited(operations: int, share: float = 0.0, workers: int = WORKERS) -> float:
    """Return the seconds of that many successes if a share is refused and must be repeated."""
    return operations / (1.0 - share) * LATENCY / workers + 4 * LATENCY


def _by_chance() -> Iterator[Row]:
    for share, time in (
        (0.002, 1.3),
        (0.01, 1.3),
        (0.02, 1.3),
        (0.05, 1.6),
        (0.1, 2.0),
        (0.2, 3.0),
    ):
        ways = [("429", None, 429), ("429, Retry-After: 1", 1.0, 429)]
        if share in (0.01, 0.05, 0.2):
            ways.append(("503, Retry-After: 1", 1.0, 503))
        for how, seconds, status in ways:
            yield Row(
                name=f"{share:.1%} of {how}",
                group="at random" if seconds is None else "at random, with Retry-After",
                make=partial(Chance, share, seconds, status),
                operations=MANY,
                ideal=unlimited(MANY, share) if seconds is None else None,
                time=time if seconds is None else 1.2,
                requests=1.0 / (1.0 - share) + 0.01,
                smoke=share in (0.01, 0.1) and status == 429,
            )


def _buckets() -> Iterator[Row]:
    for rate, operations, bursts in (
        (5, 300, (5, 20)),
        (50, 3_000, (5, 100)),
        (1_000, 30_000, (100, 2_000)),
    ):
        for burst in bursts:
            for seconds in (None, 1.0):
                told = ", Retry-After: 1" if seconds else ""
                yield Row(
                    name=f"bucket {rate:,}/s, {burst:,} saved up{told}",
                    group="token buckets",
                    make=partial(Bucket, rate, burst, told=seconds),
                    operations=operations,
                    ideal=(operations - burst) / rate,
                    time=1.1,
                    requests=1.35 if rate == 5 else 1.1,
                    smoke=rate == 50 and burst == 5,
                )
    for rate, operations, burst in ((50, 3_000, 5), (1_000, 30_000, 100)):
        yield Row(
            name=f"bucket {rate:,}/s and 1 % at random",
            group="a bucket and random refusals",
            make=partial(Bucket, rate, burst, share=0.01),
            operations=operations,
            ideal=operations / rate,
            time=1.1,
            requests=1.1,
            smoke=rate == 50,
        )


def _windows() -> Iterator[Row]:
    for tells in (False, True):
        told = ", Retry-After" if tells else ""
        yield Row(
            name=f"600 a minute{told}",
            group="a quota per window",
            make=partial(Window, 600, 60, tells=tells),
            operations=3_000,
            ideal=240 + unlimited(600),
            time=1.1,
            requests=1.15,
            smoke=not tells,
        )
        yield Row(
            name=f"100 in 10 s{told}",
            group="a quota per window",
            make=partial(Window, 100, 10, tells=tells),
            operations=1_000,
            ideal=90 + unlimited(100),
            time=1.1,
            requests=1.3,
        )


def _shared() -> Iterator[Row]:
    for clients in (4, 16):
        yield Row(
            name=f"bucket 50/s, {clients} processes",
            group="several processes",
            make=partial(Bucket, 50, 5),
            operations=3_000,
            ideal=60,
            time=1.45,
            requests=1.45,
            clients=clients,
            smoke=clients == 4,
        )
        yield Row(
            name=f"600 a minute, {clients} processes",
            group="several processes",
            make=partial(Window, 600, 60),
            operations=3_000,
            ideal=240 + unlimited(600),
            time=1.45,
            requests=1.45,
            clients=clients,
        )


def _others() -> Iterator[Row]:
    yield Row(
        name="10 at once, 50 ms each",
        group="a limit on concurrency",
        make=partial(Places, 10, 0.05),
        operations=3_000,
        ideal=3_000 * (0.05 + 0.2 * LATENCY) / 10,
        time=1.25,
        requests=1.1,
        smoke=True,
    )
    yield Row(
        name="10 at once, 1 s each",
        group="a limit on concurrency",
        make=partial(Places, 10, 1.0),
        operations=600,
        ideal=60,
        time=1.25,
        requests=1.1,
    )
    yield Row(
        name="bucket 100/s, of which others take 0 to 90",
        group="a capacity that changes",
        make=partial(Bucket, 100, 10, others=wave(45, 45, 60)),
        operations=3_000,
        ideal=55,
        time=1.25,
        requests=1.1,
    )
    yield Row(
        name="bucket 100/s and 10/s, each for 30 s",
        group="a capacity that changes",
        make=partial(Bucket, in_turn(100, 10, 30), 10),
        operations=6_600,
        ideal=120,
        time=1.25,
        requests=1.1,
    )
    yield Row(
        name="nothing for 5 s of each 30 s",
        group="outages",
        make=partial(Outages, 30, 5),
        operations=MANY,
        ideal=MANY * 10 * LATENCY / WORKERS + 10,
        time=1.45,
        requests=1.05,
    )


ROWS: Final = {
    row.name: row
    for row in (
        Row(
            name="no limit",
            group="no limit",
            make=Server,
            operations=MANY,
            ideal=unlimited(MANY),
            time=1.05,
            requests=1.0,
        ),
        *_by_chance(),
        *_buckets(),
        *_windows(),
        *_others(),
        *_shared(),
    )
}
