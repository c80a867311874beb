"""The operations on sites, and the facts that plans need about them.

Source: API page, "Sites".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.sites import Site, SiteLocation
from enapter_async.operation import (
    MIB,
    UNSET,
    Answer,
    Operation,
    Repeat,
    RequestParts,
    Settles,
    Target,
    Unset,
)
from enapter_async.operations import arguments, device_arguments
from enapter_async.operations.nouns import Facts, Noun, define
from enapter_async.operations.pages import LARGEST_PAGE, Page

T = TypeVar("T")

_SITE: Final[Answer[Site]] = Answer(key="site", type=Site, max_bytes=MIB)
_COORDINATES: Final = (("latitude", 90), ("longitude", 180))


def _site_id(value: str) -> str:
    return arguments.identifier("site_id", value)


def _searched_name(value: str | None) -> str | None:
    given = arguments.text("name", value)
    return given if isinstance(given, str) else None


def _timezone(value: str | Unset | None) -> str | Unset | None:
    return arguments.text("timezone", value)


def _needed_name(value: str) -> str:
    return arguments.needed_text("name", value, "a new site")


def _needed_timezone(value: str) -> str:
    return arguments.needed_text("timezone", value, "a new site")


def _location(value: SiteLocation | Mapping[str, Any] | Unset | None) -> Any:
    """Return a location with valid coordinates, from a `SiteLocation` or a JSON object."""
    if value is None or isinstance(value, Unset):
        return value
    given: Any = attrs.asdict(value) if isinstance(value, SiteLocation) else value
    known = attrs.fields_dict(SiteLocation)
    if not isinstance(given, Mapping) or not given.keys() <= known.keys():
        raise ArgumentError(f"location must be an object with {', '.join(known)}")
    arguments.text("location.name", given.get("name"))
    for field, most in _COORDINATES:
        number = given.get(field)
        if number is not None and not _is_within(number, most):
            raise ArgumentError(
                f"location.{field} must be a number from -{most} to {most}; got "
                f"{arguments.shown(number)}"
            )
    return SiteLocation(**given)


def _is_within(number: Any, most: int) -> bool:
    real = isinstance(number, int | float) and not isinstance(number, bool)
    return real and -most <= number <= most


def _body(**fields: Any) -> dict[str, Any]:
    """Return the fields that are set as a JSON object; a location without its unset fields."""
    body = {field: value for field, value in fields.items() if value is not UNSET}
    if isinstance(location := body.get("location"), SiteLocation):
        body["location"] = attrs.asdict(location, filter=lambda _, value: value is not None)
    return body


def _path(site_id: str | None) -> tuple[str, ...]:
    """Return the path of a site, or of the gateway's own."""
    return ("site",) if site_id is None else ("sites", site_id)


def _is_located(wanted: SiteLocation, found: SiteLocation | None) -> bool:
    """Return whether a location is as wanted; a coordinate left out may have any value."""
    asked = attrs.asdict(wanted, filter=lambda _, value: value is not None)
    return all(getattr(found, field, None) == value for field, value in asked.items())


class _OnSite(Operation[T]):
    """An operation on a site, or on the gateway's own if `site_id` is None."""

    __slots__ = ()

    site_id: str | None

    def target(self) -> Target:
        """Return the site."""
        return Target("site", self.site_id)

    def accepts(self, result: Any) -> bool:
        """Return whether an answer with a site is about the requested one."""
        return not isinstance(result, Site) or self.site_id in (None, result.id)

    def reads(self) -> "GetSite":
        """Return the operation that reads the site."""
        return GetSite(site_id=self.site_id)


@attrs.frozen(kw_only=True)
class GetSite(_OnSite[Site]):
    """Read one site; without `site_id`, the gateway's own site.

    Changes nothing, so it is safe to repeat.

    Source: API page "Sites", `GET sites/{site_id}` and, on a gateway, `GET site`.
    """

    kind: ClassVar[str] = "site.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Site]] = _SITE

    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=_path(self.site_id))


@attrs.frozen(kw_only=True)
class ListSites(Page[Site]):
    """Read one page of sites; with `mine`, only those where the caller is owner or installer.

    `name` asks the server for sites with such a name; the server decides which names match. Changes
    nothing, so it is safe to repeat.

    Source: API page "Sites", `GET sites` and `GET users/me/sites`.
    """

    kind: ClassVar[str] = "site.list"
    answer: ClassVar[Answer[tuple[Site, ...]]] = Answer(
        key="sites", type=tuple[Site, ...], default=()
    )

    name: str | None = attrs.field(default=None, converter=_searched_name)
    mine: bool = False

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        path = ("users", "me", "sites") if self.mine else ("sites",)
        name = () if self.name is None else (("name", self.name),)
        return RequestParts(method="GET", path=path, query=name + self.paging())


