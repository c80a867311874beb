import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.emulator.routes import Routes, parse
from tests.emulator.fleets import BARN, HARBOUR, METER, PUMP, UCM, small_world

TOKEN = "t"
TOKENS: dict[str, str | None] = {TOKEN: None, "reader": "READONLY", "vendor": "VENDOR"}


def ask(
    method: str,
    path: str,
    body: Any = b"",
    *,
    query: tuple[tuple[str, str], ...] = (),
    token: str | None = TOKEN,
    routes: Routes | None = None,
) -> tuple[int, dict[str, Any]]:
    routes = routes or Routes(small_world(), tokens=TOKENS)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return routes.respond(parse(method, path), token=token, query=query, body=sent)


def code_of(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    status, shown = answer
    (error,) = shown["errors"]
    assert error["message"]
    return status, error["code"]


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_is_401(token: str | None) -> None:
    status, shown = ask("GET", "/v3/devices", token=token)
    assert status == 401
    assert shown["errors"][0]["code"] == "invalid_header"
    assert shown["errors"][0]["details"] == {"header": "X-Enapter-Auth-Token"}


def test_a_wrong_token_is_403() -> None:
    assert code_of(ask("GET", "/v3/devices", token="guess")) == (403, "invalid_header")


def test_a_token_may_have_a_role_of_its_own() -> None:
    status, shown = ask("GET", f"/v3/devices/{PUMP}", token="reader")
    assert (status, shown["device"]["authorized_role"]) == (200, "READONLY")
    for method, path, body in (
        ("PATCH", f"/v3/devices/{PUMP}", {"name": "x"}),
        ("DELETE", f"/v3/devices/{PUMP}", b""),
        ("POST", f"/v3/devices/{PUMP}/generate_config", {"protocol": "MQTT"}),
        ("POST", f"/v3/devices/{PUMP}/assign_blueprint", {"blueprint_id": "b"}),
    ):
        assert code_of(ask(method, path, body, token="reader")) == (403, "permission_denied")
    status, shown = ask("PATCH", "/v3/devices/read-only", {"name": "x"}, token="vendor")
    assert (status, shown["device"]["authorized_role"]) == (200, "VENDOR")


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="KING"):
        Routes(small_world(), tokens={"t": "KING"})


def test_other_timestamp_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="rfc3339"):
        Routes(small_world(), tokens={}, timestamps="iso")  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v3"),
        ("GET", "/v2/devices"),
        ("GET", "/v3/devices/"),
        ("GET", "/v3/nothing"),
        ("POST", "/v3/devices"),
        ("PUT", f"/v3/devices/{PUMP}"),
        ("GET", f"/v3/devices/{PUMP}/generate_config"),
        ("POST", f"/v3/devices/{PUMP}/explode"),
        ("PATCH", f"/v3/sites/{HARBOUR}/devices/{PUMP}"),
        ("DELETE", f"/v3/sites/{HARBOUR}/devices/{METER}"),
        ("POST", f"/v3/sites/{HARBOUR}/devices/{PUMP}/generate_config"),
        ("POST", f"/v3/sites/{HARBOUR}/devices/{PUMP}/assign_blueprint"),
        ("GET", f"/v3/sites/{HARBOUR}/devices/{PUMP}"),
        ("GET", "/v3/sites/nowhere/devices"),
        ("GET", "/v3/devices/nobody"),
    ],
)
def test_unknown_objects_are_404(method: str, path: str) -> None:
    body = {"name": "x", "protocol": "MQTT", "blueprint_id": "b"}
    assert code_of(ask(method, path, body)) == (404, "not_found")


@pytest.mark.parametrize("base", ["/v3", "/api/v3"])
def test_cloud_and_gateway_paths_lead_to_the_same_endpoint(base: str) -> None:
    assert ask("GET", f"{base}/devices/{PUMP}") == ask("GET", "/v3/devices/pump")
    assert ask("GET", f"{base}/devices")[1]["total_count"] == 6


def test_the_site_scoped_twins() -> None:
    assert ask("GET", f"/v3/sites/{BARN}/devices/{PUMP}") == ask("GET", f"/v3/devices/{PUMP}")
    assert ask("GET", f"/v3/sites/{BARN}/devices")[1]["total_count"] == 5
    assert ask("DELETE", f"/v3/sites/{BARN}/devices/{METER}") == (200, {})


@pytest.mark.parametrize(
    ("method", "verb", "body", "effect"),
    [
        ("PATCH", "", {"name": "Boiler"}, "update"),
        ("POST", "/generate_config", {"protocol": "MQTTS"}, "generate_config"),
        ("POST", "/assign_blueprint", {"blueprint_id": "bp-1"}, "assign_blueprint"),
    ],
)
def test_the_site_scoped_twins_of_writes(
    method: str, verb: str, body: dict[str, str], effect: str
) -> None:
    world = small_world()
    routes = Routes(world, tokens=TOKENS)
    status, _ = ask(method, f"/v3/sites/{BARN}/devices/pump{verb}", body, routes=routes)
    assert status == 200
    assert world.count() == world.count(effect, device_id=PUMP) == 1


