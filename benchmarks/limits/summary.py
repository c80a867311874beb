"""Summarizes the measured rows, and whether each bound was kept. Arithmetic only."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import attrs

from benchmarks.figures import Spread, Verdict, spread
from benchmarks.limits.calls import GATHERS, MOST_STARVED, Declared, Gather
from benchmarks.limits.rows import ROWS, Row
from benchmarks.limits.sockets import Job
from benchmarks.report import Section, Table, shown

T = TypeVar("T")

LEAD: Final = (
    "`fleet.apply(client, …, concurrency=64, abort=None)` and plain calls through the whole "
    "package; only transport and clock are replaced, so that time is virtual. Answers take 20 ms. "
    "The ideal is the least time that any client needs; with Retry-After at random, it is the "
    "time of a client that only waits as the server says, with the same seeds. Figures are "
    "medians of the seeds. Beside them is botocore's adaptive mode: its algorithm, without its "
    "limit of attempts."
)


@attrs.frozen(kw_only=True)
class Cell:
    """One row with one seed: the package's job, and botocore's adaptive mode beside it.

    `requests` is the number per success.
    """

    row: str
    seed: int
    ideal: float
    seconds: float
    requests: float
    rival_seconds: float | None = None
    rival_requests: float | None = None


@attrs.frozen(kw_only=True)
class Figure:
    """The results of one row, in units of the ideal and in requests per success."""

    row: Row
    ideal: float
    time: Spread
    requests: Spread
    rival: tuple[Spread | None, Spread | None]


def section(
    cells: Sequence[Cell],
    gathers: Sequence[Gather],
    declared: Sequence[Declared],
    jobs: Sequence[Job],
) -> Section:
    """Summarize, and judge."""
    figures = list(_figures(cells))
    return Section(
        name="limits",
        title='Against servers that say "too much"',
        lead=LEAD,
        tables=tuple(
            table
            for table in (_rows(figures), _plain(gathers), _slots(declared), _over_sockets(jobs))
            if table.rows
        ),
        verdicts=(
            *_by_group(figures),
            *_judged_plain(gathers),
            *_judged_slots(declared),
            *_judged_sockets(jobs),
        ),
        data={
            "rows": [attrs.asdict(each) for each in cells],
            "calls": [attrs.asdict(each) for each in gathers],
            "declared": [attrs.asdict(each) for each in declared],
            "sockets": [attrs.asdict(each) for each in jobs],
        },
    )


def _found(values: Iterable[float]) -> Spread:
    found = spread(values)
    assert found is not None  # noqa: S101 - only of what was measured
    return found


def _grouped(values: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for each in values:
        found.setdefault(key(each), []).append(each)
    return found


def _figures(cells: Sequence[Cell]) -> Iterator[Figure]:
    for name, found in _grouped(cells, lambda cell: cell.row).items():
        yield Figure(
            row=ROWS[name],
            ideal=_found(cell.ideal for cell in found).median,
            time=_found(cell.seconds / cell.ideal for cell in found),
            requests=_found(cell.requests for cell in found),
            rival=(
                spread(
                    cell.rival_seconds / cell.ideal
                    for cell in found
                    if cell.rival_seconds is not None
                ),
                spread(cell.rival_requests for cell in found if cell.rival_requests is not None),
            ),
        )


def _by_group(figures: Sequence[Figure]) -> Iterator[Verdict]:
    """Judge each group by the row that is nearest to its bound, or farthest beyond it."""
    for group, found in _grouped(figures, lambda figure: figure.row.group).items():
        slowest = max(found, key=lambda figure: figure.time.median / figure.row.time)
        dearest = max(found, key=lambda figure: figure.requests.median / figure.row.requests)
        several = len(found) > 1
        for what, worst, spread_found, bound in (
            ("time / ideal", slowest, slowest.time, slowest.row.time),
            ("requests per success", dearest, dearest.requests, dearest.row.requests),
        ):
            named = f"{group}, nearest: {worst.row.name}" if several else worst.row.name
            yield Verdict(what=f"{what}; {named}", found=spread_found, bound=bound, at_most=True)


def _rows(figures: Sequence[Figure]) -> Table:
    return Table(
        title="Server and workload",
        headings=(
            *("server", "ideal s", "time / ideal", "bound", "requests per success", "bound"),
            *("botocore: time / ideal", "requests per success"),
        ),
        rows=tuple(
            (
                figure.row.name,
                f"{figure.ideal:.1f}",
                _shown(figure.time, figure.row.time),
                f"{figure.row.time:g}",
                _shown(figure.requests, figure.row.requests),
                f"{figure.row.requests:.4g}",
                *("" if each is None else f"{each.median:.2f}" for each in figure.rival),
            )
            for figure in figures
        ),
    )


def _shown(found: Spread, bound: float) -> str:
    return shown(found) if found.median <= bound else f"**{shown(found)}**"


def _plain(gathers: Sequence[Gather]) -> Table:
    rows = []
    for name, found in _grouped(gathers, lambda each: each.row).items():
        row = GATHERS.get(name)
        errors = [sum(each.errors.values()) for each in found]
        rows.append(
            (
                name,
                "" if row is None or row.ideal is None else f"{row.ideal:.1f}",
                f"{_found(each.seconds for each in found).median:.1f}",
                shown(_found(each.requests for each in found)),
                shown(_found(each.starved for each in found)),
                f"{sum(errors):,}",
            )
        )
    return Table(
        title="Plain calls with `asyncio.gather`, and 64 callers that alternate reads and updates",
        headings=("calls", "ideal s", "s", "requests per success", "p99 / median wait", "errors"),
        rows=tuple(rows),
    )


def _judged_plain(gathers: Sequence[Gather]) -> Iterator[Verdict]:
    for name, found in _grouped(gathers, lambda each: each.row).items():
        row = GATHERS.get(name)
        if row is not None and row.ideal is not None:
            ideal = row.ideal
            yield _at_most(
                f"plain calls, time / ideal; {name}",
                (each.seconds / ideal for each in found),
                row.time,
            )
            yield _at_most(
                f"plain calls, requests per success; {name}",
                (each.requests for each in found),
                row.requests,
            )
        else:
            yield _at_most(
                f"p99 / median wait; {name}", (each.starved for each in found), MOST_STARVED
            )
    if not gathers:
        return
    yield _at_most(
        "plain calls that ended in an error, the worst run",
        [max(sum(each.errors.values()) for each in gathers)],
        0.0,
    )


def _slots(declared: Sequence[Declared]) -> Table:
    return Table(
        title="A `max_rate`, and the busiest second",
        headings=("max_rate", "may begin", "began", "arrived"),
        rows=tuple(
            (
                name,
                f"{found[0].allowed:g}",
                shown(_found(each.began for each in found)),
                shown(_found(each.arrived for each in found)),
            )
            for name, found in _grouped(declared, lambda each: f"{each.rate:g}/s").items()
        ),
    )


def _judged_slots(declared: Sequence[Declared]) -> Iterator[Verdict]:
    for name, found in _grouped(declared, lambda each: f"{each.rate:g}/s").items():
        most = max(each.began for each in found)
        yield _at_most(
            f"started in any one second at a max_rate of {name}", [most], found[0].allowed
        )


def _over_sockets(jobs: Sequence[Job]) -> Table:
    return Table(
        title="1,000 updates over a real socket, in real time",
        headings=("server", "ideal s", "s", "time / ideal", "requests per success"),
        rows=tuple(
            (
                name,
                f"{_found(each.ideal for each in found).median:.2f}",
                f"{_found(each.seconds for each in found).median:.2f}",
                shown(_found(each.seconds / each.ideal for each in found)),
                shown(_found(each.requests for each in found)),
            )
            for name, found in _grouped(jobs, lambda each: each.row).items()
        ),
    )


def _judged_sockets(jobs: Sequence[Job]) -> Iterator[Verdict]:
    for name, found in _grouped(jobs, lambda each: each.row).items():
        yield _at_most(
            f"over a socket, time / ideal; {name}",
            (each.seconds / each.ideal for each in found),
            found[0].time_bound,
        )
        yield _at_most(
            f"over a socket, requests per success; {name}",
            (each.requests for each in found),
            found[0].requests_bound,
        )


def _at_most(what: str, values: Iterable[float], bound: float) -> Verdict:
    return Verdict(what=what, found=spread(values), bound=bound, at_most=True)
