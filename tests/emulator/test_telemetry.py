"""The emulator's telemetry: the same for the same seed, and refusals of what cannot be answered."""

from typing import Any

import pytest

from enapter_async.emulator.routes import Routes
from enapter_async.emulator.telemetry import Telemetry
from tests.emulator.fleets import BARN, PUMP
from tests.emulator.test_routes import ask, code_of

QUERY = "/v3/telemetry/query_timeseries"
ASKED: dict[str, Any] = {
    "from": 1735689605,
    "to": "2025-01-01T00:03:00Z",
    "granularity": "1m",
    "telemetry": [{"device": "pump", "attribute": "power"}, {"device": "nobody", "attribute": "x"}],
}


def test_a_table_has_a_row_for_each_step_and_the_columns_that_exist(routes: Routes) -> None:
    status, raw = ask("POST", QUERY, ASKED, routes=routes)
    answer: Any = raw
    telemetry = routes.noun(Telemetry)
    values = [telemetry.value(PUMP, "power", "float", 1735689600 + 60 * step) for step in range(3)]
    rows = [f"{1735689600 + 60 * step},{each}" for step, each in enumerate(values) if each]
    header = f"ts,device={PUMP} telemetry=power aggregation=auto"
    assert (status, answer.body.decode()) == (200, "\n".join([header, *rows, ""]))
    assert answer.headers == (
        ("Content-Type", "text/csv"),
        ("X-Enapter-Timeseries-Data-Types", "float"),
    )
    assert ask("POST", QUERY, ASKED)[1] == raw
    telemetry.seed = 2
    assert ask("POST", QUERY, ASKED, routes=routes)[1] != raw


def test_latest_values_are_those_of_the_current_time(routes: Routes) -> None:
    for path in (f"/v3/devices/{PUMP}/telemetry", f"/v3/sites/{BARN}/devices/pump/telemetry"):
        _, shown = ask("GET", path, query=(("attribute.in", "status,flow"),), routes=routes)
        assert set(shown["telemetry"]) == {"status", "flow"}
        assert shown["telemetry"]["flow"] == {"warning": "There is no such attribute."}
    query = (("devices[pump]", "status"), (f"devices[{PUMP}]", "flow"))
    _, many = ask("GET", "/v3/telemetry/latest", query=query, routes=routes)
    assert set(many["telemetry"]) == {"pump", PUMP}
    assert many["telemetry"]["pump"]["status"] == shown["telemetry"]["status"]


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/v3/telemetry/latest", b"", (400, "invalid_parameter")),
        ("GET", "/v3/devices/nobody/telemetry", b"", (404, "not_found")),
        ("POST", QUERY, {**ASKED, "from": "soon"}, (400, "invalid_parameter")),
        ("POST", QUERY, {**ASKED, "granularity": "1"}, (400, "invalid_parameter")),
        ("POST", QUERY, {**ASKED, "telemetry": "pump"}, (400, "invalid_parameter")),
        ("POST", QUERY, {**ASKED, "from": 0, "granularity": "1s"}, (422, "unprocessable_entity")),
        (
            "POST",
            QUERY,
            {**ASKED, "telemetry": [{"device": "pump", "attribute": ["flow"]}]},
            (404, "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"),
        ),
        ("PUT", QUERY, b"", (404, "not_found")),
    ],
)
def test_invalid_requests_are_refused(
    routes: Routes, method: str, path: str, body: Any, code: tuple[int, str]
) -> None:
    assert code_of(ask(method, path, body, routes=routes)) == code
