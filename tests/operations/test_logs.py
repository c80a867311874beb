"""The list of logs and the streams: their requests, frames, and the arguments that they refuse."""

from datetime import UTC, datetime
from typing import Any

import pytest

from enapter_async.converter import structure
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ArgumentError
from enapter_async.models.logs import LogRecord, LogSeverity
from enapter_async.operation import RequestParts, Target
from enapter_async.operations.logs import (
    ListLogs,
    StreamLogs,
    StreamRuleLogs,
    StreamTelemetry,
    WatchDevices,
)

AT = datetime(2026, 2, 3, 5, 5, 1, tzinfo=UTC)
PAGED = (("offset", "0"), ("limit", "50"))
HOT = {"severity": "warning", "message": "Bearing hot"}
TIMES = {"timestamp": "1770095100", "received_at": "2026-02-03T05:05:01Z"}


def test_a_list_sends_only_the_filters_that_are_set() -> None:
    assert ListLogs(device_id="d").request() == RequestParts("GET", ("devices", "d", "logs"), PAGED)
    asked = ListLogs(
        device_id="d",
        site_id="s",
        severity="Error",
        show="persisted_only",
        order="RECEIVED_AT_DESC",
        received_at_from=AT,
        received_at_to=AT,
    )
    assert asked.request() == RequestParts(
        "GET",
        ("sites", "s", "devices", "d", "logs"),
        (
            ("received_at_from", "2026-02-03T05:05:01Z"),
            ("received_at_to", "2026-02-03T05:05:01Z"),
            ("severity", "error"),
            ("show", "PERSISTED_ONLY"),
            ("order", "RECEIVED_AT_DESC"),
            *PAGED,
        ),
    )
    plain = ListLogs(device_id="d", severity="error")
    assert operation_from_json(operation_to_json(plain)) == plain


def test_streams_have_the_paths_of_the_api_page() -> None:
    logs = StreamLogs(device_id="d", severity="error").request()
    assert (logs.path, logs.query) == (("devices", "d", "logs"), (("severity", "error"),))
    assert StreamTelemetry(device_id="d", site_id="s").request().path[-2:] == ("d", "telemetry")
    watch = WatchDevices(device_ids=["a", "b", "a"], site_id="s")
    assert watch.slash
    assert watch.request().query == (("id.in", "a"), ("id.in", "b"))
    rule = StreamRuleLogs(rule_id="r", site_id="s")
    assert rule.request().path == ("sites", "s", "rule_engine", "rules", "r", "logs")
    assert rule.target() == Target("rule", "r", "s")


def test_a_frame_is_read_in_both_shapes() -> None:
    stream = StreamLogs(device_id="d")
    expected = LogRecord(
        message="Bearing hot",
        severity=LogSeverity.WARNING,
        timestamp=datetime.fromtimestamp(1770095100, UTC),
        received_at=AT,
    )
    for frame in ({**TIMES, **HOT, "data": {}}, {**TIMES, "log": HOT}):
        assert structure(stream.flat(frame), LogRecord) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device_id": "../x"}, "device_id must be"),
        ({"severity": "fatal"}, "severity must be one of DEBUG, INFO, WARNING, ERROR"),
        ({"show": "none"}, "show must be one of"),
        ({"order": "newest"}, "order must be one of"),
        ({"received_at_from": datetime(2026, 1, 1)}, "received_at_from must be a datetime with"),  # noqa: DTZ001 - the point
        ({"received_at_to": "now"}, "received_at_to must be a datetime with"),
    ],
)
def test_a_wrong_argument_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ListLogs(**{"device_id": "d", **fields})
