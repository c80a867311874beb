"""The emulator's sites: created, changed and deleted, with switches for undocumented behaviour."""

from typing import Any

import pytest

from enapter_async.emulator.routes import Routes
from enapter_async.emulator.sites import Sites
from tests.emulator.fleets import BARN, HARBOUR
from tests.emulator.test_routes import ask, code_of


def test_sites_are_listed_by_page_name_and_owner(routes: Routes) -> None:
    status, shown = ask("GET", "/v3/sites", routes=routes)
    assert status == 200
    assert shown["total_count"] == 2
    assert shown["sites"][0] == {
        "id": BARN,
        "name": "Barn",
        "timezone": "Europe/Riga",
        "version": "V3",
        "authorized_role": "OWNER",
    }
    query = (("name", "ARB"), ("limit", "1"))
    (_, shown) = ask("GET", "/v3/sites", query=query, routes=routes)
    assert [each["id"] for each in shown["sites"]] == [HARBOUR]
    assert ask("GET", "/v3/users/me/sites", routes=routes)[1]["total_count"] == 2
    reader = ask("GET", "/v3/users/me/sites", token="reader", routes=routes)
    assert reader == (200, {"sites": [], "total_count": 0})


def test_a_site_is_created_changed_and_deleted_once_each(routes: Routes) -> None:
    place = {"name": "Rome", "latitude": 41.9}
    asked = {"name": "New", "timezone": "Europe/Rome", "location": place}
    _, shown = ask("POST", "/v3/sites", asked, routes=routes)
    made = shown["site"]
    assert (made["name"], made["timezone"], made["location"]) == ("New", "Europe/Rome", place)
    path = f"/v3/sites/{made['id']}"
    _, shown = ask("PATCH", path, {"name": "Newer", "timezone": None}, routes=routes)
    assert shown["site"] == {**made, "name": "Newer"}
    sites = routes.noun(Sites)
    sites.text_coordinates = True
    _, shown = ask("GET", path, routes=routes)
    assert shown["site"]["location"] == {"name": "Rome", "latitude": "41.9"}
    assert ask("DELETE", path, routes=routes) == (200, {})
    assert code_of(ask("DELETE", path, routes=routes)) == (404, "not_found")
    effects = [(each.operation, each.set) for each in sites.world.log.effects()]
    assert effects == [
        ("site.create", asked),
        ("site.update", {"name": "Newer"}),
        ("site.delete", {}),
    ]


def test_a_site_with_devices_stays_unless_the_switch_says_otherwise(routes: Routes) -> None:
    assert code_of(ask("DELETE", f"/v3/sites/{BARN}", routes=routes)) == (409, "site_has_devices")
    routes.noun(Sites).delete_with_devices = True
    assert ask("DELETE", f"/v3/sites/{BARN}", routes=routes) == (200, {})
    _, shown = ask("GET", "/v3/devices/pump", query=(("expand", "site"),), routes=routes)
    assert "site" not in shown["device"]


def test_only_a_gateway_has_a_site_of_its_own(routes: Routes) -> None:
    assert code_of(ask("GET", "/v3/site", routes=routes)) == (404, "not_found")
    routes.noun(Sites).gateway_site = BARN
    assert ask("GET", "/api/v3/site", routes=routes)[1]["site"]["id"] == BARN


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/v3/sites", {"name": "n"}, (400, "invalid_parameter")),
        ("POST", "/v3/sites", {"name": 5, "timezone": "UTC"}, (400, "invalid_parameter")),
        ("PATCH", f"/v3/sites/{BARN}", {"location": 5}, (400, "invalid_parameter")),
        (
            "PATCH",
            f"/v3/sites/{BARN}",
            {"location": {"latitude": 91}},
            (400, "invalid_parameter"),
        ),
        ("GET", "/v3/sites/none", b"", (404, "not_found")),
        ("PUT", "/v3/sites", b"", (404, "not_found")),
    ],
)
def test_invalid_requests_are_refused(
    routes: Routes, method: str, path: str, body: Any, code: tuple[int, str]
) -> None:
    assert code_of(ask(method, path, body, routes=routes)) == code
    assert code_of(ask("PATCH", f"/v3/sites/{BARN}", {"name": "x"}, token="reader")) == (
        403,
        "permission_denied",
    )
