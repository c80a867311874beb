from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.emulator.log import Effect
from enapter_async.emulator.state import Refusal
from enapter_async.emulator.world import World
from tests.emulator.fleets import (
    BARN,
    HARBOUR,
    METER,
    NATIVE,
    PUMP,
    READ_ONLY,
    UCM,
    USED,
    small_world,
)


def refusal(error: pytest.ExceptionInfo[Refusal]) -> tuple[int, str]:
    return error.value.status, error.value.code


# Reading


def test_a_device_is_addressed_by_id_or_slug() -> None:
    world = small_world()
    assert world.get(PUMP) is world.get("pump")
    assert PUMP in world
    assert "pump" in world
    assert "nobody" not in world


def test_an_unknown_device_is_404() -> None:
    with pytest.raises(Refusal) as error:
        small_world().get("nobody")
    assert refusal(error) == (404, "not_found")


def test_a_device_is_only_found_below_its_own_site() -> None:
    world = small_world()
    assert world.get(PUMP, site_id=BARN).id == PUMP
    with pytest.raises(Refusal) as error:
        world.get(PUMP, site_id=HARBOUR)
    assert refusal(error) == (404, "not_found")


def test_pages_are_ordered_by_id_and_know_the_total() -> None:
    world = small_world()
    first, total = world.page(limit=4)
    second, _ = world.page(offset=4, limit=4)
    assert [device.id for device in first] == [UCM, METER, PUMP, READ_ONLY]
    assert [device.id for device in second] == [USED, NATIVE]
    assert total == 6
    assert world.page(offset=6) == ([], 6)


def test_a_page_of_a_site_holds_only_its_devices() -> None:
    found, total = small_world().page(site_id=HARBOUR)
    assert ([device.id for device in found], total) == ([READ_ONLY], 1)


def test_an_unknown_site_is_404() -> None:
    with pytest.raises(Refusal) as error:
        small_world().page(site_id="nowhere")
    assert refusal(error) == (404, "not_found")


def test_a_page_holds_at_most_fifty() -> None:
    found, total = World.seeded(120).page(limit=1000)
    assert (len(found), total) == (50, 120)


# Showing


def test_a_device_is_shown_as_on_the_api_page() -> None:
    assert small_world().get(METER).to_json() == {
        "id": METER,
        "blueprint_id": "",
        "name": "Meter",
        "site_id": BARN,
        "updated_at": 1735689600,
        "slug": "meter",
        "type": "LUA",
        "authorized_role": "OWNER",
    }


def test_every_expanded_field_is_shown_and_only_when_asked_for() -> None:
    world = small_world()
    shown = world.get(PUMP).to_json(
        expand=(
            "manifest",
            "properties",
            "connectivity",
            "communication",
            "site",
            "raised_alert_names",
        ),
        site=world.site(BARN),
    )
    expanded = {
        "manifest": {"display_name": "Pump"},
        "properties": {"vendor": "Acme"},
        "connectivity": {"status": "ONLINE"},
        "communication": {
            "type": "MQTT_V1_PLAINTEXT",
            "hardware_id": "S00112233445566778899AABBCCDDEEFF",
            "channel_id": "s",
        },
        "site": {
            "id": BARN,
            "name": "Barn",
            "timezone": "Europe/Riga",
            "version": "V3",
            "authorized_role": "OWNER",
        },
        "raised_alert_names": ["overheat"],
    }
    base = world.get(PUMP).to_json()
    assert base["implemented_profiles"] == ["energy.pump"]
    assert shown == {**base, **expanded}
    assert not expanded.keys() & base.keys()


def test_what_runs_on_an_upstream_shows_only_its_upstream() -> None:
    shown = small_world().get(METER).to_json(expand=("communication", "connectivity"))
    assert shown["communication"] == {"type": "UCM_LUA", "upstream_id": UCM}
    assert shown["connectivity"] == {}


def test_times_are_told_in_either_way() -> None:
    changed = small_world().update(PUMP, name="Boiler")
    assert changed.to_json(timestamps="unix")["updated_at"] == 1735732800
    assert changed.to_json(timestamps="rfc3339")["updated_at"] == "2025-01-01T12:00:00.250000Z"


def test_a_tokens_role_is_shown_in_place_of_the_fleets() -> None:
    assert small_world().get(PUMP).to_json(role="USER")["authorized_role"] == "USER"


