from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.emulator.world import World


@given(count=st.integers(min_value=0, max_value=400), seed=st.integers())
def test_a_seeded_fleet_is_consistent(count: int, seed: int) -> None:
    world = World.seeded(count, seed)
    assert len(world) == count
    assert len({device.slug for device in world}) == count
    sites = {site.id for site in world.sites}
    for device in world:
        assert str(UUID(device.id)) == device.id
        assert device.site_id in sites
        if device.upstream_id is not None:
            assert world.get(device.upstream_id).site_id == device.site_id
    assert [device.id for device in world] == sorted(device.id for device in world)


def test_a_seed_gives_one_fleet() -> None:
    assert World.seeded(200, 1).devices == World.seeded(200, 1).devices
    assert World.seeded(200, 1).devices != World.seeded(200, 2).devices


def test_a_seeded_fleet_has_everything_in_it() -> None:
    world = World.seeded(devices=200, seed=1)
    types = Counter(device.type for device in world)
    assert types.keys() == {
        "STANDALONE",
        "GATEWAY",
        "EMBEDDED_UCM",
        "HARDWARE_UCM",
        "VIRTUAL_UCM",
        "LINK_MASTER_UCM",
        "LINK_SLAVE_UCM",
        "LUA",
        "NATIVE",
    }
    assert {d.communication_type for d in world if d.type == "LUA"} == {"UCM_LUA"}
    assert {d.communication_type for d in world if d.type == "NATIVE"} == {"UCM_EMBEDDED"}
    assert {device.communication_type for device in world} == {
        "MQTT_V1_PLAINTEXT",
        "MQTT_V1_TLS",
        "MQTT_V1_LOCALHOST",
        "UCM_LUA",
        "UCM_EMBEDDED",
        "LINK",
    }
    assert {device.connectivity for device in world} == {"ONLINE", "OFFLINE", "UNKNOWN"}
    assert len(world.sites) > 1
    roles = Counter(device.authorized_role for device in world)
    assert roles["OWNER"] + roles["INSTALLER"] > 150
    assert roles["READONLY"] > 0
    assert roles["USER"] > 0


def test_a_seeded_fleet_may_have_one_role() -> None:
    assert {d.authorized_role for d in World.seeded(50, role="OWNER")} == {"OWNER"}


def test_a_negative_number_of_devices_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        World.seeded(-1)
