"""The sabotage itself: each break still applies, and the tests that it names exist."""

import pytest

from enapter_async.fleet.rollout.abort import AbortCriterion
from tests.faults.breaks import BREAKS, SIMULATED, Break, NotThereError
from tests.faults.forked import ROOT
from tests.faults.sabotage import sabotage


@pytest.fixture(autouse=True)
def json_library() -> None:
    """Run these tests once: they read no JSON."""


PROMISED = (
    "sent before the intent is written",
    "outcome before credentials",
    "a once-only operation is repeated after M",
    "a negative read is taken as failure",
    "a first 404 on DELETE is success",
    "abort off by one",
    "resume by offset",
    "the guard is skipped",
    "a dirty connection is reused",
    "Retry-After is ignored",
    "a retry object is shared between calls",
    "a token leaks in a cause",
)


def test_the_most_important_breaks_exist() -> None:
    assert set(PROMISED) <= BREAKS.keys()
    assert len(BREAKS) >= 15
    assert len(SIMULATED) >= 15


@pytest.mark.parametrize("name", BREAKS)
def test_the_text_that_a_break_replaces_occurs_once(name: str) -> None:
    assert BREAKS[name].changed() != ""
    for test in BREAKS[name].by:
        path, _, function = test.partition("::")
        assert f"def {function}" in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize(
    "where", ["clock:Clock.gone", "gone:f", "clock:gone", "_http.retry:backoff"]
)
def test_an_obsolete_break_is_reported(where: str) -> None:
    broken = Break(where, "this stands nowhere", "", by="")
    with pytest.raises(NotThereError):
        broken.changed()
    assert sabotage({"rotten": broken}, jobs=1, told=lambda _: None) == ["rotten"]


def test_a_break_is_undone() -> None:
    half = AbortCriterion(threshold_percentage=50.0)
    assert half.met(2, 1)
    with BREAKS["abort off by one"].applied():
        assert not half.met(2, 1)
    assert half.met(2, 1)


def test_an_uncaught_break_is_reported() -> None:
    harmless = Break(
        "_http.retry:settle_reserve",
        "left * SETTLE_SHARE",
        "SETTLE_SHARE * left",
        by="fleet/test_ordering.py::test_reads_are_not_ordered",
    )
    harmful = Break(
        "fleet.ordering:Ordering.admit",
        "if thing is not None:",
        "if True:",
        by="fleet/test_ordering.py::test_reads_are_not_ordered",
    )
    told: list[str] = []
    wrong = sabotage({"harmless": harmless, "harmful": harmful}, jobs=2, told=told.append)
    assert wrong == ["harmless"]
    assert any("SURVIVED" in line for line in told)
    assert any(
        "caught by fleet/test_ordering.py::test_reads_are_not_ordered" in line for line in told
    )
    assert "2 breaks, 1 caught by 1 tests" in told[-1]


def test_tests_that_are_gone_catch_nothing() -> None:
    broken = Break(
        "fleet.ordering:Ordering.admit",
        "if thing is not None:",
        "if True:",
        by="fleet/test_gone.py",
    )
    told: list[str] = []
    assert sabotage({"broken": broken}, jobs=1, told=told.append) == ["broken"]
    assert "BROKE DOWN" in told[0]
