import json

import attrs
import pytest

from benchmarks.catalog import Bound
from benchmarks.figures import Cell, judge
from benchmarks.grid import Effort
from benchmarks.machine import Cores
from benchmarks.report import Record, as_json, as_markdown, as_text
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
BOUND = Bound(contender="sdk", against="official", concurrency=64, at_least=15)

RECORD = Record(
    started="2026-01-02T03:04:05+00:00",
    effort=Effort(),
    server=Server(kind="nginx/1.2.3", base_url="http://127.0.0.1:1"),
    cores=Cores(client=0, server=1),
    machine={"system": "S", "cpu": "C", "cores": 2, "python": "P", "load_average": [0.5, 0.4, 0.3]},
    versions={"aiohttp": "3.14.5", "httpx": None},
    notes=["sdk+uvloop left out: uvloop not installed"],
    failures=["sdk-fleet at 64, round 1: exit 1: x"],
    cells=CELLS,
    judgements=judge(CELLS, [BOUND]),
)


def test_the_text_shows_each_contender_beside_aiohttp_the_fastest_first() -> None:
    lines = as_text(RECORD).splitlines()
    rows = [line.split() for line in lines[lines.index("concurrency 64") + 2 :][:3]]
    assert rows == [
        ["sdk", "2.00", "(2.00-2.00)", "20,000", "50.0", "39.0"],
        ["aiohttp", "1.00", "(1.00-1.00)", "10,000", "100.0", "40.0"],
        ["official", "0.050", "(0.050-0.050)", "500", "2,000.0"],
    ]


@pytest.mark.parametrize("write", [as_text, as_markdown])
def test_targets_failures_and_what_was_left_out_are_told(write: object) -> None:
    assert callable(write)
    text = write(RECORD)
    assert "sdk / official at 64: 40.00 (40.00-40.00); target 15: met" in text
    assert "FAILED: sdk-fleet at 64, round 1: exit 1: x" in text
    assert "sdk+uvloop left out: uvloop not installed" in text
    assert "server: nginx/1.2.3" in text
    assert "aiohttp 3.14.5" in text
    assert "httpx" not in text


def test_a_missed_target_says_so() -> None:
    missed = attrs.evolve(RECORD, judgements=judge(CELLS, [attrs.evolve(BOUND, at_least=41)]))
    assert "target 41: MISSED" in as_text(missed)


def test_the_json_is_json_and_has_every_cell() -> None:
    read = json.loads(json.dumps(as_json(RECORD), allow_nan=False))
    assert len(read["cells"]) == 3
    assert [(one["contender"], one["median"]) for one in read["ratios"]] == [
        ("sdk", 2.0),
        ("aiohttp", 1.0),
        ("official", 0.05),
    ]
    assert read["judgements"][0]["met"] is True
    assert read["versions"] == {"aiohttp": "3.14.5", "httpx": None}
