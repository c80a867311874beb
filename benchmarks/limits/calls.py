"""Plain calls under limits: many at once, a backend's mixed traffic, and a declared rate."""

import random
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs

from benchmarks.limits import product, world
from benchmarks.limits.rows import Row, unlimited
from benchmarks.limits.world import LATENCY, Bucket, Chance, Places, Server
from enapter_async import Pacing

GATHERS: Final = {
    row.name: row
    for row in (
        Row(
            name="1,000 at 50/s",
            group="plain calls",
            make=partial(Bucket, 50, 5),
            operations=1_000,
            ideal=20.0,
            time=1.1,
            requests=1.1,
            smoke=True,
        ),
        Row(
            name="5,000 at 200/s",
            group="plain calls",
            make=partial(Bucket, 200, 20),
            operations=5_000,
            ideal=25.0,
            time=1.1,
            requests=1.1,
        ),
        Row(
            name="20,000, 1 % at random",
            group="plain calls",
            make=partial(Chance, 0.01),
            operations=20_000,
            # A hundred at once, the limit of a client.
            ideal=unlimited(20_000, 0.01, workers=100),
            time=1.3,
            requests=1.0 / 0.99 + 0.01,
        ),
        Row(
            name="2,000, 10 at once",
            group="plain calls",
            make=partial(Places, 10, 0.05),
            operations=2_000,
            ideal=2_000 * (0.05 + 0.2 * LATENCY) / 10,
            time=1.25,
            requests=1.1,
        ),
    )
}
MIXED_S: Final = 90.0
SETTLED_S: Final = 15.0
"""When counting of the mixed traffic starts."""
MOST_STARVED: Final = 3.0
DECLARED: Final = (7.5, 50.0, 400.0)
DECLARED_S: Final = 10


@attrs.frozen(kw_only=True)
class Gather:
    """Plain calls of one row and seed; `starved` is the p99 of their waits over the median."""

    row: str
    seed: int
    seconds: float
    requests: float
    errors: dict[str, int]
    starved: float


@attrs.frozen(kw_only=True)
class Declared:
    """The highest numbers of calls begun, and arrived, within one second at a `max_rate`."""

    rate: float
    seed: int
    began: int
    arrived: int

    @property
    def allowed(self) -> float:
        """Return how many may begin in any second."""
        return 1.02 * self.rate + 1


def gather(name: str, seed: int) -> Gather:
    """Measure as many `update`s at once as the row says."""
    row = GATHERS[name]
    server = seeded(row.make(), seed)
    calls = world.run(product.gathered(server, row.operations, seed))
    return _told(name, seed, server, calls)


def mixed(seed: int) -> Gather:
    """Measure 64 callers that alternate reads and updates, at 50 a second."""
    server = seeded(Bucket(50, 5), seed)
    calls = world.run(product.mixed(server, MIXED_S, SETTLED_S, seed))
    return _told("mixed traffic at 50/s", seed, server, calls)


def declared(rate: float, seed: int) -> Declared:
    """Measure starts and arrivals if the owner declares a rate."""
    server = seeded(Server(), seed)
    operations, pacing = int(DECLARED_S * rate), Pacing(max_rate=rate)
    calls = world.run(product.gathered(server, operations, seed, pacing))
    return Declared(
        rate=rate,
        seed=seed,
        began=most_in_a_second(calls.began),
        arrived=most_in_a_second(server.arrived),
    )


def seeded(server: Server, seed: int) -> Server:
    """Return the server with its randomness reset."""
    server.random = random.Random(seed)  # noqa: S311 - no secret
    return server


def most_in_a_second(times: Sequence[float]) -> int:
    """Return the number within the busiest second."""
    ordered = sorted(times)
    return max(
        (bisect_left(ordered, time + 1.0) - at for at, time in enumerate(ordered)), default=0
    )


def starved(waits: Sequence[float]) -> float:
    """Return the 99th percentile in units of the median."""
    return statistics.quantiles(waits, n=100, method="inclusive")[98] / statistics.median(waits)


def _told(name: str, seed: int, server: Server, calls: product.Calls) -> Gather:
    return Gather(
        row=name,
        seed=seed,
        seconds=calls.seconds,
        requests=server.requests / max(1, server.good),
        errors=dict(calls.errors),
        starved=starved(calls.waits),
    )
