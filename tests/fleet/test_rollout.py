"""Waves: their sizes, the items in each, and places for each group."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.ordering import GroupLimit
from enapter_async.fleet.rollout.waves import HealthGate, Rollout, Waves
from enapter_async.operations.devices import GetDevice
from tests.fleet.callers import rename


def works(groups: list[str]) -> list[WorkItem]:
    return [
        WorkItem(seq=seq, operation=rename(f"d{seq}"), group=group)
        for seq, group in enumerate(groups)
    ]


@pytest.mark.parametrize(
    ("total", "sizes"),
    [
        (0, ()),
        (1, (1,)),
        (5, (1, 4)),
        (11, (1, 10)),
        (12, (1, 10, 1)),
        (100, (1, 10, 1, 10, 78)),
        (101, (1, 10, 2, 11, 77)),  # 1.01 and 10.1, rounded up
        (100_000, (1, 10, 1000, 10_000, 88_989)),
    ],
)
def test_the_default_waves(total: int, sizes: tuple[int, ...]) -> None:
    assert Rollout().sizes(total) == sizes


def test_a_percentage_is_not_rounded_up_because_of_float_errors() -> None:
    for percent in range(1, 101):
        assert Rollout(waves=(f"{percent}%",)).sizes(100)[0] == percent


def test_the_rest_after_the_last_size_is_one_more_wave() -> None:
    assert Rollout(waves=(3, 3)).sizes(10) == (3, 3, 4)
    assert Rollout(waves=(3, "rest")).sizes(10) == (3, 7)
    assert Rollout(waves=("100%",)).sizes(10) == (10,)


@given(
    total=st.integers(0, 5000),
    waves=st.lists(
        st.integers(1, 900) | st.floats(0.01, 100).map(lambda percent: f"{percent:.2f}%"),
        max_size=6,
    ),
)
def test_sizes_cover_everything_and_none_is_empty(total: int, waves: list[Any]) -> None:
    sizes = Rollout(waves=tuple(waves)).sizes(total)
    assert sum(sizes) == total
    assert all(size > 0 for size in sizes)
    left = total
    for size, wanted in zip(sizes, waves, strict=False):
        if isinstance(wanted, int):
            exact = wanted
        else:
            exact = math.ceil(round(float(wanted[:-1]) * total / 100, 6))
        assert size == min(exact, left)
        left -= size


@pytest.mark.parametrize("wrong", [0, -1, True, "x", "0%", "101%", "nan%", "%", "10", 1.5, None])
def test_a_wrong_size_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        Rollout(waves=(1, wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"waves": ("rest", 1)},
        {"waves": (1,) * 101},
        {"hold": -1.0},
        {"hold": math.inf},
        {"per_group": 0},
        {"per_group": True},
    ],
)
def test_a_wrong_rollout_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Rollout(**wrong)


@pytest.mark.parametrize("wrong", [{"most_lost": -1}, {"most_lost": 100}, {"sample": 0}])
def test_a_wrong_health_gate_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        HealthGate(**wrong)
    with pytest.raises(ConfigurationError):
        HealthGate(sample=201)


def test_each_group_occurs_once_before_any_occurs_twice() -> None:
    waved = Waves(Input(works(["a"] * 500 + ["b"] * 300 + ["c"] * 200)), Rollout(waves=(1, 2, 97)))
    met = [Counter(work.group for work in waved.items() if work.wave == wave) for wave in range(4)]
    assert met[0] == {"a": 1}
    assert met[1] == {"b": 1, "c": 1}
    # of 97 more: about a half, three tenths and a fifth
    assert met[2]["a"] == pytest.approx(48, abs=2)
    assert met[2]["b"] == pytest.approx(29, abs=2)
    assert met[2]["c"] == pytest.approx(20, abs=2)
    assert sum(met[3].values()) == 900


def test_after_the_first_of_each_group_every_part_is_proportional() -> None:
    waved = Waves(Input(works(["a"] * 10 + ["b"] * 3)), Rollout(waves=(1,) * 12))
    groups = "".join(work.group for work in waved.items())
    assert groups[:2] == "ab"
    for length in range(3, 14):
        assert groups[:length].count("b") == round(3 * length / 13)


def test_without_groups_the_order_of_the_input_stays() -> None:
    given_works = works([""] * 40)
    waved = list(Waves(Input(given_works), Rollout()).items())
    assert [work.operation for work in waved] == [work.operation for work in given_works]
    assert [work.wave for work in waved] == [0] + [1] * 10 + [2] + [3] * 4 + [4] * 24


def test_plain_operations_are_accepted_too() -> None:
    waved = Waves(Input([rename("a"), rename("b")]), Rollout())
    assert [(work.seq, work.wave, work.operation) for work in waved.items()] == [
        (0, 0, rename("a")),
        (1, 1, rename("b")),
    ]
    assert len(waved) == 2


def test_unchanged_items_are_not_canaries() -> None:
    given_works = [
        WorkItem(seq=seq, operation=rename(f"d{seq}"), unchanged=seq < 10) for seq in range(12)
    ]
    waved = list(Waves(Input(given_works), Rollout(waves=(1,))).items())
    assert [work.unchanged for work in waved if work.wave == 0] == [False]
    assert sum(not work.unchanged for work in waved if work.wave == 1) == 1
    assert {work.wave for work in waved if work.unchanged} == {1}, "they are in the last one"
    assert next(Waves(Input(given_works[:10]), Rollout()).items()).wave == 0


def test_an_item_without_a_device_pulls_no_other_into_its_wave() -> None:
    same, look, renaming = rename("a"), GetDevice(device_id="a"), rename("b")
    given = Input(
        [
            WorkItem(seq=0, operation=same, unchanged=True),
            WorkItem(seq=1, operation=look),
            WorkItem(seq=2, operation=renaming),
        ]
    )
    waved = Waves(
        given,
        Rollout(waves=(1,)),
    )
    assert [(work.operation, work.wave) for work in waved.items()] == [
        (look, 0),
        (same, 1),
        (renaming, 1),
    ]


def test_items_must_be_numbered_in_order() -> None:
    with pytest.raises(ConfigurationError, match="has the number 7"):
        Waves(Input([WorkItem(seq=7, operation=rename("a"))]), Rollout())


@st.composite
def inputs(draw: st.DrawFn) -> list[WorkItem]:
    """Draw items of few devices in few groups, some of which follow others or form units."""
    found: list[WorkItem] = []
    for seq in range(draw(st.integers(0, 40))):
        device = draw(st.integers(0, 12))
        follows = draw(st.none() | st.integers(0, seq - 1)) if seq else None
        found.append(
            WorkItem(
                seq=seq,
                operation=rename(f"d{device}", f"n{seq}"),
                group=f"g{device % 3}",
                after=follows,
                unit=draw(st.sampled_from([None, None, None, 1, 2])),
                unchanged=draw(st.integers(0, 5)) == 0,
            )
        )
    return found


@given(inputs(), st.lists(st.integers(1, 9), max_size=5))
def test_waves_keep_every_order_that_matters(given_works: list[WorkItem], sizes: list[int]) -> None:
    waved = list(Waves(Input(given_works), Rollout(waves=tuple(sizes))).items())
    assert [work.seq for work in waved] == list(range(len(given_works)))
    assert Counter(work.operation for work in waved) == Counter(
        work.operation for work in given_works
    )
    assert [work.wave for work in waved] == sorted(work.wave for work in waved)
    by_operation = {work.operation: work for work in waved}
    units: dict[int, set[int]] = {}
    latest: dict[str | None, WorkItem] = {}
    for work in given_works:
        now = by_operation[work.operation]
        changes = not work.unchanged
        if work.after is not None:
            followed = by_operation[given_works[work.after].operation]
            assert now.after == followed.seq
            if changes and work.unit is None:
                assert (followed.wave, followed.seq) < (now.wave, now.seq)
        before = latest.get(work.operation.subject())
        if before is not None and changes:
            assert before.wave <= now.wave
        latest[work.operation.subject()] = now
        if work.unit is not None:
            units.setdefault(work.unit, set()).add(now.wave)
    assert all(len(waves) == 1 for waves in units.values())


@given(st.lists(st.sampled_from(["a", "b", ""]), max_size=60), st.integers(1, 4), st.randoms())
def test_no_group_ever_has_more_than_its_places(groups: list[str], most: int, chance: Any) -> None:
    limited = GroupLimit(most)
    running: list[WorkItem] = []
    started: list[WorkItem] = []
    for work in works(groups):
        if limited.admit(work):
            running.append(work)
        while running and chance.random() < 0.5:
            done = running.pop(chance.randrange(len(running)))
            started.append(done)
            following = limited.release(done)
            running += [following] if following is not None else []
        busy = Counter(each.group for each in running)
        assert all(busy[group] <= most for group in ("a", "b"))
    while running:
        done = running.pop()
        started.append(done)
        following = limited.release(done)
        running += [following] if following is not None else []
    assert len(started) == len(groups)


def test_the_extremes_are_taken() -> None:
    most = Rollout(waves=(1,) * 100, hold=0.0, per_group=1, health=None)
    assert len(most.waves) == 100
    assert Rollout(waves=1).waves == (1,)
    assert Rollout(waves="rest").sizes(7) == (7,)
    assert Rollout(waves=("100%", "0.01%")).waves == ("100%", "0.01%")
    assert HealthGate(most_lost=0, sample=1).sample == 1
    assert HealthGate(most_lost=99.9, sample=200).sample == 200
    assert (HealthGate().most_lost, HealthGate().sample) == (5.0, 200)
    assert (Rollout().hold, Rollout().per_group, Rollout().health) == (0.0, None, None)


def test_settings_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        Rollout((1,))  # type: ignore[call-arg]  # what is wrong is the point
    with pytest.raises(TypeError):
        HealthGate(5.0)  # type: ignore[call-arg]  # the same


@pytest.mark.parametrize("health", [None, HealthGate(most_lost=2.5, sample=7)])
def test_a_rollout_is_read_as_it_was_written(health: HealthGate | None) -> None:
    rollout = Rollout(waves=(1, "2%"), hold=3.0, per_group=4, health=health)
    assert Rollout.from_text(rollout.as_text()) == rollout


def test_waves_are_a_collection_of_their_items() -> None:
    waved = Waves(Input(works(["a", "b", "a"])), Rollout(waves=(1, 1)))
    assert len(waved) == 3
    assert waved.sizes == [1, 1, 1]
    assert [work.seq for work in waved.items()] == [0, 1, 2]
    empty = Waves(Input([]), Rollout())
    assert (len(empty), empty.sizes, list(empty.items())) == (0, [], [])


def test_places_of_a_group_are_passed_on_in_order_and_released() -> None:
    groups = GroupLimit(1)
    first, second, third, other = works(["a", "a", "a", ""])
    assert [groups.admit(each) for each in (first, second, third)] == [True, False, False]
    assert groups.admit(other), "a work without a group has no bound"
    assert groups.release(other) is None
    assert groups.release(first) is second
    assert groups.release(second) is third
    assert not groups.admit(first)
    assert groups.release(third) is first
    assert groups.release(first) is None
    assert groups.admit(first), "all places are free again"
    assert groups.release(first) is None
    assert (groups._busy, groups._parked) == ({}, {}), "idle groups are forgotten"
