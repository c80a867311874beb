"""Fleets from a seed: sites, gateways, modules with their devices, and standalone devices."""

import re
import uuid
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final

import attrs

from enapter_async.emulator.state import Device, Site, moment

_DEVICES_PER_SITE: Final = 60
_MOST_SITES: Final = 40
_NEW_YEAR_2025: Final = 1735689600

_PLACES: Final = (
    ("Barn", "Europe/Riga"),
    ("Harbour", "Europe/Rome"),
    ("Hill farm", "Europe/Berlin"),
    ("Island", "Asia/Bangkok"),
    ("Workshop", "Europe/Madrid"),
    ("School", "Europe/Paris"),
)
_ROLES: Final = ("OWNER", "INSTALLER", "VENDOR", "USER", "READONLY")
_ROLE_WEIGHTS: Final = (60, 30, 2, 4, 4)


_COMMANDS: Final = {
    "reboot": {"display_name": "Reboot", "group": "main"},
    "set_interval": {
        "display_name": "Set the interval of telemetry",
        "group": "main",
        "access_level": "owner",
        "arguments": {
            "seconds": {
                "display_name": "Seconds",
                "type": "integer",
                "required": True,
                "min": 1,
                "max": 3600,
            }
        },
    },
}
"""The commands of every seeded device."""
_NETWORK: Final[Mapping[str, Any]] = {
    "display_name": "Network",
    "access_level": "OWNER",
    "parameters": {
        "host": {"type": "string", "display_name": "Host"},
        "port": {"type": "integer", "display_name": "Port", "default": 502, "required": True},
        "token": {"type": "string", "display_name": "Token", "sensitive": True},
    },
}
"""The group of configuration parameters that every product has."""


@attrs.frozen(kw_only=True)
class _Product:
    name: str
    profile: str
    property_names: tuple[str, ...]
    alert: str

    def manifest(self) -> dict[str, Any]:
        return {
            "blueprint_spec": "device/3.0",
            "display_name": self.name,
            "implements": [self.profile],
            "properties": {n: {"type": "string", "display_name": n} for n in self.property_names},
            "alerts": {self.alert: {"display_name": self.alert, "severity": "warning"}},
            "commands": _COMMANDS,
            "configuration": {"network": dict(_NETWORK)},
        }


_THIRD_PARTY: Final = tuple(
    _Product(name=name, profile=profile, property_names=("vendor", "model"), alert=alert)
    for name, profile, alert in (
        ("Hydrogen detector", "sensor.gas", "gas_detected"),
        ("Solar inverter", "energy.inverter", "grid_lost"),
        ("Battery", "energy.battery", "low_charge"),
        ("Power meter", "energy.power_meter", "no_data"),
        ("Heat pump", "energy.heat_pump", "overheat"),
    )
)
_NATIVE: Final = tuple(
    _Product(name=name, profile=profile, property_names=("fw_ver", "serial"), alert=alert)
    for name, profile, alert in (
        ("Electrolyser", "energy.electrolyser", "high_pressure"),
        ("Dryer", "energy.dryer", "overheat"),
    )
)
_MODULE: Final = _Product(
    name="UCM", profile="lib.module", property_names=("fw_ver",), alert="weak_signal"
)
_GATEWAY: Final = _Product(
    name="Gateway", profile="lib.gateway", property_names=("fw_ver",), alert="disk_full"
)
_STANDALONE: Final = _Product(
    name="Boiler pump", profile="energy.pump", property_names=("fw_ver", "vendor"), alert="overheat"
)


