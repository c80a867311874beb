import math

import attrs
import pytest

from benchmarks.catalog import Bound
from benchmarks.figures import Cell, Spread, Verdict, cpu_ratio, judge, spread, wall_ratio


def cell(contender: str, number: int, rate: float, *, concurrency: int = 64) -> Cell:
    return Cell(
        contender=contender,
        concurrency=concurrency,
        round=number,
        requests=round(rate),
        seconds=1.0,
        requests_per_second=rate,
        cpu_us_per_request=1e6 / rate,
        peak_rss_bytes=None,
    )


CELLS = [
    cell("aiohttp", 0, 10_000),
    cell("aiohttp", 1, 5_000),
    cell("aiohttp", 2, 8_000),
    cell("sdk", 0, 15_000),
    cell("sdk", 1, 10_000),
    cell("sdk", 2, 20_000),
    cell("aiohttp", 0, 1_000, concurrency=1),
    cell("sdk", 0, 1_500, concurrency=1),
]


def test_a_ratio_is_taken_within_a_round() -> None:
    # 15/10, 10/5, 20/8: not the medians' 15/8.
    found = wall_ratio(CELLS, "sdk", against="aiohttp", concurrency=64)
    assert found == Spread(median=2.0, least=1.5, most=2.5, values=3)


def test_a_ratio_does_not_mix_concurrencies() -> None:
    found = wall_ratio(CELLS, "sdk", against="aiohttp", concurrency=1)
    assert found == Spread(median=1.5, least=1.5, most=1.5, values=1)


def test_the_baseline_is_one() -> None:
    found = wall_ratio(CELLS, "aiohttp", against="aiohttp", concurrency=64)
    assert found == Spread(median=1.0, least=1.0, most=1.0, values=3)


def test_a_round_without_both_does_not_count() -> None:
    found = wall_ratio(CELLS[1:], "sdk", against="aiohttp", concurrency=64)
    assert found is not None
    assert (found.values, found.least, found.most) == (2, 2.0, 2.5)
    assert found.median == pytest.approx(2.25)


def test_without_a_common_round_there_is_no_ratio() -> None:
    assert wall_ratio(CELLS, "sdk", against="official", concurrency=64) is None
    assert wall_ratio(CELLS, "official", against="sdk", concurrency=64) is None
    assert spread([]) is None


@pytest.mark.parametrize(
    ("at_most", "met"), [(0.7, True), (0.5, True), (0.4999999, False), (-math.inf, False)]
)
def test_a_bound_is_compared_with_the_median_cpu_time(at_most: float, met: bool) -> None:
    bound = Bound(contender="sdk", against="aiohttp", concurrency=64, at_most=at_most)
    (found,) = judge(CELLS, [bound])
    assert found.met is met


def test_a_bound_without_figures_is_missed_and_one_of_another_concurrency_is_not_judged() -> None:
    unmeasured = Bound(contender="sdk", against="official", concurrency=64, at_most=15)
    elsewhere = Bound(contender="sdk", against="aiohttp", concurrency=256, at_most=1)
    (found,) = judge(CELLS, [unmeasured, elsewhere])
    assert found.what == "CPU of sdk / official at 64"
    assert found.found is None
    assert not found.met


def test_an_upper_bound_is_one() -> None:
    found = Spread(median=1.0, least=0.5, most=3.0, values=3)
    assert Verdict(what="x", found=found, bound=1.0, at_most=True).met
    assert not Verdict(what="x", found=found, bound=0.99, at_most=True).met
    assert not Verdict(what="x", found=None, bound=9.0, at_most=True).met


def test_links_do_not_mix() -> None:
    far = [attrs.evolve(each, link="100 ms") for each in CELLS[:1]]
    assert wall_ratio([*far, *CELLS[3:4]], "sdk", against="aiohttp", concurrency=64) is None
    over = [*far, attrs.evolve(CELLS[3], link="100 ms")]
    found = wall_ratio(over, "sdk", against="aiohttp", concurrency=64, link="100 ms")
    assert found is not None
    assert found.median == 1.5


def test_a_cpu_ratio_uses_the_cpu_time() -> None:
    cheap = attrs.evolve(CELLS[3], cpu_us_per_request=25.0)
    found = cpu_ratio([CELLS[0], cheap], "sdk", against="aiohttp", concurrency=64)
    assert found is not None
    assert found.median == pytest.approx(0.25)
