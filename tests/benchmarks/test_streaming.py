"""`benchmarks.streaming`: every reader reads the same, and ratios are taken within a round."""

import asyncio
import json

import pytest

from benchmarks import streaming
from benchmarks.drivers import WrongAnswerError
from benchmarks.drivers.readers import FROM, READERS, checked
from benchmarks.stream_server import BLOCK


def test_all_readers_read_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with streaming.serving_streams(None) as base_url:
        found = {name: asyncio.run(read(base_url, 1_500)) for name, read in READERS.items()}
        what = ["--cell", base_url, "--name", "rows: sdk", "--count", "50"]
        assert streaming.main(what) == 0
    first = int(FROM.timestamp())
    assert {found[name] for name in found if name.startswith("rows")} == {
        sum(number % BLOCK for number in range(first, first + 1_500)) / 8
    }
    assert {found[name] for name in found if name.startswith("frames")} == {1_500 * 12.5}
    cell = json.loads(capsys.readouterr().out)
    assert (cell["count"], cell["cpu_us"] > 0, cell["grown_mib"] >= 0) == (50, True, True)


def test_a_reader_that_misses_something_fails() -> None:
    assert checked(2.5, 10, 10) == 2.5
    with pytest.raises(WrongAnswerError, match="10 were requested, and 9 arrived"):
        checked(2.5, 9, 10)


def test_ratios_are_taken_within_a_round() -> None:
    def cells(*cpu: float) -> list[dict[str, float]]:
        return [
            {"count": 10, "cpu_us": each, "per_second": 1e6 / each, "grown_mib": 1.0}
            for each in cpu
        ]

    found = {
        "rows: csv": cells(2.0, 4.0, 3.0),
        "rows: sdk": cells(3.0, 4.0, 3.0),
        "rows: official": cells(6.0, 4.0, 3.0),
        "frames: aiohttp": cells(1.0),
        "frames: sdk": cells(2.0),
    }
    section = streaming.section(found)
    ratios = {each.what: each.found and each.found.median for each in section.verdicts}
    assert ratios == {
        "CPU of rows: sdk / official": 1.0,
        "CPU of rows: sdk / csv": 1.0,
        "CPU of frames: sdk / aiohttp": 2.0,
    }
    assert [each.title for each in section.tables] == ["10 rows", "10 frames"]
    del found["rows: official"]
    assert streaming.section(found).notes == ("rows: official left out: enapter is not installed",)
