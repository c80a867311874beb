import json
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from benchmarks import smoke
from benchmarks.catalog import NAMES
from benchmarks.figures import Cell, Spread, Verdict
from benchmarks.machine import others_running
from benchmarks.server import Server
from tests.benchmarks.runs import cell


def cells(**rates: float) -> list[Cell]:
    return [cell(name.replace("_", "-"), 0, rate, None) for name, rate in rates.items()]


def test_a_ratio_that_fell_by_a_third_is_missed_and_by_less_is_not() -> None:
    reference = {f"{name} / {against}": 1.5 for name, against in smoke.PAIRS}
    for rate, met in ((10_001.0, True), (9_999.0, False)):
        verdicts = smoke.judge(cells(aiohttp=10_000, sdk=rate), reference, by_cpu=False)
        found = {verdict.what: verdict for verdict in verdicts}
        assert found["sdk / aiohttp"].met is met
        assert not found["sdk-session / aiohttp"].met  # it was not measured at all


def test_cpu_time_can_be_judged_in_place_of_throughput() -> None:
    waiting = [attrs.evolve(each, cpu_us_per_request=10.0) for each in cells(sdk=100)]
    found = smoke.ratios([*cells(aiohttp=10_000), *waiting], by_cpu=True)
    assert found == {"sdk / aiohttp": 10.0}


def test_a_pairs_better_try_counts() -> None:
    def verdict(median: float | None) -> Verdict:
        found = None if median is None else Spread(median=median, least=0, most=9, values=3)
        return Verdict(what="x", found=found, bound=1.0)

    first, second = (verdict(0.9), verdict(1.4), verdict(None)), (verdict(1.1), verdict(0.2))
    best = smoke.better(first, (*second, verdict(0.1)))
    assert [each.found and each.found.median for each in best] == [1.1, 1.4, 0.1]
    assert smoke.better((), first) == first


def test_the_reference_knows_every_pair_on_both_servers() -> None:
    reference = json.loads(smoke.REFERENCE.read_text("utf-8"))
    assert reference["date"] > "2026-"
    pairs = {f"{name} / {against}" for name, against in smoke.PAIRS}
    for way in ("throughput", "by_cpu"):
        assert set(reference[way]) == {"nginx", "raw"}
        for known in reference[way].values():
            assert set(known) == pairs
            assert min(known.values()) > 0


@pytest.mark.parametrize(("kind", "family"), [("nginx/1.2", "nginx"), ("a raw one", "raw")])
def test_a_server_has_its_own_reference(kind: str, family: str) -> None:
    assert smoke.family(Server(kind=kind, base_url="")) == family


def test_all_who_are_smoked_exist() -> None:
    assert {name for pair in smoke.PAIRS for name in pair} <= set(NAMES)
    assert smoke.TRIES * (smoke.EFFORT.budget or 99) < 60


def test_who_else_wants_to_run_is_counted() -> None:
    found = others_running(samples=2, pause=0.0)
    if not Path("/proc/loadavg").exists():
        assert found == 0.0
        return
    assert found >= 0.0
    ending = time.monotonic() + 20
    busy = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", busy]) as one:  # noqa: S603 - our own command
        try:
            while others_running(samples=3, pause=0.02) < 0.5 and time.monotonic() < ending:
                pass
            assert time.monotonic() < ending
        finally:
            one.kill()
