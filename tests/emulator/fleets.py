"""A small fleet in which every device has a purpose, for the tests in this folder."""

from collections.abc import Callable
from datetime import UTC, datetime

from enapter_async.emulator.state import Device, Site
from enapter_async.emulator.world import World

NOON = 1735732800.25  # 2025-01-01T12:00:00.25Z
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)  # 1735689600

BARN = "5f0c1d9e-1a2b-4c3d-8e4f-a1b2c3d4e5f6"
HARBOUR = "6f0c1d9e-1a2b-4c3d-8e4f-a1b2c3d4e5f6"

UCM = "10000000-0000-4000-8000-000000000001"
METER = "20000000-0000-4000-8000-000000000002"  # LUA, on the UCM
PUMP = "30000000-0000-4000-8000-000000000003"  # STANDALONE
READ_ONLY = "40000000-0000-4000-8000-000000000004"
USED = "50000000-0000-4000-8000-000000000005"  # role USER
NATIVE = "60000000-0000-4000-8000-000000000006"  # UCM_EMBEDDED, on the UCM


COMMANDS = {
    "reboot": {
        "aliases": "restart",
        "arguments": {"delay": {"type": "integer", "required": True, "min": 0, "max": 60}},
    }
}


def small_world(
    *,
    keep_records: bool = True,
    blueprints: tuple[str, ...] | None = None,
    now: Callable[[], float] = lambda: NOON,
) -> World:
    def device(device_id: str, slug: str, **fields: object) -> Device:
        given = {"site_id": BARN, "name": slug.title(), "updated_at": NEW_YEAR, **fields}
        return Device(id=device_id, slug=slug, **given)  # type: ignore[arg-type]  # test data

    return World(
        [
            device(
                UCM,
                "ucm",
                type="HARDWARE_UCM",
                communication_type="MQTT_V1_TLS",
                hardware_id="C8795CBA5375484E829105E959663C8B",
                channel_id="ucm",
                manifest={"commands": COMMANDS},
            ),
            device(METER, "meter", type="LUA", communication_type="UCM_LUA", upstream_id=UCM),
            device(
                PUMP,
                "pump",
                authorized_role="INSTALLER",
                blueprint_id="bp-1",
                implemented_profiles=("energy.pump",),
                manifest={"display_name": "Pump", "commands": COMMANDS},
                properties={"vendor": "Acme"},
                connectivity="ONLINE",
                communication_type="MQTT_V1_PLAINTEXT",
                hardware_id="S00112233445566778899AABBCCDDEEFF",
                channel_id="s",
                raised_alert_names=("overheat",),
            ),
            device(READ_ONLY, "read-only", authorized_role="READONLY", site_id=HARBOUR),
            device(USED, "used", authorized_role="USER"),
            device(
                NATIVE, "native", type="NATIVE", communication_type="UCM_EMBEDDED", upstream_id=UCM
            ),
        ],
        [Site(id=BARN, name="Barn", timezone="Europe/Riga"), Site(id=HARBOUR, name="Harbour")],
        seed=7,
        blueprints=blueprints,
        keep_records=keep_records,
        now=now,
    )
