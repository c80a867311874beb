"""Which items may start: one at a time for each device, and none before its predecessor."""

from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.ordering import Ordering
from enapter_async.fleet.outcomes import State
from enapter_async.operations.devices import GenerateConfig, ListDevices, UpdateDevice


def update(seq: int, device: str, after: int | None = None) -> WorkItem:
    return WorkItem(seq=seq, operation=UpdateDevice(device_id=device, name=f"n{seq}"), after=after)


def test_items_of_one_device_run_one_after_another() -> None:
    lanes = Ordering()
    first, second, other = update(0, "a"), update(1, "a"), update(2, "b")
    third = WorkItem(seq=3, operation=GenerateConfig(device_id="a", protocol="MQTT"))
    assert [lanes.admit(each) for each in (first, second, other, third)] == [
        True,
        False,
        True,
        False,
    ]
    assert lanes.release(other) == []
    assert lanes.release(first) == [second]
    assert lanes.release(second) == [third]
    assert lanes.release(third) == []
    assert lanes.admit(update(4, "a"))


def test_reads_are_not_ordered() -> None:
    lanes = Ordering()
    works = [WorkItem(seq=seq, operation=ListDevices()) for seq in range(3)]
    assert all(lanes.admit(each) for each in works)


def test_an_item_waits_for_its_predecessor() -> None:
    lanes = Ordering()
    leader, follower, behind = update(0, "a"), update(1, "b", after=0), update(2, "b")
    assert [lanes.admit(each) for each in (leader, follower, behind)] == [True, False, False]
    assert lanes.release(leader) == [follower]
    assert lanes.release(follower) == [behind]
    assert lanes.admit(update(3, "c", after=0)), "its predecessor has ended"


def test_a_failed_item_blocks_only_its_device_and_its_followers() -> None:
    lanes = Ordering()
    bad = update(9, "a")
    assert lanes.admit(bad)
    lanes.release(bad, State.UNKNOWN)
    assert lanes.blocked_by(update(10, "a")) == (
        "an earlier operation on a in this run, number 9, has the outcome 'unknown'"
    )
    assert lanes.blocked_by(update(11, "b", after=9)) == (
        "number 9, which must be done first, was not done successfully"
    )
    assert lanes.blocked_by(update(12, "b", after=8)) == ""
    assert lanes.blocked_by(update(13, "b", after=17)) == ""
    assert lanes.blocked_by(update(14, "b")) == ""
