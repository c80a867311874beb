"""How a job is divided: which items stay together, in which order, and in which wave."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.partitions import Division
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.operations.devices import AssignBlueprint, UpdateDevice


def rename(device: int, name: str = "new") -> UpdateDevice:
    return UpdateDevice(device_id=f"dev-{device}", name=name)


def items(*devices: int, **fields: Any) -> list[WorkItem]:
    """Return an item for each device number; items of one device set different fields."""
    seen: dict[int, int] = defaultdict(int)
    found = []
    for seq, device in enumerate(devices):
        seen[device] += 1
        operation = (
            rename(device)
            if seen[device] == 1
            else AssignBlueprint(device_id=f"dev-{device}", blueprint_id="bp-1")
        )
        found.append(WorkItem(seq=seq, operation=operation, **fields))
    return found


def divided(works: list[WorkItem], **how: Any) -> tuple[Division, dict[int, list[WorkItem]]]:
    division = Division(Input(works), **how)
    found: dict[int, list[WorkItem]] = defaultdict(list)
    for no, item in division.items():
        found[no].append(item)
    for no, partition in enumerate(division.partitions):
        assert (partition.no, partition.size) == (no, len(found[no]))
        assert [item.seq for item in found[no]] == list(range(partition.size))
        assert {item.wave for item in found[no]} == {partition.wave}
    firsts = [partition.first for partition in division.partitions]
    sizes = [partition.size for partition in division.partitions]
    assert firsts == [sum(sizes[:no]) for no in range(len(sizes))]
    return division, found


def devices_of(found: list[WorkItem]) -> list[str]:
    return [str(item.operation.target().id) for item in found]


def test_a_partition_has_the_requested_number_of_operations() -> None:
    division, found = divided(items(*range(10)), by=4)
    assert [partition.size for partition in division.partitions] == [4, 4, 2]
    assert {partition.queue for partition in division.partitions} == {"default"}
    assert devices_of(found[1]) == ["dev-4", "dev-5", "dev-6", "dev-7"]


def test_a_device_is_never_divided_and_keeps_its_order() -> None:
    _, found = divided(items(0, 1, 2, 3, 0, 1), by=2)
    assert devices_of(found[0]) == ["dev-0", "dev-1", "dev-0", "dev-1"]
    assert [item.operation.kind for item in found[0]] == [
        "device.update", "device.update", "device.assign_blueprint", "device.assign_blueprint",
    ]  # fmt: skip


def test_a_chain_and_a_unit_are_never_divided() -> None:
    works = items(*range(6))
    works[4] = works[4]._replace(after=0)
    works[1] = works[1]._replace(unit=7)
    works[5] = works[5]._replace(unit=7)
    _, found = divided(works, by=1)
    assert [devices_of(some) for some in found.values()] == [
        ["dev-0", "dev-4"], ["dev-1", "dev-5"], ["dev-2"], ["dev-3"],
    ]  # fmt: skip
    assert [item.after for item in found[0]] == [None, 0]


def test_a_site_is_one_partition_of_its_own_queue() -> None:
    works = [item._replace(group=("a", "b", "")[item.seq % 3]) for item in items(*range(7))]
    division, found = divided(works, by="site")
    assert [(each.queue, each.size) for each in division.partitions] == [
        ("site:a", 3), ("site:b", 2), ("default", 2),
    ]  # fmt: skip
    assert devices_of(found[1]) == ["dev-1", "dev-4"]


def test_waves_are_divided_before_partitions() -> None:
    division, _ = divided(items(*range(20)), by=8, rollout=Rollout(waves=(1, 5, "rest")))
    assert [(each.wave, each.size) for each in division.partitions] == [
        (0, 1), (1, 5), (2, 8), (2, 6),
    ]  # fmt: skip


def test_all_operations_of_a_device_are_in_its_first_wave() -> None:
    division, found = divided(items(0, 1, 2, 3, 4, 0), rollout=Rollout(waves=(1, "rest")))
    assert [(each.wave, each.size) for each in division.partitions] == [(0, 2), (1, 4)]
    assert devices_of(found[0]) == ["dev-0", "dev-0"]


def test_equal_operations_are_merged() -> None:
    works = [WorkItem(seq=seq, operation=rename(seq % 3)) for seq in range(6)]
    division, _ = divided(works, by=2)
    assert (division.merged, [each.size for each in division.partitions]) == (3, [2, 1])


@given(
    st.lists(st.integers(0, 5), max_size=12),
    st.integers(1, 4),
    st.sampled_from([None, Rollout(waves=(1, "rest")), Rollout(waves=(2, 2, "rest"))]),
)
def test_every_operation_is_in_one_partition(
    devices: list[int], by: int, rollout: Rollout | None
) -> None:
    works = [
        WorkItem(seq=seq, operation=UpdateDevice(device_id=f"dev-{device}", name="new"))
        for seq, device in enumerate(devices)
    ]
    division, found = divided(works, by=by, rollout=rollout)
    placed = [name for some in found.values() for name in devices_of(some)]
    assert sorted(placed) == sorted({f"dev-{device}" for device in devices})
    assert len(placed) + division.merged == len(devices)
    assert [each.wave for each in division.partitions] == sorted(
        each.wave for each in division.partitions
    )


@pytest.mark.parametrize("by", [0, -1, "group", True, 1.5])
def test_invalid_options_for_dividing_are_refused(by: Any) -> None:
    with pytest.raises(ConfigurationError, match="by is"):
        Division(Input(items(1)), by=by)


def test_an_input_without_a_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="with a length"):
        Division(Input(iter(items(1))))


def test_items_that_are_not_numbered_in_order_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"operations\[0\] has the number 1"):
        Division(Input(items(1, 2)[1:]))
