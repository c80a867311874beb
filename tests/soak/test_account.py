"""The soak's own checks find errors that are planted for them."""

from typing import Any

import pytest

from tests.soak.__main__ import grown
from tests.soak.account import number_of, problems


def effect(device_id: str = "dev-1", operation: str = "update", **change: Any) -> dict[str, Any]:
    return {"operation": operation, "device_id": device_id, "change": change, "arrival": 1}


def told(call: int, word: str, kind: str = "update") -> dict[str, Any]:
    return {"call": call, "kind": kind, "told": word}


@pytest.mark.parametrize(
    ("one", "number"),
    [
        (effect(name="name-7"), 7),
        (effect(slug="slug-8", device_id="new-8"), 8),
        (effect(device_id="new-9", operation="delete"), 9),
        (effect(operation="assign_blueprint", blueprint_id="bp-10"), 10),
        (effect(device_id="new-1", name="name-2"), None),
        (effect(name="Somebody else's"), None),
    ],
)
def test_an_effect_identifies_its_call(one: dict[str, Any], number: int | None) -> None:
    assert number_of(one) == number


def test_true_reports_cause_no_problem() -> None:
    effects = [effect(name="name-1"), effect(name="name-2"), effect(name="name-2")]
    words = [told(1, "ok"), told(2, "applied"), told(3, "not-done"), told(4, "ambiguous")]
    assert problems(words, effects) == []


@pytest.mark.parametrize("word", ["ok", "applied"])
def test_success_without_an_effect_is_found(word: str) -> None:
    assert problems([told(1, word)], []) == [
        f"update 1, told as {word} (no error): nothing was done"
    ]


@pytest.mark.parametrize("word", ["not-done", "failed", "held"])
def test_an_effect_of_what_failed_is_found(word: str) -> None:
    found = problems([told(1, word)], [effect(name="name-1")])
    assert found == [f"update 1, told as {word} (no error): it was done"]


def test_a_second_configuration_is_found() -> None:
    twice = [effect(device_id="new-1", operation="generate_config")] * 2
    assert len(problems([told(1, "cancelled", "generate_config")], twice)) == 1


def test_effects_without_a_call_are_found() -> None:
    assert len(problems([], [effect(name="name-1"), effect(name="x")])) == 2


def samples(*rss_kib: float) -> list[dict[str, Any]]:
    flat = {"traced_kib": 100.0, "descriptors": 10, "tasks": 1}
    return [{**flat, "rss_kib": each} for each in rss_kib]


def test_growth_is_found() -> None:
    steps = [50_000.0 + 1000 * number for number in range(16)]
    assert grown(samples(*steps)) == ["rss_kib grew from 55500 to 63500"]
    assert grown(samples(*[50_000.0] * 16)) == []
    assert grown(samples(1.0)) != []
