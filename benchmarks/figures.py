"""The arithmetic over cells: ratios of contenders within a round. Arithmetic only."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import attrs

from benchmarks.catalog import PLAIN, Bound


@attrs.frozen(kw_only=True)
class Cell:
    """One contender at one concurrency over one link in one round, in its own process."""

    contender: str
    link: str = PLAIN.name
    concurrency: int
    round: int
    requests: int
    seconds: float
    requests_per_second: float
    cpu_us_per_request: float
    peak_rss_bytes: int | None


@attrs.frozen(kw_only=True)
class Spread:
    """A median and the range of the values around it."""

    median: float
    least: float
    most: float
    values: int


@attrs.frozen(kw_only=True)
class Verdict:
    """The bound for a figure, and the value found; None if there was nothing to judge."""

    what: str
    found: Spread | None
    bound: float
    at_most: bool = False
    """Whether the bound is an upper one; otherwise it is a lower one."""

    @property
    def met(self) -> bool:
        """Return whether the median is on the right side of the bound."""
        if self.found is None:
            return False
        return self.found.median <= self.bound if self.at_most else self.found.median >= self.bound


def spread(values: Iterable[float]) -> Spread | None:
    """Summarize values; return None if there are none."""
    known = sorted(values)
    if not known:
        return None
    return Spread(
        median=statistics.median(known), least=known[0], most=known[-1], values=len(known)
    )


def of(
    cells: Iterable[Cell], contender: str, concurrency: int, link: str = PLAIN.name
) -> list[Cell]:
    """Return a contender's cells at one concurrency over one link, by round."""
    wanted = (contender, concurrency, link)
    found = [cell for cell in cells if (cell.contender, cell.concurrency, cell.link) == wanted]
    return sorted(found, key=lambda cell: cell.round)


def _ratio(
    figure: Callable[[Cell], float],
    cells: Sequence[Cell],
    contender: str,
    *,
    against: str,
    concurrency: int,
    link: str = PLAIN.name,
) -> Spread | None:
    """Return a contender's figure in units of another's, round by round.

    Rounds in which one of the two is missing do not count.
    """
    units = {cell.round: figure(cell) for cell in of(cells, against, concurrency, link)}
    own = of(cells, contender, concurrency, link)
    return spread(figure(cell) / units[cell.round] for cell in own if cell.round in units)


cpu_ratio: Final = partial(_ratio, lambda cell: cell.cpu_us_per_request)
"""The ratio of CPU time per request; less is better."""
wall_ratio: Final = partial(_ratio, lambda cell: cell.requests_per_second)
"""The ratio of requests per second; more is better, and on a shared machine it varies twofold."""


def judge(cells: Sequence[Cell], bounds: Iterable[Bound]) -> list[Verdict]:
    """Compare figures with the bounds on CPU time, if their concurrency was measured."""
    measured = {cell.concurrency for cell in cells if cell.link == PLAIN.name}
    return [
        Verdict(
            what=f"CPU of {bound.contender} / {bound.against} at {bound.concurrency}",
            found=cpu_ratio(
                cells, bound.contender, against=bound.against, concurrency=bound.concurrency
            ),
            bound=bound.at_most,
            at_most=True,
        )
        for bound in bounds
        if bound.concurrency in measured
    ]
