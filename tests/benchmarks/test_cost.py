from pathlib import Path

import pytest

from benchmarks.cost import Cost, main, subjects, table
from benchmarks.server import ROOT


def test_only_this_sdk_is_measured_in_the_other_checkout_too() -> None:
    found = subjects(["aiohttp", "sdk"], Path("/elsewhere"))
    assert [(one.name, one.root) for one in found] == [
        ("aiohttp", ROOT),
        ("sdk", ROOT),
        ("sdk there", Path("/elsewhere")),
    ]
    assert [one.name for one in subjects(["sdk", "official"], None)] == ["sdk", "official"]


def test_the_best_is_what_counts_and_the_first_is_the_unit() -> None:
    costs = [Cost(cpu_us=best, per_second=rate) for best, rate in ((90, 9), (80, 10), (130, 5))]
    halves = [Cost(cpu_us=each.cpu_us / 2, per_second=2e4) for each in costs]
    _, first, second = table({"aiohttp": costs, "sdk": halves})
    assert first.split() == ["aiohttp", "80.0", "90.0", "0.0", "1.00", "9"]
    assert second.split() == ["sdk", "40.0", "45.0", "40.0", "2.00", "20,000"]


@pytest.mark.parametrize("wrong", [["nobody"], ["--rounds", "0"], ["--beside", "/nowhere"]])
def test_a_contender_that_cannot_be_measured_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2


def test_it_measures_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sdk", "--rounds", "1", "--seconds", "0.05", "--server", "raw"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "sdk"
