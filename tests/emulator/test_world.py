from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from enapter_async.emulator.fleetfile import FleetFileError
from enapter_async.emulator.state import Refusal
from enapter_async.emulator.world import World
from tests.emulator.fleets import (
    BARN,
    COMMANDS,
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
    assert small_world().get(METER).to_json(timestamps="unix") == {
        "id": METER,
        "blueprint_id": "",
        "name": "Meter",
        "site_id": BARN,
        "updated_at": 1735689600,
        "slug": "meter",
        "type": "LUA",
        "authorized_role": "OWNER",
    }


def test_every_expanded_field_is_shown_and_only_on_request() -> None:
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
        "manifest": {"display_name": "Pump", "commands": COMMANDS},
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


def test_a_device_on_an_upstream_shows_the_ids_of_both() -> None:
    world = small_world()
    world.change(METER, communication_type="LINK", hardware_id="AB", channel_id="ucm")
    assert world.get(METER).to_json(expand=["communication"])["communication"] == {
        "type": "LINK",
        "upstream_id": UCM,
        "hardware_id": "AB",
        "channel_id": "ucm",
    }


def test_a_refusal_is_an_envelope_and_a_line() -> None:
    refused = Refusal(status=404, code="not_found", message="No.", details={"a": 1})
    assert str(refused) == "404 not_found: No."
    assert refused.envelope() == {
        "errors": [{"code": "not_found", "message": "No.", "details": {"a": 1}}]
    }


def test_times_are_written_in_either_form() -> None:
    changed = small_world().update(PUMP, name="Boiler")
    assert changed.to_json(timestamps="unix")["updated_at"] == 1735732800
    assert changed.to_json(timestamps="rfc3339")["updated_at"] == "2025-01-01T12:00:00.250000Z"


def test_a_tokens_role_replaces_the_fleets() -> None:
    assert small_world().get(PUMP).to_json(role="USER")["authorized_role"] == "USER"


# Update


def test_an_update_sets_the_given_fields_and_leaves_the_rest() -> None:
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


def test_a_slug_may_be_unique_in_each_site_only() -> None:
    fleet = [
        {"id": "d1", "site_id": "s1", "slug": "boiler"},
        {"id": "d2", "site_id": "s2", "slug": "boiler"},
        {"id": "d3", "site_id": "s2", "slug": "other"},
    ]
    with pytest.raises(FleetFileError, match=r"devices\[1\]\.slug"):
        World.from_json(fleet)
    world = World.from_json(fleet, unique_slugs="site")
    assert world.get("boiler", site_id="s2").id == "d2"
    assert world.get("boiler").id == "d1"
    with pytest.raises(Refusal) as error:
        world.update("d3", slug="boiler")
    assert refusal(error) == (409, "already_exists")
    world.remove("d1")
    assert world.get("boiler").id == "d2"
    assert world.update("boiler", slug="new").slug == "new"
    assert "boiler" not in world
    with pytest.raises(ValueError, match="unique_slugs"):
        World(unique_slugs="planet")  # type: ignore[arg-type]  # the point


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


def test_a_tokens_role_overrides_the_fleets() -> None:
    with pytest.raises(Refusal) as error:
        small_world().update(PUMP, name="x", role="USER")
    assert error.value.details == {"required_role": "OWNER", "authorized_role": "USER"}


# Delete


def test_a_deletion_is_refused_while_the_device_has_children() -> None:
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


def test_a_deleted_device_is_gone_and_frees_its_slug() -> None:
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


# Changes behind the API's back


def test_changes_by_others_are_not_logged() -> None:
    world = small_world()
    assert world.change(PUMP, name="By another", slug="other").name == "By another"
    world.remove(METER)
    assert world.id_of("other") == PUMP
    assert METER not in world
    assert world.count() == 0


def test_a_world_stays_consistent_whatever_others_do() -> None:
    world = small_world()
    with pytest.raises(ValueError, match="slug"):
        world.change(PUMP, slug="meter")
    with pytest.raises(ValueError, match="site_id"):
        world.change(PUMP, site_id=HARBOUR)


def test_neither_an_id_nor_a_slug_is_given_twice() -> None:
    world = small_world()
    pump = world.device("pump")
    for twice in (pump, attrs.evolve(pump, id="new"), attrs.evolve(pump, slug="new")):
        with pytest.raises(ValueError, match="already"):
            world.add(twice)
    world.add(attrs.evolve(pump, id="new", slug="new", site_id="new"))
    assert world.page(site_id="new")[1] == 1
    assert len(world) == 7
