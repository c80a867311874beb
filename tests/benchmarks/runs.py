"""An invented run, for tests of what is derived from runs."""

from benchmarks.comparison import section
from benchmarks.figures import Cell
from benchmarks.grid import Effort
from benchmarks.report import Report
from benchmarks.server import Server


def cell(contender: str, number: int, rate: float, peak_mib: int | None) -> Cell:
    return Cell(
        contender=contender,
        concurrency=64,
        round=number,
        requests=100,
        seconds=100 / rate,
        requests_per_second=rate,
        cpu_us_per_request=1e6 / rate,
        peak_rss_bytes=None if peak_mib is None else peak_mib * 1024**2,
    )


CELLS = [
    cell("aiohttp", 0, 10_000, 40),
    cell("official", 0, 500, None),
    cell("sdk", 0, 20_000, 39),
]

REPORT = Report(
    started="2026-01-02T03:04:05+00:00",
    machine={"system": "S", "cpu": "C", "cores": 2, "python": "P", "load_average": [0.5, 0.4, 0.3]},
    versions={"aiohttp": "3.14.5", "httpx": None},
    pinning="client on core 0, server on core 1",
    sections=(
        section(
            CELLS,
            effort=Effort(),
            servers={"plain": Server(kind="nginx/1.2.3", base_url="http://127.0.0.1:1")},
            notes=["sdk+uvloop left out: uvloop not installed"],
            failures=["sdk-fleet at 64, round 1: exit 1: x"],
        ),
    ),
)
