"""The emulator's endpoints for devices (API pages "Device Management" and "Fetch Devices")."""

from typing import Any, ClassVar

from enapter_async.emulator.request import Call, Noun, Request, no_endpoint, text
from enapter_async.emulator.state import Device


class Devices(Noun):
    """The devices of the world; their state is the world's own."""

    paths: ClassVar[tuple[str, ...]] = ("devices", "devices/{device}", "devices/{device}/{verb}")

    def respond(self, call: Call, request: Request) -> dict[str, Any]:
        """Carry out a request for devices."""
        device, site_id, role = call.device, call.site_id, request.role
        match call.method, call.verb:
            case "GET", None if device is None:
                return self._page(call, request)
            case _ if device is None:
                raise no_endpoint()
            case "GET", None:
                found = self.world.get(device, site_id=site_id)
                return {"device": self._show(found, request, request.expand())}
            case "GET", "manifest":
                return {"manifest": dict(self.world.get(device, site_id=site_id).manifest)}
            case "DELETE", None:
                self.world.delete(device, role=role, site_id=site_id)
                return {}
        return self._change(call, device, request)

    def _change(self, call: Call, device: str, request: Request) -> dict[str, Any]:
        world, site_id, role = self.world, call.site_id, request.role
        match call.method, call.verb:
            case "PATCH", None:
                asked = request.object()
                name, slug = text(asked, "name"), text(asked, "slug")
                changed = world.update(device, name=name, slug=slug, role=role, site_id=site_id)
                return {"device": self._show(changed, request)}
            case "POST", "generate_config":
                protocol = text(request.object(), "protocol") or ""
                config = world.generate_config(
                    device, protocol=protocol, role=role, site_id=site_id
                )
                return {"config": config}
            case "POST", "assign_blueprint":
                blueprint_id = text(request.object(), "blueprint_id") or ""
                changed = world.assign_blueprint(
                    device, blueprint_id=blueprint_id, role=role, site_id=site_id
                )
                return {"device": self._show(changed, request)}
        raise no_endpoint()

    def _page(self, call: Call, request: Request) -> dict[str, Any]:
        expand, part = request.expand(), request.page()
        found, total = self.world.page(
            offset=part.start, limit=part.stop - part.start, site_id=call.site_id
        )
        shown = [self._show(device, request, expand) for device in found]
        return {"devices": shown, "total_count": total}

    def _show(
        self, device: Device, request: Request, expand: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        site = self.world.site(device.site_id) if "site" in expand else None
        return device.to_json(
            expand=expand, timestamps=request.timestamps, role=request.role, site=site
        )
