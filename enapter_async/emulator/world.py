"""The emulator's world: a fleet of devices, the operations on it, and a log of their effects.

Plain state without I/O or HTTP. It imports nothing from the SDK, so that tests can use it as an
independent check.
"""

import bisect
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import attrs

from enapter_async.emulator import fleetfile, seeding
from enapter_async.emulator.log import Arrival, Effect, Log
from enapter_async.emulator.minting import credentials
from enapter_async.emulator.state import (
    EXPANDABLE,
    RUNS_ON_UPSTREAM,
    Device,
    Refusal,
    Site,
    SlugScope,
    Timestamps,
    invalid_parameter,
    moment,
    not_found,
    require,
    slug_taken,
    unprocessable,
)

PAGE_LIMIT: Final = 50
"""The largest page of devices; a larger `limit` is reduced to it."""

MQTT_HOST: Final = "mqtt.enapter.com"
MQTT_PORTS: Final = {"MQTT": 1883, "MQTTS": 8883}


class World:
    """A fleet, and each operation of the API applied to it.

    Devices are addressed by id or slug. `role` is the role of the caller's token on every
    device, or None for the role that the fleet defines; `site_id` is set if the request's
    path is below a site. Each method raises `Refusal` if the API would refuse.

    Choices that the API page leaves open: OWNER is needed for generate_config and
    assign_blueprint too; a taken slug and the deletion of a device with running dependents are
    409, an impossible configuration 422; every device that depends on another counts as running.
    Slugs are unique in the whole account; with `unique_slugs="site"` only within each site.
    If no site is given, a slug used in several sites refers to the device with the lowest id.
    `blueprints` are the ids that exist and may be assigned; None means any.
    """

    def __init__(
        self,
        devices: Iterable[Device] = (),
        sites: Iterable[Site] = (),
        *,
        seed: int = 0,
        blueprints: Collection[str] | None = None,
        keep_records: bool = True,
        unique_slugs: SlugScope = "account",
        now: Callable[[], float] = time.time,
    ) -> None:
        if unique_slugs not in ("account", "site"):
            raise ValueError('unique_slugs is "account" or "site"')
        self.log = Log(keep_records=keep_records)
        self._slugs_by_site = unique_slugs == "site"
        self.blueprints = None if blueprints is None else frozenset(blueprints)
        self._seed = seed
        self._minted = 0
        self._now = now
        self._sites: dict[str, Site] = {site.id: site for site in sites}
        self.manifests: dict[str, Mapping[str, Any]] = {}
        self._devices: dict[str, Device] = {}
        self._id_by_slug: dict[tuple[str, str], str] = {}
        self._below: dict[str, set[str]] = {}
        self._order: list[str] = []
        self._order_by_site: dict[str, list[str]] = {}
        for device in sorted(devices, key=lambda device: device.id):
            self.add(device)

    @classmethod
    def seeded(
        cls,
        devices: int = 200,
        seed: int = 1,
        *,
        role: str | None = None,
        keep_records: bool = True,
        unique_slugs: SlugScope = "account",
        now: Callable[[], float] = time.time,
    ) -> Self:
        """Return a world of `devices` devices; the same seed always gives the same fleet.

        Roles are mixed, mostly OWNER and INSTALLER, unless `role` sets one for all.
        """
        made, sites = seeding.fleet(devices, seed, role=role)
        return cls(
            made, sites, seed=seed, keep_records=keep_records, unique_slugs=unique_slugs, now=now
        )

    @classmethod
    def from_json(
        cls,
        source: str | Path | Mapping[str, Any] | Iterable[Any],
        *,
        seed: int = 0,
        keep_records: bool = True,
        unique_slugs: SlugScope = "account",
        now: Callable[[], float] = time.time,
    ) -> Self:
        """Load a fleet from a file, or from device objects as the API returns them.

        A file holds a list of device objects, or `{"devices": [...], "sites": [...]}` as
        `dump` writes it, or one device object per line. Only a device's `id` is required.

        Raises:
            FleetFileError: the fleet is invalid; the message names the place.
            OSError: the file cannot be read.
        """
        if isinstance(source, str | Path):
            values = fleetfile.read(Path(source))
        elif isinstance(source, Mapping):
            values = [source]
        else:
            values = list(source)
        made, sites = fleetfile.fleet(values, now=moment(now()), unique_slugs=unique_slugs)
        return cls(
            made, sites, seed=seed, keep_records=keep_records, unique_slugs=unique_slugs, now=now
        )

    def to_json(self, *, timestamps: Timestamps = "rfc3339") -> dict[str, Any]:
        """Return the whole fleet with all fields expanded; `from_json` reads it."""
        expand = [name for name in EXPANDABLE if name != "site"]
        return {
            "sites": [site.to_json() for site in self._sites.values()],
            "devices": [d.to_json(expand=expand, timestamps=timestamps) for d in self],
        }

    def dump(self, path: str | Path) -> None:
        """Write the whole fleet to a file that `from_json` reads."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    # Inspecting the world

    def now(self) -> float:
        """Return the world's time, in seconds since 1970."""
        return self._now()

    def __len__(self) -> int:
        return len(self._devices)

    def __iter__(self) -> Iterator[Device]:
        return (self._devices[device_id] for device_id in tuple(self._order))

    def __contains__(self, address: object) -> bool:
        return isinstance(address, str) and self.id_of(address) is not None

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices, ordered by id."""
        return tuple(self)

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites."""
        return tuple(self._sites.values())

    def id_of(self, address: str, *, site_id: str | None = None) -> str | None:
        """Return the id of the device with this id or slug, or None."""
        if address in self._devices:
            return address
        if not self._slugs_by_site:
            return self._id_by_slug.get(("", address))
        scopes = self._sites if site_id is None else (site_id,)
        found = (self._id_by_slug.get((scope, address)) for scope in scopes)
        return min((each for each in found if each is not None), default=None)

    def device(self, address: str) -> Device:
        """Return the device with this id or slug; raise `Refusal` 404 if there is none."""
        return self._find(address, None)

    def below(self, device_id: str) -> tuple[str, ...]:
        """Return the ids of the devices that depend on this one."""
        return tuple(sorted(self._below.get(device_id, ())))

    def effects_of(self, device_id: str, operation: str | None = None) -> tuple[Effect, ...]:
        """Return the effects on a device in order, optionally only those of one operation."""
        return self.log.effects(device_id, operation)

    def arrivals_of(self, device_id: str, method: str | None = None) -> tuple[Arrival, ...]:
        """Return the requests that arrived for a device, optionally only those of one method."""
        return self.log.arrivals(device_id, method)

    def count(self, operation: str | None = None, *, device_id: str | None = None) -> int:
        """Count effects, optionally only those of one operation or on one device."""
        return self.log.count(operation, device_id=device_id)

    # Preparing the world

    def add(self, device: Device) -> None:
        """Add a device to the world; raise `ValueError` if its id or slug is taken."""
        if self.id_of(device.id) is not None:
            raise ValueError(f"the device {device.id!r} already exists")
        if device.slug in self._devices or self._slug_key(device) in self._id_by_slug:
            raise ValueError(f"a device with the slug {device.slug!r} already exists")
        if device.site_id not in self._sites:
            self._sites[device.site_id] = Site(id=device.site_id, name=f"Site {len(self._sites)}")
        if device.blueprint_id and device.manifest:
            self.manifests.setdefault(device.blueprint_id, device.manifest)
        self._devices[device.id] = device
        self._id_by_slug[self._slug_key(device)] = device.id
        bisect.insort(self._order, device.id)
        bisect.insort(self._order_by_site.setdefault(device.site_id, []), device.id)
        if device.upstream_id is not None:
            self._below.setdefault(device.upstream_id, set()).add(device.id)

    def put_site(self, site: Site) -> None:
        """Add a site, or change the one with its id; nothing is logged."""
        self._sites[site.id] = site

    def remove_site(self, site_id: str) -> None:
        """Remove a site directly, and leave its devices; nothing is logged."""
        del self._sites[site_id]

    def change(self, device_id: str, **fields: Any) -> Device:
        """Change a device directly, as if by another client; nothing is logged.

        Accepts the fields of `Device` except `id`, `site_id` and `upstream_id`.
        """
        fixed = {"id", "site_id", "upstream_id"} & fields.keys()
        if fixed:
            raise ValueError(f"cannot be changed: {', '.join(sorted(fixed))}")
        device = self._devices[device_id]
        changed: Device = attrs.evolve(device, **fields)
        if self._id_by_slug.get(self._slug_key(changed), device_id) != device_id:
            raise ValueError(f"a device with the slug {changed.slug!r} already exists")
        return self._put(device, changed)

    def remove(self, device_id: str) -> None:
        """Remove a device directly; nothing is logged."""
        device = self._devices.pop(device_id)
        del self._id_by_slug[self._slug_key(device)]
        for order in (self._order, self._order_by_site[device.site_id]):
            del order[bisect.bisect_left(order, device_id)]
        if device.upstream_id is not None:
            self._below[device.upstream_id].discard(device_id)

    # The operations of the API

    def get(self, address: str, *, site_id: str | None = None) -> Device:
        """Return a device; any role is sufficient."""
        return self._find(address, site_id)

    def page(
        self, *, offset: int = 0, limit: int = PAGE_LIMIT, site_id: str | None = None
    ) -> tuple[list[Device], int]:
        """Return one page of the account or of a site, ordered by id, and the total count."""
        if site_id is None:
            order = self._order
        elif site_id in self._sites:
            order = self._order_by_site.get(site_id, [])
        else:
            raise not_found("There is no such site.")
        ids = order[offset : offset + min(limit, PAGE_LIMIT)]
        return [self._devices[device_id] for device_id in ids], len(order)

    def site(self, site_id: str) -> Site | None:
        """Return a site of the world, or None."""
        return self._sites.get(site_id)

    def update(
        self,
        address: str,
        *,
        name: str | None = None,
        slug: str | None = None,
        role: str | None = None,
        site_id: str | None = None,
    ) -> Device:
        """Set name and slug; None and "" change nothing (API page, "Update Device")."""
        device = self._writable(address, role, site_id)
        asked = {key: value for key, value in (("name", name), ("slug", slug)) if value}
        changed = attrs.evolve(device, name=name or device.name, slug=slug or device.slug)
        if self._id_by_slug.get(self._slug_key(changed), device.id) != device.id:
            raise slug_taken("device")
        if asked:
            device = self._put(device, attrs.evolve(changed, updated_at=moment(self._now())))
        self.log.applied("update", device.id, asked)
        return device

    def delete(self, address: str, *, role: str | None = None, site_id: str | None = None) -> None:
        """Remove a device; refused while dependents are running (API page, "Delete Device")."""
        device = self._writable(address, role, site_id)
        running = self.below(device.id)
        if running:
            message = "Delete the devices that run on this one first."
            details = {"running_device_ids": list(running)}
            raise Refusal(409, "device_has_running_devices", message, details)
        self.remove(device.id)
        self.log.applied("delete", device.id, {})

    def generate_config(
        self,
        address: str,
        *,
        protocol: str,
        role: str | None = None,
        site_id: str | None = None,
    ) -> dict[str, Any]:
        """Generate a configuration that is new for each call; no credential is stored."""
        device = self._writable(address, role, site_id)
        if protocol not in MQTT_PORTS:
            raise invalid_parameter("protocol", "It must be MQTT or MQTTS.")
        if device.communication_type in RUNS_ON_UPSTREAM:
            raise unprocessable(
                "A device that runs on another one has no configuration of its own.",
                communication_type=device.communication_type,
            )
        self._minted += 1
        config = {
            "mqtt_host": MQTT_HOST,
            "mqtt_port": MQTT_PORTS[protocol],
            "mqtt_credentials": credentials(protocol, f"{self._seed}/{self._minted}"),
            "mqtt_protocol": protocol,
            "time_sync_protocol": "HTTP",
            "time_sync_host": "127.0.0.1",
            "time_sync_port": 80,
            "hardware_id": device.hardware_id or device.id.replace("-", "").upper(),
            "channel_id": device.channel_id or "ucm",
        }
        self.log.applied("generate_config", device.id, {"protocol": protocol})
        return config

    def has_blueprint(self, blueprint_id: str) -> bool:
        """Return whether a device may be assigned this blueprint."""
        return self.blueprints is None or blueprint_id in self.blueprints

    def assign_blueprint(
        self,
        address: str,
        *,
        blueprint_id: str,
        role: str | None = None,
        site_id: str | None = None,
    ) -> Device:
        """Assign another blueprint, with its manifest (API page, "Change Blueprint")."""
        device = self._writable(address, role, site_id)
        if not blueprint_id:
            raise invalid_parameter("blueprint_id", "It must not be empty.")
        if not self.has_blueprint(blueprint_id):
            raise unprocessable("There is no such blueprint.")
        manifest = self.manifests.get(blueprint_id, device.manifest)
        changed = attrs.evolve(
            device, blueprint_id=blueprint_id, manifest=manifest, updated_at=moment(self._now())
        )
        self._put(device, changed)
        self.log.applied("assign_blueprint", device.id, {"blueprint_id": blueprint_id})
        return changed

    def _find(self, address: str, site_id: str | None) -> Device:
        device_id = self.id_of(address, site_id=site_id)
        if device_id is not None:
            device = self._devices[device_id]
            if site_id is None or device.site_id == site_id:
                return device
        raise not_found("There is no such device.")

    def _writable(self, address: str, role: str | None, site_id: str | None) -> Device:
        device = self._find(address, site_id)
        require(role or device.authorized_role, "OWNER")
        return device

    def _slug_key(self, device: Device) -> tuple[str, str]:
        return (device.site_id if self._slugs_by_site else "", device.slug)

    def _put(self, old: Device, new: Device) -> Device:
        if new.slug != old.slug:
            del self._id_by_slug[self._slug_key(old)]
            self._id_by_slug[self._slug_key(new)] = new.id
        self._devices[new.id] = new
        return new
