"""The two plots of a run, as SVG and PNG: CPU time by concurrency, memory by operations.

They have a light background of their own, so that they are readable in a dark theme, too. A plot
needs matplotlib; without it, a run draws none and says so.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.catalog import PLAIN
from benchmarks.comparison import ranked
from benchmarks.figures import Cell, of, spread
from benchmarks.growth import WAYS
from benchmarks.report import PLOTS, Report

SHOWN: Final = (
    *("wrk", "sdk+orjson+uvloop", "sdk+orjson", "sdk", "sdk-fleet", "sdk-fleet-journal"),
    *("aiohttp", "sdk-session", "official", "httpx"),
)
"""The contenders in the plot; all of them together would be unreadable."""

LABELS: Final = {
    "sdk": "this SDK",
    "sdk+orjson": "+ orjson",
    "sdk+orjson+uvloop": "+ orjson + uvloop",
    "sdk-fleet": "fleet.apply",
    "sdk-fleet-journal": "with a journal",
    "sdk-session": "over your session",
    "official": "official SDK",
}
"""What a plot calls the contenders that have no name of their own."""

_CARD: Final = "#fcfcfa"
_INK: Final = "#30343b"
_COLOURS: Final = {
    "wrk": "#9aa0a6",
    "sdk+orjson+uvloop": "#0b5394",
    "sdk+orjson": "#1f77d0",
    "sdk": "#57a5ea",
    "sdk-fleet": "#2e8b57",
    "sdk-fleet-journal": "#7bc49a",
    "aiohttp": "#d9480f",
    "sdk-session": "#8f6fc4",
    "official": "#b8860b",
    "httpx": "#c2549b",
}


def available() -> bool:
    """Return whether plots can be drawn here."""
    return find_spec("matplotlib") is not None


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw the plots that the report has figures for; return the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    comparison, growth = report.section("comparison"), report.section("growth")
    if comparison is not None and (cells := [Cell(**each) for each in comparison.data["cells"]]):
        figure = _cpu(cells)
        written += _save(figure, folder, "comparison")
    if growth is not None and (jobs := growth.data.get("jobs")):
        written += _save(_memory(jobs), folder, "growth")
    return written


def lines(cells: Sequence[Cell]) -> Iterator[tuple[str, list[int], list[float]]]:
    """Yield each contender's concurrencies and its CPU µs per request there, as medians."""
    concurrencies = sorted({cell.concurrency for cell in cells if cell.link == PLAIN.name})
    known = {name for at in concurrencies for name in ranked(cells, PLAIN.name, at)}
    for name in SHOWN:
        if name in known:
            points = [
                (at, found.median)
                for at in concurrencies
                if (found := spread(cell.cpu_us_per_request for cell in of(cells, name, at)))
            ]
            yield name, [at for at, _ in points], [cpu for _, cpu in points]


def _cpu(cells: Sequence[Cell]) -> Any:
    figure, axes = _card("CPU time per operation by concurrency; less is better")
    concurrencies: set[int] = set()
    for name, where, times in lines(cells):
        concurrencies.update(where)
        axes.plot(
            where,
            times,
            marker="o",
            markersize=4,
            linewidth=1.8,
            linestyle="--" if name == "wrk" else "-",
            color=_COLOURS[name],
            label=LABELS.get(name, name),
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted(concurrencies), [str(each) for each in sorted(concurrencies)])
    axes.set_xlabel("calls in flight at once")
    axes.set_ylabel("CPU µs per operation")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    _legend(axes)
    return figure


def _memory(jobs: Sequence[dict[str, Any]]) -> Any:
    figure, axes = _card("Peak memory of a fleet job by number of operations")
    sizes = sorted({job["count"] for job in jobs})
    for way, colour in zip(WAYS, ("#2e8b57", "#0b5394"), strict=True):
        peaks = [
            found.median
            for size in sizes
            if (
                found := spread(
                    job["peak_mib"] for job in jobs if (job["way"], job["count"]) == (way, size)
                )
            )
        ]
        if len(peaks) == len(sizes):
            axes.plot(sizes, peaks, marker="o", markersize=4, color=colour, label=WAYS[way])
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_ylim(0, 1.2 * max(job["peak_mib"] for job in jobs))
    axes.set_xlabel("operations")
    axes.set_ylabel("peak MiB of the process")
    _legend(axes)
    return figure


def _card(title: str) -> tuple[Any, Any]:
    # Create figures without pyplot, which keeps each figure and needs a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained", facecolor=_CARD)
    axes = figure.add_subplot()
    axes.set_facecolor(_CARD)
    axes.set_title(title, color=_INK, fontsize=12, loc="left")
    axes.grid(visible=True, color="#d8dade", linewidth=0.6)
    axes.tick_params(colors=_INK, which="both")
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    for side, spine in axes.spines.items():
        spine.set_color(_INK)
        spine.set_visible(side in ("left", "bottom"))
    return figure, axes


def _legend(axes: Any) -> None:
    axes.minorticks_off()
    axes.figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=_INK)


def _save(figure: Any, folder: Path, section: str) -> list[Path]:
    import matplotlib as mpl

    svg = folder / PLOTS[section][0]
    png = svg.with_suffix(".png")
    # Without a date and with fixed ids, so that the same figures give the same file.
    with mpl.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}):
        figure.savefig(svg, metadata={"Date": None})
    figure.savefig(png, dpi=144)
    return [svg, png]