# Update


def test_an_update_sets_what_is_given_and_leaves_the_rest() -> None:
    world = small_world()
    before = world.get(PUMP)
    after = world.update("pump", name="Boiler pump")
    assert (after.name, after.slug, after.blueprint_id) == ("Boiler pump", "pump", "bp-1")
    assert after.updated_at == datetime(2025, 1, 1, 12, 0, 0, 250000, tzinfo=UTC)
    assert before.name == "Pump"
    assert world.update(PUMP, slug="boiler").slug == "boiler"
    assert world.id_of("boiler") == PUMP
    assert world.id_of("pump") is None


@pytest.mark.parametrize("nothing", [{}, {"name": None, "slug": None}, {"name": "", "slug": ""}])
def test_missing_null_and_empty_all_leave_alone(nothing: dict[str, Any]) -> None:
    world = small_world()
    before = world.get(PUMP)
    assert world.update(PUMP, **nothing) == before
    assert world.count("update", device_id=PUMP) == 1


def test_a_slug_is_unique_in_the_account() -> None:
    world = small_world()
    with pytest.raises(Refusal) as error:
        world.update(PUMP, name="Other", slug="read-only")
    assert refusal(error) == (409, "already_exists")
    assert world.get(PUMP).name == "Pump"
    assert world.count("update") == 0


def test_a_device_may_keep_its_own_slug() -> None:
    assert small_world().update(PUMP, slug="pump").slug == "pump"


@pytest.mark.parametrize("device_id", [READ_ONLY, USED])
@pytest.mark.parametrize("operation", ["update", "delete", "generate_config", "assign_blueprint"])
def test_writing_needs_at_least_the_owner_role(device_id: str, operation: str) -> None:
    world = small_world()
    arguments = {
        "update": {"name": "x"},
        "delete": {},
        "generate_config": {"protocol": "MQTT"},
        "assign_blueprint": {"blueprint_id": "bp-2"},
    }[operation]
    write = getattr(world, operation)
    with pytest.raises(Refusal) as error:
        write(device_id, **arguments)
    assert refusal(error) == (403, "permission_denied")
    assert world.count() == 0
    write(device_id, role="VENDOR", **arguments)
    assert world.count(operation, device_id=device_id) == 1


def test_a_tokens_role_takes_the_fleets_away() -> None:
    with pytest.raises(Refusal) as error:
        small_world().update(PUMP, name="x", role="USER")
    assert error.value.details == {"required_role": "OWNER", "authorized_role": "USER"}


# Delete


def test_a_deletion_is_refused_while_devices_hang_below() -> None:
    world = small_world()
    with pytest.raises(Refusal) as error:
        world.delete(UCM)
    assert error.value.status == 409
    assert error.value.details == {"running_device_ids": [METER, NATIVE]}
    assert UCM in world
    world.delete(METER)
    world.delete(NATIVE)
    world.delete(UCM)
    assert [device.id for device in world] == [PUMP, READ_ONLY, USED]


def test_what_was_deleted_is_gone_and_frees_its_slug() -> None:
    world = small_world()
    world.delete(METER)
    with pytest.raises(Refusal) as error:
        world.delete(METER)
    assert error.value.status == 404
    assert world.page(site_id=BARN)[1] == 4
    assert world.update(PUMP, slug="meter").slug == "meter"
    assert world.count("delete") == 1


# Generate config


def test_an_mqtts_configuration_has_the_shape_of_the_api_page() -> None:
    config = small_world().generate_config(UCM, protocol="MQTTS")
    credentials = config.pop("mqtt_credentials")
    assert config == {
        "mqtt_host": "mqtt.enapter.com",
        "mqtt_port": 8883,
        "mqtt_protocol": "MQTTS",
        "time_sync_protocol": "HTTP",
        "time_sync_host": "127.0.0.1",
        "time_sync_port": 80,
        "hardware_id": "C8795CBA5375484E829105E959663C8B",
        "channel_id": "ucm",
    }
    assert credentials.keys() == {"private_key", "certificate", "ca_chain"}
    assert credentials["private_key"].startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert credentials["certificate"].startswith("-----BEGIN CERTIFICATE-----\n")