@attrs.frozen(kw_only=True)
class CreateSite(Operation[Site]):
    """Create a site.

    Not safe to repeat: each request that arrives creates a site, and names are not unique. After an
    uncertain attempt, the sites with this name are candidates for a person to choose from.

    Source: API page "Sites", `POST sites`.
    """

    kind: ClassVar[str] = "site.create"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    settles: ClassVar[Settles] = Settles.SEARCH
    answer: ClassVar[Answer[Site]] = _SITE

    name: str = attrs.field(converter=_needed_name)
    timezone: str = attrs.field(converter=_needed_timezone)
    location: SiteLocation | None = attrs.field(default=None, converter=_location)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        location = UNSET if self.location is None else self.location
        body = _body(name=self.name, timezone=self.timezone, location=location)
        return RequestParts(method="POST", path=("sites",), body=body)

    def reads(self) -> ListSites:
        """Return the search for sites of this name."""
        return ListSites(name=self.name)

    def candidates(self, found: Iterable[Site]) -> Sequence[Site]:
        """Return the sites that have exactly this name and no other time zone."""
        return tuple(
            each
            for each in found or ()
            if each.name == self.name and each.timezone in (None, self.timezone)
        )

    def differs(self, result: Site) -> str:
        """Return how the new site differs from the requested one; "" if it does not."""
        for field, wanted in (("name", self.name), ("timezone", self.timezone)):
            told = getattr(result, field)
            if told is not None and told != wanted:
                return f"{field} is {told!r}, but {wanted!r} was requested"
        return ""


@attrs.frozen(kw_only=True)
class UpdateSite(_OnSite[Site]):
    """Set the name, the time zone or the location of a site; a field that is `UNSET` is kept.

    Without `site_id`, it is the gateway's own site. None is sent as null, which the API treats as
    "unchanged". Sets an absolute state, so it is safe to repeat.

    Source: API page "Sites", `PATCH sites/{site_id}` and, on a gateway, `PATCH site`.
    """

    kind: ClassVar[str] = "site.update"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Site]] = _SITE

    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)
    name: str | Unset | None = attrs.field(default=UNSET, converter=device_arguments.name)
    timezone: str | Unset | None = attrs.field(default=UNSET, converter=_timezone)
    location: SiteLocation | Unset | None = attrs.field(default=UNSET, converter=_location)

    def __attrs_post_init__(self) -> None:
        if all(each is UNSET for each in (self.name, self.timezone, self.location)):
            raise ArgumentError("an update must set name, timezone or location; it sets none")

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        body = _body(name=self.name, timezone=self.timezone, location=self.location)
        return RequestParts(method="PATCH", path=_path(self.site_id), body=body)

    def changes(self) -> dict[str, Any]:
        """Return the fields that are set; the API ignores a field that is None or ""."""
        fields = {"name": self.name, "timezone": self.timezone, "location": self.location}
        return {field: value for field, value in fields.items() if value}

    def holds(self, state: Site | None) -> bool:
        """Return whether the fields that it sets already have their values."""
        if state is None:
            return False
        wanted = self.changes()
        location = wanted.pop("location", None)
        located = location is None or _is_located(location, state.location)
        return located and all(getattr(state, field) == value for field, value in wanted.items())

    def not_in_jobs(self) -> str:
        """Return a reason for the gateway's own site: a job names each site by its id."""
        return "" if self.site_id else arguments.AMBIGUOUS_SITE

    def pointless(self) -> str:
        """Return a reason if a field would have no effect, else ""."""
        for field in ("name", "timezone", "location"):
            value = getattr(self, field)
            if value is not UNSET and not value:
                return f"an empty {field} changes nothing: the API treats it as 'no change'"
        return ""

    def undo(self, before: Site) -> "UpdateSite | None":
        """Return the update that restores the old values; None if none of them can be set."""
        old = {field: value for field in self.changes() if (value := getattr(before, field))}
        return UpdateSite(site_id=before.id, **old) if old else None


@attrs.frozen(kw_only=True)
class DeleteSite(_OnSite[None]):
    """Delete a site.

    Sets an absolute state, so it is safe to repeat: a deleted site stays deleted. It cannot be
    undone.

    Source: API page "Sites", `DELETE sites/{site_id}`.
    """

    kind: ClassVar[str] = "site.delete"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Site]] = Answer(key="site", type=Site, confirms=True)

    site_id: str = attrs.field(converter=_site_id)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="DELETE", path=("sites", self.site_id))

    def holds(self, state: Site | None) -> bool:
        """Return whether the site is already gone."""
        return state is None

    def guards(self) -> tuple[str, ...]:
        """Return the fields that identify a site, because a deletion cannot be undone."""
        return ("name", "timezone")

    def result_of(self, state: Site | None) -> None:
        """Return None, as a deletion does."""


class _SiteNoun(Noun[Site]):
    """Sites: read page by page; each is its own group."""

    __slots__ = ()

    name: ClassVar[str] = "site"
    state: ClassVar[Any] = Site
    page_size: ClassVar[int] = LARGEST_PAGE

    def get(self, name: str, expand: Iterable[str] = ()) -> GetSite:
        """Return the operation that reads a site."""
        return GetSite(site_id=name)

    def page(
        self, offset: int, limit: int, *, site_id: str | None, expand: Iterable[str]
    ) -> ListSites:
        """Return the operation that reads a page of sites."""
        return ListSites(offset=offset, limit=limit)

    def facts(self, state: Site) -> Facts:
        """Return the facts that a plan needs."""
        return Facts(state.id, state.name, site_id=state.id)


define(_SiteNoun())

_PROOF: Final = ListSites(limit=1)
for _one in (GetSite, ListSites, CreateSite, UpdateSite, DeleteSite):
    _one.proof = _PROOF
