"""The emulator checked by a client that is not ours: the official SDK, `enapter` from PyPI."""

import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from enapter.http import api

from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.commands import Behaviour, Commands
from enapter_async.emulator.rules import Rules
from enapter_async.emulator.sites import Sites
from enapter_async.emulator.state import Device
from enapter_async.emulator.telemetry import Telemetry
from tests.emulator.fleets import (
    BARN,
    COMMANDS,
    HARBOUR,
    METER,
    NOON,
    PUMP,
    READ_ONLY,
    UCM,
)


@pytest_asyncio.fixture
async def official(emulator: Emulator) -> AsyncIterator[api.Client]:
    async with client_of(emulator) as client:
        yield client


def client_of(emulator: Emulator, *, base: str = "", token: str | None = None) -> api.Client:
    config = api.Config(base_url=emulator.base_url + base, token=token or emulator.token)
    return api.Client(config)


async def listed(client: api.Client, **arguments: Any) -> list[api.devices.Device]:
    async with client.devices.list(**arguments) as stream:
        return [device async for device in stream]


def as_told(device: Device) -> dict[str, Any]:
    told = device.to_json(timestamps="rfc3339")
    told.pop("implemented_profiles", None)
    return told


def as_read(device: api.devices.Device) -> dict[str, Any]:
    read = {key: value for key, value in device.to_dto().items() if value is not None}
    return {**read, "updated_at": device.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


@pytest.mark.parametrize("devices", [0, 1, 50, 51, 130])
async def test_it_lists_a_whole_fleet(devices: int) -> None:
    async with (
        Emulator(devices=devices) as emulator,
        client_of(emulator) as official,
    ):
        found = await listed(official)
        assert [as_read(device) for device in found] == [as_told(d) for d in emulator.world]
        # Full pages, the rest, and the empty page at the end.
        assert emulator.world.log.count_arrivals("GET") == -(-devices // 50) + 1


async def test_it_lists_one_site_from_an_offset() -> None:
    world = World.seeded(200)
    site = world.sites[1]
    ids = [device.id for device in world if device.site_id == site.id]
    async with (
        Emulator(world=world) as emulator,
        client_of(emulator) as official,
    ):
        found = await listed(official, site_id=site.id, offset=3, limit=20)
        assert [device.id for device in found] == ids[3:23]


async def test_it_reads_every_expanded_field_of_a_whole_fleet() -> None:
    expand = ("manifest", "properties", "connectivity", "communication", "raised_alert_names")
    async with (
        Emulator(devices=120) as emulator,
        client_of(emulator) as official,
    ):
        found = await listed(official, **{f"expand_{name}": True for name in expand})
        for device, witness in zip(found, emulator.world, strict=True):
            assert device.manifest == witness.manifest
            assert device.properties == witness.properties
            assert device.connectivity is not None
            assert device.connectivity.status.value == witness.connectivity
            assert device.communication is not None
            assert device.communication.type.value == witness.communication_type
            assert device.communication.upstream_id == witness.upstream_id
            assert device.raised_alert_names == list(witness.raised_alert_names)


async def test_it_gets_a_device_with_everything(official: api.Client) -> None:
    device = await official.devices.get(
        PUMP,
        expand_manifest=True,
        expand_properties=True,
        expand_connectivity=True,
        expand_communication=True,
        expand_raised_alert_names=True,
    )
    assert device.updated_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert device.type is api.devices.DeviceType.STANDALONE
    assert device.authorized_role is api.AccessRole.INSTALLER
    assert device.manifest == {"display_name": "Pump", "commands": COMMANDS}
    assert device.properties == {"vendor": "Acme"}
    assert device.connectivity is not None
    assert device.connectivity.status is api.devices.DeviceConnectivityStatus.ONLINE
    assert device.communication is not None
    assert device.communication.hardware_id == "S00112233445566778899AABBCCDDEEFF"
    assert device.raised_alert_names == ["overheat"]


async def test_it_gets_a_device_by_slug_without_anything(official: api.Client) -> None:
    device = await official.devices.get("pump")
    assert device.id == PUMP
    assert (device.manifest, device.communication, device.connectivity) == (None, None, None)


async def test_it_updates(emulator: Emulator, official: api.Client) -> None:
    device = await official.devices.update(PUMP, name="Boiler")
    assert (device.name, device.slug) == ("Boiler", "pump")
    assert device.updated_at.timestamp() == NOON
    device = await official.devices.update(PUMP, slug="boiler")
    assert (device.name, device.slug) == ("Boiler", "boiler")
    assert [effect.set for effect in emulator.world.effects_of(PUMP, "update")] == [
        {"name": "Boiler"},
        {"slug": "boiler"},
    ]


async def test_it_assigns_a_blueprint(emulator: Emulator, official: api.Client) -> None:
    device = await official.devices.assign_blueprint(PUMP, blueprint_id="bp-2")
    assert device.blueprint_id == emulator.world.get(PUMP).blueprint_id == "bp-2"


async def test_it_generates_an_mqtts_configuration(official: api.Client) -> None:
    protocol = api.devices.MQTTProtocol.MQTTS
    config = await official.devices.generate_communication_config(UCM, protocol)
    assert (config.mqtt_host, config.mqtt_port) == ("mqtt.enapter.com", 8883)
    assert config.hardware_id == "C8795CBA5375484E829105E959663C8B"
    assert config.time_sync_protocol is api.devices.TimeSyncProtocol.HTTP
    assert isinstance(config.mqtt_credentials, api.devices.MQTTSCredentials)
    assert "PRIVATE KEY" in config.mqtt_credentials.private_key


async def test_it_generates_another_mqtt_configuration_each_time(
    emulator: Emulator, official: api.Client
) -> None:
    protocol = api.devices.MQTTProtocol.MQTT
    first = await official.devices.generate_communication_config(PUMP, protocol)
    second = await official.devices.generate_communication_config(PUMP, protocol)
    assert isinstance(first.mqtt_credentials, api.devices.MQTTCredentials)
    assert isinstance(second.mqtt_credentials, api.devices.MQTTCredentials)
    assert first.mqtt_port == 1883
    assert first.mqtt_credentials.password != second.mqtt_credentials.password
    assert emulator.world.count("generate_config", device_id=PUMP) == 2


async def test_it_deletes(emulator: Emulator, official: api.Client) -> None:
    await official.devices.delete(METER)
    assert METER not in emulator.world
    with pytest.raises(api.Error) as error:
        await official.devices.delete(METER)
    assert error.value.code == "not_found"


async def test_it_executes_commands_and_agrees_on_their_executions(
    emulator: Emulator, official: api.Client
) -> None:
    commands = official.commands
    created = await commands.create_execution(PUMP, "restart", {"delay": 5})
    assert created.state is api.commands.ExecutionState.SUCCESS
    assert (created.device_id, created.request.manifest_name) == (PUMP, "reboot")
    done = await commands.execute(PUMP, "reboot", {"delay": 6}, expand_log=True)
    assert done.log is not None
    assert [each.state.value for each in done.log] == ["SUCCEEDED", "STARTED"]
    assert await commands.get_execution(PUMP, done.id, expand_log=True) == done
    emulator.noun(Commands).behave("reboot", Behaviour(ending="error"))
    failed = await commands.execute(UCM, "reboot", {"delay": 7})
    assert failed.state is api.commands.ExecutionState.ERROR

    async def listed(**filters: Any) -> list[str]:
        async with commands.list_executions(**filters) as found:
            return [each.id async for each in found]

    order = api.commands.ListExecutionsOrder.CREATED_AT_DESC
    assert await listed(device_id=PUMP) == [created.id, done.id]
    assert await listed(site_id=BARN, order=order) == [failed.id, done.id, created.id]
    assert await listed(site_id=BARN, device_id=UCM) == [failed.id]
    assert await listed(device_id=PUMP, name="restart") == [created.id]
    assert await listed(site_id=BARN, state=api.commands.ExecutionState.ERROR) == [failed.id]
    noon = datetime.fromtimestamp(NOON, UTC)
    assert await listed(device_id=PUMP, created_at_gte=noon) == [created.id, done.id]
    assert await listed(device_id=PUMP, created_at_lt=noon) == []
    assert [each.operation for each in emulator.world.effects_of(PUMP)] == [
        "create_execution",
        "ran",
    ] * 2
    with pytest.raises(api.Error) as error:
        await commands.execute(PUMP, "explode")
    assert error.value.code == "unprocessable_entity"
    with pytest.raises(api.Error) as error:
        await commands.execute(READ_ONLY, "reboot")
    assert error.value.code == "unprocessable_entity"


async def test_it_provisions_devices(emulator: Emulator, official: api.Client) -> None:
    devices = official.devices
    pump = await devices.create_standalone(name="Pump 9", site_id=BARN, slug="pump-9")
    assert (pump.name, pump.slug, pump.site_id) == ("Pump 9", "pump-9", BARN)
    lua = await devices.create_lua(runtime_id=UCM, blueprint_id="bp-9", name="M", slug="m-9")
    assert (lua.type, lua.blueprint_id) == (api.devices.DeviceType.LUA, "bp-9")
    virtual = await devices.create_vucm(name="V", site_id=BARN, hardware_id="V00")
    assert virtual.communication is not None
    assert virtual.communication.hardware_id == "V00"
    again = await devices.create_vucm(name="V", site_id=BARN, hardware_id="V00")
    assert again.id == virtual.id
    with pytest.raises(api.Error) as error:
        await devices.create_standalone(name="Pump 9", site_id=BARN, slug="pump-9")
    assert error.value.code == "already_exists"
    assert emulator.world.count("provision") == 3


async def test_it_reads_refusals(official: api.Client) -> None:
    with pytest.raises(api.Error) as error:
        await official.devices.update(READ_ONLY, name="x")
    assert error.value.code == "permission_denied"
    assert error.value.details == {"required_role": "OWNER", "authorized_role": "READONLY"}
    with pytest.raises(api.Error) as error:
        await official.devices.update(PUMP, slug="meter")
    assert error.value.code == "already_exists"
    with pytest.raises(api.Error) as error:
        await official.devices.delete(UCM)
    assert error.value.code == "device_has_running_devices"
    with pytest.raises(api.Error) as error:
        await official.devices.generate_communication_config(METER, api.devices.MQTTProtocol.MQTTS)
    assert error.value.code == "unprocessable_entity"


async def test_it_may_come_by_the_gateways_path_and_with_a_wrong_token(
    emulator: Emulator,
) -> None:
    async with client_of(emulator, base="/api") as official:
        assert (await official.devices.get(PUMP)).id == PUMP
    async with client_of(emulator, token="guess") as official:
        with pytest.raises(api.Error) as error:
            await official.devices.get(PUMP)
    assert error.value.code == "invalid_header"


async def test_it_reads_and_changes_sites(emulator: Emulator, official: api.Client) -> None:
    async with official.sites.list() as stream:
        assert [(site.id, site.name) async for site in stream] == [
            (BARN, "Barn"),
            (HARBOUR, "Harbour"),
        ]
    place = api.sites.Location(name="Rome", latitude=41.9, longitude=12.5)
    made = await official.sites.create("New", "Europe/Rome", location=place)
    assert (made.name, made.timezone, made.location) == ("New", "Europe/Rome", place)
    assert made.authorized_role is api.AccessRole.OWNER
    changed = await official.sites.update(made.id, name="Newer")
    assert (changed.name, changed.timezone, changed.location) == ("Newer", "Europe/Rome", place)
    assert await official.sites.get(made.id) == changed
    await official.sites.delete(made.id)
    with pytest.raises(api.Error):
        await official.sites.get(made.id)
    emulator.noun(Sites).gateway_site = BARN
    assert (await official.sites.get(None)).id == BARN
    operations = [each.operation for each in emulator.world.log.effects()]
    assert operations == ["site.create", "site.update", "site.delete"]


@pytest.mark.parametrize("legacy", [False, True])
async def test_it_reads_and_changes_rules(
    emulator: Emulator, official: api.Client, legacy: bool
) -> None:
    rules = emulator.noun(Rules)
    rules.legacy = legacy
    engine = official.rule_engine
    assert (await engine.suspend(BARN)).state is api.rule_engine.EngineState.SUSPENDED
    assert (await engine.resume(BARN)).state is api.rule_engine.EngineState.ACTIVE
    assert (await engine.get(BARN)).timezone == "Europe/Riga"
    version = api.rule_engine.RuntimeVersion
    script = api.rule_engine.RuleScript(code="ночь", runtime_version=version.V3)
    made = await engine.create_rule(script, slug="night", site_id=BARN, disable=True)
    assert (made.slug, made.disabled, made.script) == ("night", True, script)
    assert rules.code(BARN, "night") == "ночь"
    other = api.rule_engine.RuleScript("x", version.V1, exec_interval="60s")
    assert (await engine.update_rule_script("night", other, BARN)).script == other
    assert (await engine.enable_rule("night", BARN)).state is api.rule_engine.RuleState.STARTED
    assert (await engine.disable_rule("night", BARN)).disabled
    assert (await engine.update_rule("night", "day", BARN)).slug == "day"
    for number in range(60):
        rules.add(BARN, f"rule-{number}")
    async with engine.list_rules(BARN) as stream:
        assert len([rule async for rule in stream]) == 61
    await engine.delete_rule(made.id, BARN)
    with pytest.raises(api.Error):
        await engine.get_rule(made.id, BARN)


async def test_it_validates_uploads_and_downloads_blueprints(
    emulator: Emulator, official: api.Client, tmp_path: Path
) -> None:
    (tmp_path / "manifest.yml").write_text("blueprint_spec: device/3.0\n")
    await official.blueprints.validate_directory(tmp_path)
    made = await official.blueprints.upload_directory(tmp_path)
    assert await official.blueprints.get(made.id) == made
    original = await official.blueprints.download(made.id)
    assert zipfile.ZipFile(BytesIO(original)).namelist() == ["manifest.yml"]
    assert (await official.blueprints.download_device_profiles()).startswith(b"PK")
    (tmp_path / "manifest.yml").rename(tmp_path / "other.yml")
    with pytest.raises(api.MultiError):
        await official.blueprints.validate_directory(tmp_path)
    (effect,) = emulator.world.log.effects(operation="blueprint.upload")
    assert effect.set == {"bytes": len(original)}


@pytest.mark.parametrize("one_field", [True, False])
async def test_it_reads_telemetry_as_this_sdk_does(
    emulator: Emulator, official: api.Client, one_field: bool
) -> None:
    telemetry = emulator.noun(Telemetry)
    telemetry.types_in_one_field = one_field
    names = ["power", "total_energy", "running", "alerts"]
    start = datetime(2025, 1, 1, tzinfo=UTC)
    to = start + timedelta(hours=2)
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        latest = await official.telemetry.latest({PUMP: names, UCM: ["power", "flow"]})
        found = await client.telemetry.latest({PUMP: names, UCM: ["power", "flow"]})
        assert found.keys() == latest.keys()
        for device, points in latest.items():
            for name, point in points.items():
                ours = found[device][name]
                assert (ours.timestamp, ours.value) == (
                    (None, None) if point is None else (point.timestamp, point.value)
                )
        selector = api.telemetry.Selector("pump", names)
        async with official.telemetry.raw_timeseries(start, to, 60, [selector]) as stream:
            theirs = [(row.timestamp, row.values) async for row in stream]
        async with client.telemetry.timeseries({"pump": names}, from_=start, to=to) as table:
            rows = [
                (row.timestamp, [_listed(value) for value in row.values]) async for row in table
            ]
    assert rows == theirs
    assert len(rows) > 100


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
