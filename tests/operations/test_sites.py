"""The operations on sites: their requests, their changes, and the arguments that they refuse."""

from typing import Any

import pytest

from enapter_async.converter import structure
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.models.devices import AccessRole
from enapter_async.models.sites import Site, SiteLocation
from enapter_async.operation import Operation, RequestParts, Settles, Target
from enapter_async.operations.sites import CreateSite, DeleteSite, GetSite, ListSites, UpdateSite

PAGED = (("offset", "0"), ("limit", "50"))
ROME: dict[str, Any] = {"name": "Rome", "latitude": 41.9, "longitude": 12.5}

REQUESTS: list[tuple[Operation[Any], RequestParts]] = [
    (GetSite(site_id="s1"), RequestParts("GET", ("sites", "s1"))),
    (GetSite(), RequestParts("GET", ("site",))),
    (ListSites(), RequestParts("GET", ("sites",), PAGED)),
    (
        ListSites(mine=True, name="Barn", offset=3, limit=2),
        RequestParts(
            "GET",
            ("users", "me", "sites"),
            (("name", "Barn"), ("offset", "3"), ("limit", "2")),
        ),
    ),
    (
        CreateSite(name="Barn", timezone="Europe/Riga"),
        RequestParts("POST", ("sites",), (), {"name": "Barn", "timezone": "Europe/Riga"}),
    ),
    (
        UpdateSite(site_id="s1", timezone="Europe/Rome", location=ROME),
        RequestParts("PATCH", ("sites", "s1"), (), {"timezone": "Europe/Rome", "location": ROME}),
    ),
    (
        UpdateSite(site_id="s1", location={"latitude": 1}),
        RequestParts("PATCH", ("sites", "s1"), (), {"location": {"latitude": 1}}),
    ),
    (DeleteSite(site_id="s1"), RequestParts("DELETE", ("sites", "s1"))),
]


@pytest.mark.parametrize(("operation", "request_parts"), REQUESTS)
def test_an_operation_sends_the_request_of_the_api_page(
    operation: Operation[Any], request_parts: RequestParts
) -> None:
    assert operation.request() == request_parts
    assert operation_from_json(operation_to_json(operation)) == operation
    assert operation.proven_by() == ListSites(limit=1)


def test_an_update_knows_what_it_changes_and_how_to_undo_it() -> None:
    update = UpdateSite(site_id="s1", name="Barn", location={"latitude": 41.9})
    assert update.target() == Target("site", "s1")
    shown = Site(id="s1", name="Barn", location=SiteLocation(name="Rome", latitude=41.9))
    assert update.holds(shown)
    assert update.differs(shown) == ""
    other = Site(id="s1", name="Barn", location=SiteLocation(latitude=42))
    assert not update.holds(other)
    assert "location" in update.differs(other)
    assert not update.holds(None)
    before = Site(id="s1", name="Shed", timezone="UTC", location=SiteLocation(**ROME))
    assert update.undo(before) == UpdateSite(site_id="s1", name="Shed", location=ROME)
    assert update.undo(Site(id="s1")) is None
    assert not update.accepts(Site(id="s2"))
    assert UpdateSite(site_id="s1", name="").pointless()
    assert DeleteSite(site_id="s1").holds(None)


def test_an_uncertain_creation_has_candidates_and_is_never_settled() -> None:
    create = CreateSite(name="Barn", timezone="Europe/Riga")
    assert create.settles is Settles.SEARCH
    assert create.reads() == ListSites(name="Barn")
    assert create.target().name is None
    same, unclear = Site(id="s1", name="Barn", timezone="Europe/Riga"), Site(id="s2", name="Barn")
    others = (Site(id="s3", name="Barns"), Site(id="s4", name="Barn", timezone="Europe/Rome"))
    assert create.candidates((same, *others, unclear)) == (same, unclear)
    assert create.differs(same) == ""
    assert (
        create.differs(Site(id="s5", name="Barn ")) == "name is 'Barn ', but 'Barn' was requested"
    )


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (GetSite, {"site_id": "../x"}, "site_id must be 1 to 128 letters"),
        (CreateSite, {"name": "", "timezone": "UTC"}, "name must not be empty"),
        (CreateSite, {"name": "n", "timezone": None}, "timezone must not be empty"),
        (UpdateSite, {"site_id": "s1"}, "an update must set name, timezone or location"),
        (UpdateSite, {"site_id": "s1", "location": 5}, "location must be an object with name"),
        (UpdateSite, {"site_id": "s1", "location": {"lat": 1}}, "with name, latitude, longitude"),
        (
            UpdateSite,
            {"site_id": "s1", "location": {"latitude": 90.5}},
            "location.latitude must be a number from -90 to 90",
        ),
        (
            UpdateSite,
            {"site_id": "s1", "location": {"longitude": "12"}},
            "location.longitude must be a number from -180 to 180; got '12'",
        ),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(
    kind: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        kind(**fields)


@pytest.mark.parametrize(
    ("location", "latitude"),
    [
        ({"latitude": "41.9"}, 41.9),
        ({"latitude": 41.9}, 41.9),
        ({"latitude": ""}, None),
        ({"latitude": None}, None),
        ({}, None),
    ],
)
def test_a_coordinate_is_a_number_or_numeric_text_or_missing(
    location: dict[str, Any], latitude: float | None
) -> None:
    site = structure({"id": "s1", "authorized_role": "owner", "location": location}, Site)
    assert site.location == SiteLocation(latitude=latitude)
    assert site.authorized_role is AccessRole.OWNER
    assert structure({"id": "s1"}, Site).location is None