def fleet(count: int, seed: int, *, role: str | None = None) -> tuple[list[Device], list[Site]]:
    """Make exactly `count` devices and their sites; the same seed always gives the same result."""
    if count < 0:
        raise ValueError("the number of devices must be at least 0")
    maker = _Maker(seed, role)
    wanted = min(_MOST_SITES, max(1, -(-count // _DEVICES_PER_SITE)))
    sites = [maker.site(number) for number in range(wanted)]
    devices: list[Device] = []
    for number, site in enumerate(sites):
        share = count // wanted + (number < count % wanted)
        stream = maker.devices_of(site)
        devices.extend(next(stream) for _ in range(share))
    return devices, sites


class _Maker:
    """Creates devices one after another; a module always comes before the devices below it."""

    def __init__(self, seed: int, role: str | None) -> None:
        self._random = Random(seed)  # noqa: S311 - a repeatable fleet, not cryptography
        self._role = role
        self._made = 0
        self._blueprints: dict[str, str] = {}
        self._manifests: dict[str, Mapping[str, Any]] = {}

    def site(self, number: int) -> Site:
        place, timezone = _PLACES[number % len(_PLACES)]
        name = place if number < len(_PLACES) else f"{place} {number // len(_PLACES) + 1}"
        return Site(id=self._uuid(), name=name, timezone=timezone)

    def devices_of(self, site: Site) -> Iterator[Device]:
        """Yield devices of a site without end, its gateway first."""
        gateway = self._device(
            site, _GATEWAY, "GATEWAY", "MQTT_V1_TLS", hardware_id=self._hex(), channel_id="gateway"
        )
        yield gateway
        while True:
            yield from self._hardware_module(site)
            yield from self._virtual_module(site, gateway)
            yield self._device(
                site,
                _STANDALONE,
                "STANDALONE",
                self._random.choice(("MQTT_V1_TLS", "MQTT_V1_PLAINTEXT")),
                hardware_id="S" + self._hex(),
                channel_id="s",
            )
            yield from self._embedded_module(site)
            yield from self._link(site)

    def _hardware_module(self, site: Site) -> Iterator[Device]:
        module = self._module(site, "HARDWARE_UCM", "MQTT_V1_TLS", self._hex())
        yield module
        for _ in range(self._random.randint(1, 3)):
            yield self._lua(site, module)

    def _virtual_module(self, site: Site, gateway: Device) -> Iterator[Device]:
        module = self._module(
            site, "VIRTUAL_UCM", "MQTT_V1_LOCALHOST", "V" + self._hex(), upstream=gateway
        )
        yield module
        yield self._lua(site, module)

    def _embedded_module(self, site: Site) -> Iterator[Device]:
        module = self._module(site, "EMBEDDED_UCM", "MQTT_V1_TLS", self._hex())
        yield module
        product = self._random.choice(_NATIVE)
        yield self._device(site, product, "NATIVE", "UCM_EMBEDDED", upstream=module)

    def _link(self, site: Site) -> Iterator[Device]:
        master = self._module(site, "LINK_MASTER_UCM", "MQTT_V1_TLS", self._hex())
        yield master
        slave = self._module(site, "LINK_SLAVE_UCM", "LINK", self._hex(), upstream=master)
        yield slave
        yield self._lua(site, slave)

    def _module(
        self,
        site: Site,
        kind: str,
        communication: str,
        hardware_id: str,
        upstream: Device | None = None,
    ) -> Device:
        return self._device(
            site, _MODULE, kind, communication, upstream, hardware_id=hardware_id, channel_id="ucm"
        )

    def _lua(self, site: Site, upstream: Device) -> Device:
        return self._device(site, self._random.choice(_THIRD_PARTY), "LUA", "UCM_LUA", upstream)

    def _device(
        self,
        site: Site,
        product: _Product,
        kind: str,
        communication: str,
        upstream: Device | None = None,
        *,
        hardware_id: str | None = None,
        channel_id: str | None = None,
    ) -> Device:
        self._made += 1
        name = f"{product.name} {self._made}"
        online = self._random.choices(("ONLINE", "OFFLINE", "UNKNOWN"), (85, 10, 5))[0]
        role = self._random.choices(_ROLES, _ROLE_WEIGHTS)[0]
        return Device(
            id=self._uuid(),
            name=name,
            slug=slug_of(name),
            site_id=site.id,
            updated_at=moment(_NEW_YEAR_2025 + self._made),
            blueprint_id=self._blueprint(product),
            type=kind,
            authorized_role=self._role or role,
            implemented_profiles=(product.profile,),
            manifest=self._manifest(product),
            properties={n: f"{n}-{self._random.randint(1, 99)}" for n in product.property_names},
            connectivity=online,
            communication_type=communication,
            upstream_id=None if upstream is None else upstream.id,
            hardware_id=hardware_id,
            channel_id=channel_id,
            raised_alert_names=(product.alert,) if self._random.random() < 0.05 else (),
        )

    def _blueprint(self, product: _Product) -> str:
        if product.name not in self._blueprints:
            self._blueprints[product.name] = self._uuid()
        return self._blueprints[product.name]

    def _manifest(self, product: _Product) -> Mapping[str, Any]:
        if product.name not in self._manifests:
            self._manifests[product.name] = product.manifest()
        return self._manifests[product.name]

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _hex(self) -> str:
        return f"{self._random.getrandbits(128):032X}"


def slug_of(name: str) -> str:
    """Convert a name to a slug: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "device"
