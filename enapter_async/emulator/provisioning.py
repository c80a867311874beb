"""The emulator's provisioning (API page "Provisioning"): new devices."""

import hashlib
import uuid
from typing import Any, ClassVar, Literal

from enapter_async.emulator.request import Call, Noun, Request, needed_text, no_endpoint, text
from enapter_async.emulator.seeding import slug_of
from enapter_async.emulator.state import Device, moment, not_found, slug_taken
from enapter_async.emulator.world import World

SlugPolicy = Literal["409", "suffix"]


class Provisioning(Noun):
    """Creates devices in the world.

    The API page leaves open what happens if a slug is taken: with `slug_policy` "409" the request
    is refused, with "suffix" the device gets another slug. A hardware id that exists is
    provisioned again: the answer is about the same device, and no other is created. A site must
    be named unless the world has only one, as a gateway does.
    """

    paths: ClassVar[tuple[str, ...]] = (
        "provisioning/standalone",
        "provisioning/lua_device",
        "provisioning/vucm",
        "provisioning/ucm",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.slug_policy: SlugPolicy = "409"
        self._made = 0

    def respond(self, call: Call, request: Request) -> dict[str, Any]:
        """Carry out a request to create a device."""
        if call.method != "POST":
            raise no_endpoint()
        asked = request.object()
        kind = call.path.rstrip("/").rpartition("/")[2]
        name = needed_text(asked, "name")
        if kind == "standalone":
            hardware_id = "S" + self._hex("hardware")
            made = self._create(
                kind,
                asked,
                name=name,
                site_id=self._site(asked),
                type="STANDALONE",
                communication_type="MQTT_V1_TLS",
                hardware_id=hardware_id,
                channel_id="s",
            )
            return {"device_id": made.id, "slug": made.slug}
        if kind == "lua_device":
            return {"device_id": self._lua_device(asked, name).id}
        return self._module(kind, asked, name)

    def _lua_device(self, asked: dict[str, Any], name: str) -> Device:
        runtime = self.world.device(text(asked, "runtime_id") or "")
        blueprint_id = needed_text(asked, "blueprint_id")
        return self._create(
            "lua_device",
            asked,
            name=name,
            site_id=runtime.site_id,
            type="LUA",
            blueprint_id=blueprint_id,
            manifest=self.world.manifests.get(blueprint_id, {}),
            communication_type="UCM_LUA",
            upstream_id=runtime.id,
        )

    def _module(self, kind: str, asked: dict[str, Any], name: str) -> dict[str, Any]:
        hardware_id = needed_text(asked, "hardware_id")
        found = next((each for each in self.world if each.hardware_id == hardware_id), None)
        virtual = kind == "vucm"
        device = found or self._create(
            kind,
            asked,
            name=name,
            site_id=self._site(asked),
            type="VIRTUAL_UCM" if virtual else "HARDWARE_UCM",
            communication_type="MQTT_V1_LOCALHOST" if virtual else "MQTT_V1_TLS",
            hardware_id=hardware_id,
            channel_id="ucm",
        )
        if virtual:
            return {"device_id": device.id}
        protocol = text(asked, "protocol") or "MQTTS"
        config = self.world.generate_config(device.id, protocol=protocol)
        # As the older pages show it: only the credentials reveal the protocol.
        credentials = {**config["mqtt_credentials"], "protocol": config.pop("mqtt_protocol")}
        config["mqtt_credentials"] = credentials
        return {"device_id": device.id, "slug": device.slug, "config": config}

    def _site(self, asked: dict[str, Any]) -> str:
        sites = {site.id for site in self.world.sites}
        if not text(asked, "site_id") and len(sites) == 1:
            return sites.pop()
        site_id = needed_text(asked, "site_id")
        if site_id not in sites:
            raise not_found("There is no such site.")
        return site_id

    def _create(self, kind: str, asked: dict[str, Any], **fields: Any) -> Device:
        self._made += 1
        slug = self._free_slug(text(asked, "slug"), fields["name"], fields["site_id"])
        device = Device(
            id=str(uuid.UUID(hex=self._hex("device"), version=4)),
            slug=slug,
            updated_at=moment(self.world.now()),
            **fields,
        )
        self.world.add(device)
        values = {"kind": kind, "name": device.name, "slug": device.slug}
        self.world.log.applied("provision", device.id, values)
        return device

    def _free_slug(self, asked: str | None, name: str, site_id: str) -> str:
        slug = asked or slug_of(name)
        if self.world.id_of(slug, site_id=site_id) is None:
            return slug
        if asked and self.slug_policy == "409":
            raise slug_taken("device")
        numbers = (f"{slug}-{number}" for number in range(2, len(self.world) + 3))
        return next(each for each in numbers if self.world.id_of(each, site_id=site_id) is None)

    def _hex(self, label: str) -> str:
        return hashlib.md5(f"{label} {self._made}".encode(), usedforsecurity=False).hexdigest()