def test_an_mqtt_configuration_has_username_and_password() -> None:
    config = small_world().generate_config(PUMP, protocol="MQTT")
    assert (config["mqtt_port"], config["mqtt_protocol"]) == (1883, "MQTT")
    assert config["mqtt_credentials"].keys() == {"username", "password"}
    assert (config["hardware_id"], config["channel_id"]) == (
        "S00112233445566778899AABBCCDDEEFF",
        "s",
    )


def test_credentials_are_new_each_time_the_same_for_a_seed_and_kept_nowhere() -> None:
    def mint(world: World) -> list[str]:
        made = [world.generate_config(PUMP, protocol="MQTTS") for _ in range(3)]
        made += [world.generate_config(PUMP, protocol="MQTT") for _ in range(3)]
        return [
            secret
            for config in made
            for name, secret in config["mqtt_credentials"].items()
            if name != "ca_chain"
        ]

    world = small_world()
    secrets = mint(world)
    assert len(set(secrets)) == 3 * 2 + 3 * 2
    assert mint(small_world()) == secrets
    assert [effect.set for effect in world.effects_of(PUMP)] == [{"protocol": "MQTTS"}] * 3 + [
        {"protocol": "MQTT"}
    ] * 3


@pytest.mark.parametrize("device_id", [METER, NATIVE])
def test_no_configuration_for_what_runs_on_an_upstream(device_id: str) -> None:
    world = small_world()
    with pytest.raises(Refusal) as error:
        world.generate_config(device_id, protocol="MQTT")
    assert refusal(error) == (422, "unprocessable_entity")
    assert world.count() == 0


@pytest.mark.parametrize("protocol", ["", "mqtt", "HTTP"])
def test_a_protocol_is_mqtt_or_mqtts(protocol: str) -> None:
    with pytest.raises(Refusal) as error:
        small_world().generate_config(PUMP, protocol=protocol)
    assert refusal(error) == (400, "invalid_parameter")


# Assign blueprint


def test_a_blueprint_is_assigned() -> None:
    world = small_world()
    after = world.assign_blueprint(PUMP, blueprint_id="bp-2")
    assert after.blueprint_id == world.get(PUMP).blueprint_id == "bp-2"
    assert after.updated_at == datetime(2025, 1, 1, 12, 0, 0, 250000, tzinfo=UTC)


def test_a_blueprint_is_named() -> None:
    with pytest.raises(Refusal) as error:
        small_world().assign_blueprint(PUMP, blueprint_id="")
    assert refusal(error) == (400, "invalid_parameter")


def test_a_world_may_know_its_blueprints() -> None:
    world = small_world(blueprints=("bp-1", "bp-2"))
    world.assign_blueprint(PUMP, blueprint_id="bp-2")
    with pytest.raises(Refusal) as error:
        world.assign_blueprint(PUMP, blueprint_id="bp-3")
    assert refusal(error) == (422, "unprocessable_entity")


# The log


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


# Changes behind the API's back


def test_what_others_do_is_not_logged() -> None:
    world = small_world()
    assert world.change(PUMP, name="By another", slug="other").name == "By another"
    world.remove(METER)
    assert world.id_of("other") == PUMP
    assert METER not in world
    assert world.count() == 0


def test_a_world_stays_whole_whatever_others_do() -> None:
    world = small_world()
    with pytest.raises(ValueError, match="slug"):
        world.change(PUMP, slug="meter")
    with pytest.raises(ValueError, match="site_id"):
        world.change(PUMP, site_id=HARBOUR)
    with pytest.raises(ValueError, match="already"):
        world.add(world.get(PUMP))


# Seeded fleets


@given(count=st.integers(min_value=0, max_value=400), seed=st.integers())
def test_a_seeded_fleet_is_whole(count: int, seed: int) -> None:
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


def test_a_fleet_has_no_fewer_than_no_devices() -> None:
    with pytest.raises(ValueError, match="fewer"):
        World.seeded(-1)


# Fleets from JSON


def test_a_dumped_world_comes_back(tmp_path: Path) -> None:
    world = World.seeded(70, 3)
    world.dump(tmp_path / "fleet.json")
    again = World.from_json(tmp_path / "fleet.json")
    assert again.devices == world.devices
    assert again.sites == world.sites
    assert World.from_json(str(tmp_path / "fleet.json")).to_json() == world.to_json()


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
        ([{"id": "a", "type": "TOASTER"}], r"devices\[0\]\.type: expected one of STANDALONE"),
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
def test_a_file_that_is_none_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "fleet.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        World.from_json(path)