def test_an_escaped_segment_is_one_segment() -> None:
    world = small_world()
    world.change(PUMP, slug="a/b c")
    routes = Routes(world, tokens=TOKENS)
    assert ask("GET", "/v3/devices/a%2Fb%20c", routes=routes)[1]["device"]["id"] == PUMP


def test_pages() -> None:
    ids = [d["id"] for d in ask("GET", "/v3/devices")[1]["devices"]]
    query = (("offset", "1"), ("limit", "2"))
    _, shown = ask("GET", "/v3/devices", query=query)
    assert [d["id"] for d in shown["devices"]] == ids[1:3]
    assert shown["total_count"] == 6
    _, shown = ask("GET", "/v3/devices", query=(("offset", "6"), ("site_id", BARN)))
    assert shown == {"devices": [], "total_count": 6}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset", "-1"),
        ("offset", "one"),
        ("offset", "²"),
        ("limit", "0"),
        ("limit", "1.5"),
        ("limit", "9" * 5000),
        ("expand", "communication_info"),
    ],
)
def test_a_bad_query_is_400(name: str, value: str) -> None:
    status, shown = ask("GET", "/v3/devices", query=((name, value),))
    assert status == 400
    assert shown["errors"][0]["details"] == {"parameter": name}


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ((), set()),
        (("",), set()),
        (("manifest",), {"manifest"}),
        (
            ("site,properties,connectivity,communication",),
            {"site", "properties", "connectivity", "communication"},
        ),
        (("manifest", "raised_alert_names, "), {"manifest", "raised_alert_names"}),
    ],
)
@pytest.mark.parametrize("path", [f"/v3/devices/{PUMP}", f"/v3/sites/{BARN}/devices"])
def test_expand(path: str, values: tuple[str, ...], keys: set[str]) -> None:
    base = ask("GET", f"/v3/devices/{PUMP}")[1]["device"].keys()
    _, shown = ask("GET", path, query=tuple(("expand", value) for value in values))
    (device,) = [d for d in shown.get("devices", [shown.get("device")]) if d["id"] == PUMP]
    assert device.keys() - base == keys


def test_an_update_takes_null_and_empty_as_leave_alone() -> None:
    # As the official SDK and its command line send them.
    for body in ({"name": "Boiler", "slug": None}, {"name": "Boiler", "slug": ""}):
        status, shown = ask("PATCH", "/v3/devices/pump", body)
        assert (status, shown["device"]["name"], shown["device"]["slug"]) == (200, "Boiler", "pump")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", f"/v3/devices/{PUMP}"),
        ("POST", f"/v3/devices/{PUMP}/generate_config"),
        ("POST", f"/v3/devices/{PUMP}/assign_blueprint"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_400(method: str, path: str, body: bytes) -> None:
    assert code_of(ask(method, path, body)) == (400, "invalid_json")


@pytest.mark.parametrize(
    "path",
    [
        "/v3/devices/%7Bdevice%7D",
        "/v3/devices/{device}",
        "/v3/nothing",
        "/v3/devices/a/b/c",
        "/%61pi/v3/devices",
        "/",
        "",
    ],
)
def test_unknown_addresses_are_404(path: str) -> None:
    assert code_of(ask("GET", path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "verb", "body"),
    [
        ("PATCH", "", {"name": 5}),
        ("PATCH", "", {"slug": ["x"]}),
        ("PATCH", "", {"name": "\ud800"}),
        ("POST", "/generate_config", {}),
        ("POST", "/generate_config", {"protocol": None}),
        ("POST", "/generate_config", {"protocol": "HTTP"}),
        ("POST", "/generate_config", {"protocol": True}),
        ("POST", "/assign_blueprint", {}),
        ("POST", "/assign_blueprint", {"blueprint_id": 7}),
    ],
)
def test_a_wrong_parameter_is_400(method: str, verb: str, body: dict[str, Any]) -> None:
    answer = ask(method, f"/v3/devices/{PUMP}{verb}", body)
    assert code_of(answer) == (400, "invalid_parameter")


def test_refusals_of_the_world_are_answers() -> None:
    slug = {"slug": "meter"}
    assert code_of(ask("PATCH", "/v3/devices/pump", slug)) == (409, "already_exists")
    below = (409, "device_has_running_devices")
    assert code_of(ask("DELETE", f"/v3/devices/{UCM}")) == below
    config = ask("POST", f"/v3/devices/{METER}/generate_config", {"protocol": "MQTT"})
    assert code_of(config) == (422, "unprocessable_entity")


def test_times_follow_the_switch() -> None:
    routes = Routes(small_world(), tokens=TOKENS, timestamps="unix")
    assert ask("GET", "/v3/devices/pump", routes=routes)[1]["device"]["updated_at"] == 1735689600
    shown = ask("GET", "/v3/devices/pump")[1]
    assert shown["device"]["updated_at"] == "2025-01-01T00:00:00.000000Z"


@given(
    method=st.sampled_from(["GET", "PATCH", "POST", "DELETE", "PUT"]),
    path=st.one_of(st.text().map("/v3/devices/{}".format), st.text(), st.just("/v3/devices/pump")),
    body=st.binary(),
)
def test_every_request_is_answered(method: str, path: str, body: bytes) -> None:
    status, shown = ask(method, path, body)
    assert status in {200, 400, 404}
    assert ("errors" in shown) == (status != 200)
