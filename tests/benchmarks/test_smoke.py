import json

import attrs
import pytest

from benchmarks import smoke
from benchmarks.catalog import NAMES
from benchmarks.figures import Cell, Spread, Verdict
from benchmarks.server import Server
from tests.benchmarks.runs import cell


def cells(**rates: float) -> list[Cell]:
    return [cell(name.replace("_", "-"), 0, rate, None) for name, rate in rates.items()]


def test_a_ratio_that_rose_by_half_fails_and_by_less_passes() -> None:
    reference = {f"{name} / {against}": 0.5 for name, against in smoke.PAIRS}
    for cpu_us, met in ((74.9, True), (75.1, False)):
        own = [attrs.evolve(each, cpu_us_per_request=cpu_us) for each in cells(sdk=100)]
        verdicts = smoke.judge([*cells(aiohttp=10_000), *own], reference)
        found = {verdict.what: verdict for verdict in verdicts}
        assert found["CPU of sdk / aiohttp"].met is met
        assert not found["CPU of sdk-session / aiohttp"].met  # not measured at all


def test_the_reference_holds_cpu_time_and_not_throughput() -> None:
    waiting = [attrs.evolve(each, cpu_us_per_request=10.0) for each in cells(sdk=100)]
    assert smoke.ratios([*cells(aiohttp=10_000), *waiting]) == {"sdk / aiohttp": 0.1}


def test_a_pairs_better_try_counts() -> None:
    def verdict(median: float | None) -> Verdict:
        found = None if median is None else Spread(median=median, least=0, most=9, values=3)
        return Verdict(what="x", found=found, bound=1.0)

    first, second = (verdict(0.9), verdict(1.4), verdict(None)), (verdict(1.1), verdict(0.2))
    best = smoke.better(first, (*second, verdict(0.1)))
    assert [each.found and each.found.median for each in best] == [0.9, 0.2, 0.1]
    assert smoke.better((), first) == first


def test_the_reference_knows_every_pair_on_both_servers() -> None:
    reference = json.loads(smoke.REFERENCE.read_text("utf-8"))
    assert reference["date"] > "2026-"
    pairs = {f"{name} / {against}" for name, against in smoke.PAIRS}
    assert set(reference["cpu"]) == {"nginx", "raw"}
    for known in reference["cpu"].values():
        assert set(known) == pairs
        assert min(known.values()) > 0


@pytest.mark.parametrize(("kind", "family"), [("nginx/1.2", "nginx"), ("a raw one", "raw")])
def test_a_server_has_its_own_reference(kind: str, family: str) -> None:
    assert smoke.family(Server(kind=kind, base_url="")) == family


def test_all_contenders_of_the_smoke_run_exist() -> None:
    assert {name for pair in smoke.PAIRS for name in pair} <= set(NAMES)
    assert smoke.TRIES * (smoke.EFFORT.budget or 99) < 60
