"""The emulator's rule engines: new and old, at a site and on a gateway."""

from typing import Any

import pytest

from enapter_async.emulator.routes import Routes
from enapter_async.emulator.rules import Rules
from tests.emulator.fleets import BARN, HARBOUR
from tests.emulator.test_routes import ask, code_of

ENGINE = f"/v3/sites/{BARN}/rule_engine"
RULES = f"{ENGINE}/rules"
SCRIPT = {"code": "eD0x", "runtime_version": "V3"}


def test_an_engine_stops_its_rules_while_it_is_suspended(routes: Routes) -> None:
    rules = routes.noun(Rules)
    rule = rules.add(BARN, "night", "x=1")
    for verb, engine, state in (
        ("suspend", "SUSPENDED", "STOPPED"),
        ("resume", "ACTIVE", "STARTED"),
    ):
        _, shown = ask("POST", f"{ENGINE}/{verb}", routes=routes)
        assert shown["engine"]["state"] == engine
        assert shown["engine"]["timezone"] == "Europe/Riga"
        _, shown = ask("GET", f"{RULES}/night", routes=routes)
        assert shown["rule"] == {
            "id": rule,
            "slug": "night",
            "disabled": False,
            "state": state,
            "script": SCRIPT,
        }
    assert ask("GET", ENGINE, routes=routes)[1]["engine"]["state"] == "ACTIVE"


def test_an_old_engine_sends_all_rules_and_refuses_parameters(routes: Routes) -> None:
    rules = routes.noun(Rules)
    for number in range(60):
        rules.add(BARN, f"rule-{number}")
    rules.add(HARBOUR, "rule-1")
    _, shown = ask("GET", RULES, routes=routes)
    assert (len(shown["rules"]), shown["total_count"]) == (50, 60)
    (_, shown) = ask("GET", RULES, query=(("offset", "50"),), routes=routes)
    assert len(shown["rules"]) == 10
    rules.legacy = True
    _, shown = ask("GET", RULES, routes=routes)
    assert len(shown["rules"]) == 60
    assert "total_count" not in shown
    assert code_of(ask("GET", RULES, query=(("offset", "0"),), routes=routes))[0] == 400


def test_each_change_has_one_effect(routes: Routes) -> None:
    asked = {"slug": "night", "script": SCRIPT, "disable": True}
    _, shown = ask("POST", RULES, asked, routes=routes)
    rule = shown["rule"]["id"]
    assert (shown["rule"]["disabled"], shown["rule"]["state"]) == (True, "STOPPED")
    assert code_of(ask("POST", RULES, asked, routes=routes)) == (409, "already_exists")
    other = {"code": "eA==", "runtime_version": "V1", "exec_interval": "1m"}
    ask("POST", f"{RULES}/night/update_script", {"script": other}, routes=routes)
    ask("POST", f"{RULES}/night/enable", routes=routes)
    ask("PATCH", f"{RULES}/night", {"slug": "day"}, routes=routes)
    assert routes.noun(Rules).code(BARN, "day") == "x"
    assert ask("DELETE", f"{RULES}/{rule}", routes=routes) == (200, {})
    assert code_of(ask("DELETE", f"{RULES}/{rule}", routes=routes)) == (404, "not_found")
    effects = [(each.operation, each.set) for each in routes.noun(Rules).world.log.effects()]
    assert effects == [
        ("rule.create", {"slug": "night", "script": SCRIPT, "disabled": True}),
        ("rule.update_script", {"script": other}),
        ("rule.enable", {"disabled": False}),
        ("rule.rename", {"slug": "day"}),
        ("rule.delete", {}),
    ]


def test_only_a_gateway_has_a_site_of_its_own_and_it_may_be_offline(routes: Routes) -> None:
    assert code_of(ask("GET", "/v3/site/rule_engine", routes=routes)) == (404, "not_found")
    rules = routes.noun(Rules)
    rules.gateway_site = BARN
    assert ask("GET", "/api/v3/site/rule_engine/rules", routes=routes)[0] == 200
    rules.offline.add(BARN)
    assert code_of(ask("GET", ENGINE, routes=routes)) == (409, "gateway_offline")


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", RULES, {"slug": "a b", "script": SCRIPT}, (400, "invalid_parameter")),
        ("POST", RULES, {"slug": "a"}, (400, "invalid_parameter")),
        ("POST", RULES, {"slug": "a", "script": {"code": "x=1"}}, (400, "invalid_parameter")),
        ("POST", RULES, {"slug": "a", "script": {"code": "eA=="}}, (400, "invalid_parameter")),
        ("GET", f"{RULES}/none", b"", (404, "not_found")),
        ("POST", f"{ENGINE}/explode", b"", (404, "not_found")),
        ("GET", "/v3/sites/none/rule_engine", b"", (404, "not_found")),
    ],
)
def test_invalid_requests_are_refused(
    routes: Routes, method: str, path: str, body: Any, code: tuple[int, str]
) -> None:
    assert code_of(ask(method, path, body, routes=routes)) == code
    refused = ask("POST", f"{ENGINE}/suspend", token="reader", routes=routes)
    assert code_of(refused) == (403, "permission_denied")
