"""What cells say together: ratios of contenders within a round. Arithmetic only."""

import statistics
from collections.abc import Iterable, Sequence

import attrs

from benchmarks.catalog import Bound


@attrs.frozen(kw_only=True)
class Cell:
    """One contender at one concurrency in one round, measured in a process of its own."""

    contender: str
    concurrency: int
    round: int
    requests: int
    seconds: float
    requests_per_second: float
    cpu_us_per_request: float
    peak_rss_bytes: int | None


@attrs.frozen(kw_only=True)
class Spread:
    """A median and how far the values around it reach."""

    median: float
    least: float
    most: float
    values: int


@attrs.frozen(kw_only=True)
class Judgement:
    """A bound and the ratio that was measured for it; None where there was none to measure."""

    bound: Bound
    ratio: Spread | None

    @property
    def met(self) -> bool:
        """Whether the median reaches what was expected."""
        return self.ratio is not None and self.ratio.median >= self.bound.at_least


def spread(values: Iterable[float]) -> Spread | None:
    """Sum values up; None where there are none."""
    known = sorted(values)
    if not known:
        return None
    return Spread(
        median=statistics.median(known), least=known[0], most=known[-1], values=len(known)
    )


def of(cells: Iterable[Cell], contender: str, concurrency: int) -> list[Cell]:
    """Give a contender's cells at one concurrency, by round."""
    found = [
        cell for cell in cells if (cell.contender, cell.concurrency) == (contender, concurrency)
    ]
    return sorted(found, key=lambda cell: cell.round)


def ratio(
    cells: Sequence[Cell], contender: str, *, against: str, concurrency: int
) -> Spread | None:
    """Sum up a contender's requests per second in units of another's, round by round.

    A round in which one of the two is missing does not count.
    """
    units = {cell.round: cell.requests_per_second for cell in of(cells, against, concurrency)}
    return spread(
        cell.requests_per_second / units[cell.round]
        for cell in of(cells, contender, concurrency)
        if cell.round in units
    )


def judge(cells: Sequence[Cell], bounds: Iterable[Bound]) -> list[Judgement]:
    """Hold each bound whose concurrency was measured against its figures."""
    measured = {cell.concurrency for cell in cells}
    return [
        Judgement(
            bound=bound,
            ratio=ratio(
                cells, bound.contender, against=bound.against, concurrency=bound.concurrency
            ),
        )
        for bound in bounds
        if bound.concurrency in measured
    ]
