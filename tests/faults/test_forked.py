"""The result of a trial, whatever else happens in its process."""

from pathlib import Path

import pytest

from tests.faults.forked import Trial, verdicts


@pytest.fixture(autouse=True)
def json_library() -> None:
    """Run these tests once: they read no JSON."""


def _trial(folder: Path, name: str, test: str, conftest: str = "") -> Trial:
    place = folder / name
    place.mkdir()
    (place / "conftest.py").write_text(conftest)
    (place / "test_it.py").write_text(f"def test_it(tmp_path):\n    {test}\n")
    options = ["-c", str(place / "none.ini"), f"--rootdir={place}"]
    (place / "none.ini").write_text("[pytest]\n")
    return Trial(name=name, tests=[*options, str(place)])


def test_what_breaks_after_a_failed_test_does_not_hide_that_it_failed(tmp_path: Path) -> None:
    falls = "def pytest_unconfigure():\n    raise RuntimeError('too late')\n"
    trials = [
        _trial(tmp_path, "failed", "assert False", falls),
        _trial(tmp_path, "passed", "assert True", falls),
        _trial(tmp_path, "quiet", "assert True"),
    ]
    states = {each.name: each.state for each in verdicts(trials, jobs=2, seconds=30)}
    assert states == {"failed": "caught", "passed": "broke down", "quiet": "survived"}


def test_trials_side_by_side_have_a_folder_each_that_goes_with_them(tmp_path: Path) -> None:
    places = tmp_path / "places"
    note = f"with open({str(places)!r}, 'a') as file: print(tmp_path, file=file)"
    trials = [_trial(tmp_path, name, note) for name in ("one", "two", "three")]
    assert [each.state for each in verdicts(trials, jobs=3, seconds=30)] == ["survived"] * 3
    used = [Path(line) for line in places.read_text().splitlines()]
    assert len({each.parent for each in used}) == 3
    assert not [each for each in used if each.parent.parent.exists()]


def test_a_trial_that_uses_all_memory_has_failed(tmp_path: Path) -> None:
    greedy = _trial(tmp_path, "greedy", f"bytearray({3 << 30})")
    assert [each.state for each in verdicts([greedy], jobs=1, seconds=30)] == ["caught"]
