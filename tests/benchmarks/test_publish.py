import json
from pathlib import Path

import attrs
import pytest

from benchmarks import plots
from benchmarks.growth import section as growth_section
from benchmarks.publish import main, publish, replaced, summary
from benchmarks.report import PLOTS, as_json
from benchmarks.server import ROOT
from tests.benchmarks.runs import CELLS, REPORT

MARKED = "before\n<!-- benchmarks: {0} -->\nold \\1\n<!-- /benchmarks: {0} -->\nafter\n"


def jobs(way: str) -> dict[tuple[str, int], list[dict[str, object]]]:
    return {
        (way, count): [
            {"way": way, "count": count, "peak_mib": 40.0, "cpu_us": 50.0, "per_second": 9.0}
        ]
        for count in (1_000, 10_000)
    }


WHOLE = attrs.evolve(
    REPORT,
    sections=(*REPORT.sections, growth_section({**jobs("none"), **jobs("journal")}, [])),
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "README.md").write_text(MARKED.format("summary"))
    (tmp_path / "benchmarks" / "README.md").write_text(MARKED.format("figures"))
    return tmp_path


def test_only_the_text_between_the_marks_is_replaced() -> None:
    text = replaced(MARKED.format("summary"), "summary", "new \\1\n")
    assert text == (
        "before\n<!-- benchmarks: summary -->\nnew \\1\n<!-- /benchmarks: summary -->\nafter\n"
    )
    assert replaced(text, "summary", "new \\1") == text


@pytest.mark.parametrize("text", ["no marks", MARKED.format("x") * 2, MARKED.format("other")])
def test_marks_that_are_missing_or_doubled_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not occur exactly once"):
        replaced(text, "x", "new")


def test_the_summary_shows_ratios_and_targets() -> None:
    text = summary(REPORT)
    assert "| at once | this SDK | official SDK | aiohttp |" in text
    assert "| 64 | 0.50 / 2.00 | 20.00 / 0.050 | 100 µs / 10,000 a second |" in text
    assert "| CPU of sdk / aiohttp at 64 | at most 0.5 | 0.50 | met |" in text
    assert "one for nginx/1.2.3; P, 2026-01-02" in text


def test_both_readmes_and_all_plots_are_written(checkout: Path) -> None:
    if not plots.available():
        pytest.skip("matplotlib is not installed")
    written = publish(WHOLE, checkout)
    assert len(written) == 2 + 2 * len(PLOTS)
    for name, _ in PLOTS.values():
        svg = (checkout / "docs" / "images" / name).read_text("utf-8")
        assert svg.startswith("<?xml")
        png = (checkout / "docs" / "images" / name).with_suffix(".png").read_bytes()
        assert png.startswith(b"\x89PNG")
    figures = (checkout / "benchmarks" / "README.md").read_text("utf-8")
    assert "](../docs/images/cpu.svg)" in figures
    assert "](../docs/images/memory.svg)" in figures
    assert "### Memory and time by number of operations" in figures
    before = (checkout / "docs" / "images" / "cpu.svg").read_bytes()
    publish(WHOLE, checkout)
    assert (checkout / "docs" / "images" / "cpu.svg").read_bytes() == before


def test_a_run_with_too_few_rounds_is_refused() -> None:
    (found,) = REPORT.sections
    brief = {**found.data, "effort": {**found.data["effort"], "rounds": 2}}
    with pytest.raises(ValueError, match="fewer than 3 rounds"):
        summary(attrs.evolve(REPORT, sections=(attrs.evolve(found, data=brief),)))


def test_a_missing_mark_leaves_nothing_half_done(checkout: Path) -> None:
    (checkout / "benchmarks" / "README.md").write_text("no marks")
    with pytest.raises(ValueError, match="figures"):
        publish(REPORT, checkout)
    assert (checkout / "README.md").read_text() == MARKED.format("summary")


def test_the_lines_are_the_medians_by_concurrency() -> None:
    more = [attrs.evolve(each, concurrency=1, cpu_us_per_request=7.0) for each in CELLS]
    again = [attrs.evolve(more[0], round=1, cpu_us_per_request=9.0)]
    found = {name: (where, rates) for name, where, rates in plots.lines([*CELLS, *more, *again])}
    assert found["aiohttp"] == ([1, 64], [8.0, 100.0])
    assert found["sdk"] == ([1, 64], [7.0, 50.0])


def test_a_run_of_another_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run.json"
    run.write_text(json.dumps({**as_json(REPORT), "schema": 1}))
    assert main([str(run)]) == 1
    assert "schema is 1" in capsys.readouterr().err


def test_the_readmes_have_their_marks() -> None:
    for path, name in (("README.md", "summary"), ("benchmarks/README.md", "figures")):
        text = (ROOT / path).read_text("utf-8")
        assert replaced(text, name, "x") != text
