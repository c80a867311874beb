import pytest

from enapter_async.emulator.log import Effect
from tests.emulator.fleets import METER, PUMP, small_world


def test_the_log_keeps_every_effect_even_one_that_changes_nothing() -> None:
    world = small_world()
    world.update(PUMP, name="Boiler")
    world.update(PUMP, name="Boiler")
    world.assign_blueprint(METER, blueprint_id="bp-2")
    once = {"operation": "update", "device_id": PUMP, "set": {"name": "Boiler"}}
    assert world.log.effects() == (
        Effect(sequence=1, **once),  # type: ignore[arg-type]  # test data
        Effect(sequence=2, **once),  # type: ignore[arg-type]  # test data
        Effect(
            sequence=3,
            operation="assign_blueprint",
            device_id=METER,
            set={"blueprint_id": "bp-2"},
        ),
    )
    assert world.count() == 3
    assert world.count("update") == world.count("update", device_id=PUMP) == 2
    assert world.effects_of(PUMP, "assign_blueprint") == ()


def test_arrivals_and_effects_share_one_order() -> None:
    world = small_world()
    world.log.arrived("PATCH", f"/v3/devices/{PUMP}", device_id=PUMP, fault="Drop")
    world.update(PUMP, name="x")
    world.log.arrived("GET", "/v3/devices")
    (arrival,) = world.arrivals_of(PUMP)
    (effect,) = world.effects_of(PUMP)
    assert (arrival.sequence, effect.sequence, world.log.arrivals()[1].sequence) == (1, 2, 3)
    assert (arrival.faulted, world.log.arrivals()[1].faulted) == (True, False)
    assert world.log.count_arrivals() == 2
    assert world.log.count_arrivals("GET") == world.log.count_faults("Drop") == 1
    assert world.log.fault_counts() == {"Drop": 1}


def test_a_log_may_only_count() -> None:
    world = small_world(keep_records=False)
    for _ in range(3):
        world.log.arrived("PATCH", "/v3/devices/pump", device_id=PUMP)
        world.update(PUMP, name="x")
    assert (world.count("update"), world.log.count_arrivals("PATCH")) == (3, 3)
    with pytest.raises(LookupError, match="keep_records"):
        world.effects_of(PUMP)


def test_a_cleared_log_starts_again() -> None:
    world = small_world()
    world.update(PUMP, name="x")
    world.log.clear()
    world.update(PUMP, name="y")
    assert [effect.sequence for effect in world.effects_of(PUMP)] == [2]
