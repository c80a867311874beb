"""The emulator's endpoints for sites (API page "Sites")."""

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from enapter_async.emulator.request import Call, Noun, Request, needed_text, no_endpoint, text
from enapter_async.emulator.state import Refusal, Site, invalid_parameter, not_found, require
from enapter_async.emulator.world import World

_BOUNDS = {"latitude": 90, "longitude": 180}


class Sites(Noun):
    """The sites of the world.

    Switches for choices that the API page leaves open: `gateway_site` is the id of the site that
    `/v3/site` shows, as on a gateway, or None as in the cloud. With `text_coordinates`, coordinates
    are shown as text. A site with devices can be deleted only with `delete_with_devices`. `name`
    filters by a part of the name, in any case. OWNER is needed for a change.
    """

    paths: ClassVar[tuple[str, ...]] = ("sites", "sites/{site_id}", "site", "users/me/sites")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.gateway_site: str | None = None
        self.text_coordinates = False
        self.delete_with_devices = False
        self._made = 0

    def respond(self, call: Call, request: Request) -> dict[str, Any]:
        """Carry out a request for sites."""
        site_id, path = call.site_id, call.path.rstrip("/")
        if path.endswith("/v3/site"):
            if self.gateway_site is None:
                raise no_endpoint()
            site_id = self.gateway_site
        match call.method:
            case "GET" if site_id is None:
                return self._page(request, mine=path.endswith("/users/me/sites"))
            case "GET" if site_id is not None:
                return {"site": self._show(self._find(site_id), request)}
            case "POST" if site_id is None and path.endswith("/v3/sites"):
                return {"site": self._show(self._create(request.object()), request)}
            case "PATCH" if site_id is not None:
                return {"site": self._show(self._update(site_id, request), request)}
            case "DELETE" if site_id is not None:
                self._delete(site_id, request)
                return {}
        raise no_endpoint()

    def _page(self, request: Request, *, mine: bool) -> dict[str, Any]:
        part = request.parameter("name").lower()
        listed = [
            site
            for site in sorted(self.world.sites, key=lambda each: each.id)
            if part in site.name.lower()
            and (not mine or self._role(site, request) in ("OWNER", "INSTALLER"))
        ]
        shown = [self._show(site, request) for site in listed[request.page()]]
        return {"sites": shown, "total_count": len(listed)}

    def _create(self, asked: Mapping[str, Any]) -> Site:
        name, timezone = needed_text(asked, "name"), needed_text(asked, "timezone")
        self._made += 1
        site = Site(
            id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"site {self._made}")),
            name=name,
            timezone=timezone,
            location=_location(asked),
        )
        self.world.put_site(site)
        self.world.log.applied("site.create", site.id, _given(asked))
        return site

    def _update(self, site_id: str, request: Request) -> Site:
        site, asked = self._writable(site_id, request), request.object()
        changed = attrs.evolve(
            site,
            name=text(asked, "name") or site.name,
            timezone=text(asked, "timezone") or site.timezone,
            location=_location(asked) or site.location,
        )
        self.world.put_site(changed)
        self.world.log.applied("site.update", site_id, _given(asked))
        return changed

    def _delete(self, site_id: str, request: Request) -> None:
        site = self._writable(site_id, request)
        if not self.delete_with_devices and self.world.page(site_id=site.id)[1]:
            raise Refusal(409, "site_has_devices", "Delete its devices first.")
        self.world.remove_site(site.id)
        self.world.log.applied("site.delete", site.id, {})

    def _find(self, site_id: str) -> Site:
        found = self.world.site(site_id)
        if found is None:
            raise not_found("There is no such site.")
        return found

    def _writable(self, site_id: str, request: Request) -> Site:
        site = self._find(site_id)
        require(self._role(site, request), "OWNER")
        return site

    def _role(self, site: Site, request: Request) -> str:
        return request.role or site.authorized_role

    def _show(self, site: Site, request: Request) -> dict[str, Any]:
        shown = {**site.to_json(), "authorized_role": self._role(site, request)}
        if self.text_coordinates and site.location is not None:
            shown["location"] = {
                key: value if isinstance(value, str) else str(value)
                for key, value in site.location.items()
            }
        return shown


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that are not null: null means the same as a missing field."""
    return {key: value for key, value in asked.items() if value is not None}


def _location(asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
    value = asked.get("location")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid_parameter("location", "It must be an object.")
    text(value, "name")
    for field, most in _BOUNDS.items():
        number = value.get(field)
        real = isinstance(number, int | float) and not isinstance(number, bool)
        if number is not None and not (real and -most <= number <= most):
            raise invalid_parameter(f"location.{field}", f"It must be from -{most} to {most}.")
    return _given(value)
