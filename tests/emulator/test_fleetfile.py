from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from enapter_async.emulator.world import World


def test_a_dumped_world_is_restored(tmp_path: Path) -> None:
    world = World.seeded(70, 3)
    world.dump(tmp_path / "fleet.json")
    again = World.from_json(tmp_path / "fleet.json")
    assert again.devices == world.devices
    assert again.sites == world.sites
    assert World.from_json(str(tmp_path / "fleet.json")).to_json() == world.to_json()


def test_a_dump_with_words_newer_than_this_package_is_restored(tmp_path: Path) -> None:
    world = World.from_json(
        [
            {
                "id": "a",
                "type": "SUPER_NEW",
                "authorized_role": "GUEST",
                "connectivity": {"status": "ASLEEP"},
                "communication": {"type": "MQTT_V2_TLS"},
            }
        ]
    )
    device = world.get("a")
    assert (device.type, device.authorized_role) == ("SUPER_NEW", "GUEST")
    assert (device.connectivity, device.communication_type) == ("ASLEEP", "MQTT_V2_TLS")
    assert not device.permits("READONLY")
    world.dump(tmp_path / "fleet.json")
    assert World.from_json(tmp_path / "fleet.json").to_json() == world.to_json()


def test_a_device_needs_only_an_id() -> None:
    world = World.from_json([{"id": "dev-1"}], now=lambda: 1735689600.0)
    device = world.get("dev-1")
    assert (device.name, device.type, device.authorized_role) == ("dev-1", "STANDALONE", "OWNER")
    assert device.updated_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert world.page(site_id=device.site_id)[1] == 1


def test_devices_are_read_in_the_shapes_of_the_api(tmp_path: Path) -> None:
    path = tmp_path / "devices.jsonl"
    path.write_text(
        '\ufeff{"id": "a", "slug": "one", "updated_at": 1735689600, "type": "lua", '
        '"communication": {"type": "UCM_LUA", "upstream_id": "b"}, "connectivity": {}, '
        '"site_id": "s", "site": {"id": "s", "name": "Barn"}}\n\n'
        '{"id": "b", "updated_at": "2025-01-01T00:00:00Z", "site_id": "s", "name": null}\n',
        encoding="utf-8",
    )
    world = World.from_json(path)
    assert world.get("one").type == "LUA"
    assert world.get("a").updated_at == world.get("b").updated_at
    assert world.below("b") == ("a",)
    assert [(site.id, site.name) for site in world.sites] == [("s", "Barn")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([{"name": "x"}], r"devices\[0\]\.id: missing"),
        ([{"id": 5}], r"devices\[0\]\.id: a string"),
        ([{"id": "a"}, {"id": "a"}], r"devices\[1\]\.id: the same as devices\[0\]\.id"),
        ([{"id": "a", "slug": "s"}, {"id": "b", "slug": "s"}], r"devices\[1\]\.slug: the same"),
        ([{"id": "a", "type": "toaster"}], r"devices\[0\]\.type: expected one of STANDALONE"),
        ([{"id": "a", "communication": {"type": "x"}}], r"devices\[0\]\.communication\.type"),
        ([{"id": "a", "connectivity": "ONLINE"}], r"devices\[0\]\.connectivity: an object"),
        ([{"id": "a", "updated_at": "yesterday"}], r"devices\[0\]\.updated_at: Unix seconds"),
        ([{"id": "a", "updated_at": True}], r"devices\[0\]\.updated_at: Unix seconds"),
        ([{"id": "a", "implemented_profiles": [1]}], r"implemented_profiles: a list of strings"),
        ([{"id": "a", "raised_alert_names": "x"}], r"raised_alert_names: a list"),
        ([{"id": "a", "site": {}}], r"devices\[0\]\.site\.id: missing"),
        (["a"], r"devices\[0\]: an object"),
        ({"devices": {}}, r"devices: a list"),
        ({"devices": [], "sites": [{"name": "x"}]}, r"sites\[0\]\.id: missing"),
    ],
)
def test_an_error_in_a_fleet_names_its_place(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World.from_json(source)


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "not JSON"), (b"\xff\xfe\xff", "not UTF-8")]
)
def test_a_file_that_is_not_a_fleet_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "fleet.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        World.from_json(path)


def test_a_file_may_hold_a_list(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text('[{"id": "a"}, {"id": "b"}]', encoding="utf-8")
    assert [device.id for device in World.from_json(path)] == ["a", "b"]
