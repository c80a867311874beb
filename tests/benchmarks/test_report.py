import json

import attrs
import pytest

from benchmarks.catalog import CONTENDERS, LINKED, LINKS, PLAIN
from benchmarks.comparison import Scope, present, section
from benchmarks.figures import Cell, Spread
from benchmarks.grid import Effort
from benchmarks.report import (
    SCHEMA,
    Section,
    as_json,
    as_markdown,
    as_text,
    from_json,
    shown,
)
from benchmarks.server import Server
from tests.benchmarks.runs import CELLS, REPORT


def test_the_text_shows_each_contender_beside_aiohttp_the_cheapest_first() -> None:
    lines = as_text(REPORT).splitlines()
    rows = [line.split() for line in lines[lines.index("Concurrency 64") + 2 :][:3]]
    assert rows == [
        ["sdk", "50.0", "0.50", "20,000", "2.00", "39.0"],
        ["aiohttp", "100.0", "1.00", "10,000", "1.00", "40.0"],
        ["official", "2,000.0", "20.00", "500", "0.050"],
    ]


def test_targets_failures_and_omissions_are_shown() -> None:
    text = as_text(REPORT)
    assert "CPU of sdk / official at 64: 0.025; at most 0.04: met" in text
    assert "FAILED: sdk-fleet at 64, round 1: exit 1: x" in text
    assert "sdk+uvloop left out: uvloop not installed" in text
    assert "plain: nginx/1.2.3" in text
    assert "aiohttp 3.14.5" in text
    assert "httpx" not in text
    markdown = as_markdown(REPORT)
    assert "| CPU of sdk / official at 64 | at most 0.04 | 0.025 | met |" in markdown
    assert "- FAILED: sdk-fleet at 64, round 1: exit 1: x" in markdown


def test_a_missed_target_says_so() -> None:
    slow = [attrs.evolve(each, cpu_us_per_request=100.0) for each in CELLS]
    found = section(slow, effort=Effort(), servers={}, notes=(), failures=())
    report = attrs.evolve(REPORT, sections=(found,))
    assert "CPU of sdk / aiohttp at 64: 1.00; at most 0.5: MISSED" in as_text(report)
    assert not found.good


def test_targets_of_contenders_without_figures_are_not_judged() -> None:
    found = section(CELLS[:1], effort=Effort(), servers={}, notes=(), failures=())
    assert found.verdicts == ()


def test_the_json_is_json_and_can_be_read_back() -> None:
    written = json.loads(json.dumps(as_json(REPORT), allow_nan=False))
    assert len(written["sections"][0]["data"]["cells"]) == len(CELLS)
    assert [each["met"] for each in written["sections"][0]["verdicts"]] == [True, True]
    assert written["versions"] == {"aiohttp": "3.14.5", "httpx": None}
    assert from_json(written) == REPORT
    with pytest.raises(ValueError, match=f"this reads {SCHEMA}"):
        from_json({**written, "schema": SCHEMA - 1})


def test_a_section_that_failed_is_not_good() -> None:
    assert Section(name="x", title="X").good
    assert not Section(name="x", title="X", failures=("one",)).good


def test_over_other_links_fewer_are_measured_and_not_everywhere() -> None:
    scope = Scope(contenders=CONTENDERS, concurrencies=[1, 16, 64], links=LINKS)
    planned = list(scope.planned(Effort(rounds=1)))
    for link in LINKS:
        cells = [cell for cell in planned if cell.link == link]
        names = {cell.contender.name for cell in cells}
        if link is PLAIN:
            assert names == {one.name for one in CONTENDERS}
        else:
            assert names == {one.name for one in CONTENDERS} & set(LINKED)
        assert {cell.concurrency for cell in cells} == (
            set(link.concurrencies) & {1, 16, 64} or {1, 16, 64}
        )


def test_missing_contenders_are_named() -> None:
    found, notes = present(["aiohttp"])
    assert [one.name for one in found] == ["aiohttp"]
    assert notes == []


def test_cells_over_a_link_are_a_table_of_their_own() -> None:
    far = [attrs.evolve(each, link="100 ms") for each in CELLS]
    servers = {"plain": Server(kind="a", base_url=""), "100 ms": Server(kind="b", base_url="")}
    found = section([*CELLS, *far], effort=Effort(), servers=servers, notes=(), failures=())
    assert [table.title for table in found.tables] == [
        "Concurrency 64",
        "Concurrency 64, 100 ms",
    ]
    assert "plain: a; 100 ms: b" in found.lead
    assert all(isinstance(Cell(**each), Cell) for each in found.data["cells"])


def test_a_spread_is_shown_where_there_is_one() -> None:
    assert shown(Spread(median=2.0, least=1.5, most=2.5, values=3)) == "2.00 (1.50-2.50)"
    assert shown(Spread(median=0.05, least=0.05, most=0.05, values=1)) == "0.050"
