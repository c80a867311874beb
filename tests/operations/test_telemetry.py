"""The operations on telemetry: their requests, and how large ones are divided."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import attrs
import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.models.telemetry import (
    Aggregation,
    GapFilling,
    GapFillingMethod,
    TelemetrySelector,
)
from enapter_async.operation import UNSET, Operation, RequestParts, Target
from enapter_async.operations.devices import ListDevices
from enapter_async.operations.telemetry import (
    LONGEST_QUERY,
    MOST_DEVICES,
    MOST_ROWS,
    GetDeviceTelemetry,
    GetLatestTelemetry,
    QueryTimeseries,
    latest_in_batches,
)

FIVE = datetime(2026, 2, 3, 5, tzinfo=UTC)
SIX = datetime(2026, 2, 3, 7, tzinfo=timezone(timedelta(hours=1)))
MINUTE = timedelta(minutes=1)


def query(selectors: Any, **fields: Any) -> QueryTimeseries:
    return QueryTimeseries(selectors=selectors, **{"from_": FIVE, "to": SIX, **fields})


REQUESTS: list[tuple[Operation[Any], RequestParts]] = [
    (
        GetLatestTelemetry(
            attributes_by_device={"dev-1": ["rpm", "alerts"], "dev-2": ("rpm",)},
            relevance_interval=timedelta(minutes=5),
        ),
        RequestParts(
            "GET",
            ("telemetry", "latest"),
            (
                ("devices[dev-1]", "rpm,alerts"),
                ("devices[dev-2]", "rpm"),
                ("relevance_interval", "300s"),
            ),
        ),
    ),
    (GetDeviceTelemetry(device_id="d"), RequestParts("GET", ("devices", "d", "telemetry"))),
    (
        GetDeviceTelemetry(device_id="d", site_id="s", attributes=["a", "b"]),
        RequestParts(
            "GET", ("sites", "s", "devices", "d", "telemetry"), (("attribute.in", "a,b"),)
        ),
    ),
    (
        query(
            [
                TelemetrySelector("pump", ["rpm", "on"]),
                TelemetrySelector(
                    "dev-1",
                    ["power"],
                    Aggregation.MAX,
                    GapFilling(GapFillingMethod.LOCF, timedelta(hours=1)),
                ),
            ]
        ),
        RequestParts(
            "POST",
            ("telemetry", "query_timeseries"),
            (),
            {
                "from": "2026-02-03T05:00:00Z",
                "to": "2026-02-03T06:00:00Z",
                "granularity": "60s",
                "telemetry": [
                    {"device": "pump", "attribute": ["rpm", "on"]},
                    {
                        "device": "dev-1",
                        "attribute": ["power"],
                        "aggregation": "max",
                        "gap_filling": {"method": "locf", "look_around": "3600s"},
                    },
                ],
            },
        ),
    ),
]


@pytest.mark.parametrize(("operation", "request_parts"), REQUESTS)
def test_an_operation_sends_the_request_of_the_api_page(
    operation: Operation[Any], request_parts: RequestParts
) -> None:
    assert operation.request() == request_parts


def test_targets_and_missing_values() -> None:
    latest = GetLatestTelemetry(attributes_by_device={"d": ["a"]})
    assert latest.target() == query({"d": ["a"]}).target() == Target("telemetry")
    assert latest.when_missing({}) == {}
    assert latest.when_missing({"d": {}}) is UNSET
    at_site = GetDeviceTelemetry(device_id="d", site_id="s")
    assert at_site.target() == Target("device", "d", "s")
    assert at_site.proven_by() == ListDevices(site_id="s", limit=1)


def test_latest_values_of_many_devices_fit_into_urls() -> None:
    asked = {f"device-{number:04}": ["power", "status"] for number in range(2 * MOST_DEVICES + 1)}
    batches = list(latest_in_batches(asked, None))
    assert [len(each.attributes_by_device) for each in batches] == [MOST_DEVICES, MOST_DEVICES, 1]
    wide = {"one": [f"a{'x' * 99}{number}" for number in range(100)], "two": ["b"]}
    parts = list(latest_in_batches(wide, MINUTE))
    assert len(parts) == 2
    joined: dict[str, tuple[str, ...]] = {}
    for each in parts:
        assert sum(len(names) + 30 for _, names in each.request().query) < LONGEST_QUERY + 100
        assert each.relevance_interval == MINUTE
        for device, names in each.attributes_by_device.items():
            joined[device] = (*joined.get(device, ()), *names)
    assert joined == {device: tuple(names) for device, names in wide.items()}


@pytest.mark.parametrize(
    ("columns", "sizes"), [(3, [3]), (250, [100, 100, 50]), (401, [101] * 3 + [98])]
)
def test_many_columns_are_divided_in_order(columns: int, sizes: list[int]) -> None:
    names = [f"a{number}" for number in range(columns)]
    whole = query(
        [TelemetrySelector("d", names[:2], Aggregation.MIN), TelemetrySelector("e", names[2:])]
    )
    parts = whole.by_columns()
    asked = [
        [
            (each.device, each.aggregation, name)
            for each in part.selectors
            for name in each.attributes
        ]
        for part in parts
    ]
    assert [len(each) for each in asked] == sizes
    expected = [("d", Aggregation.MIN, name) for name in names[:2]]
    found = [each for part in asked for each in part]
    assert found == expected + [("e", None, name) for name in names[2:]]


def test_a_long_time_is_cut_where_steps_begin() -> None:
    start = FIVE + timedelta(seconds=17)
    whole = query({"d": ["a"]}, from_=start, to=start + 2.5 * MOST_ROWS * MINUTE)
    parts = list(whole.by_time())
    assert len(parts) == 3
    assert (parts[0].from_, parts[-1].to) == (whole.from_, whole.to)
    for before, after in pairwise(parts):
        assert before.to == after.from_
        assert before.to.timestamp() % 60 == 0
        assert (before.to - before.from_) / MINUTE <= MOST_ROWS
    short = query({"d": ["a"]})
    assert list(short.by_time()) == [short]
    assert attrs.evolve(short) == short


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GetLatestTelemetry(attributes_by_device={}), "must map ids of devices"),
        (lambda: GetLatestTelemetry(attributes_by_device={"d": []}), "names a device without"),
        (lambda: GetLatestTelemetry(attributes_by_device={"d/e": ["a"]}), "device must be 1 to"),
        (lambda: GetLatestTelemetry(attributes_by_device={"d": ["a,b"]}), "an attribute must be"),
        (lambda: GetLatestTelemetry(attributes_by_device={"d": "ab"}), "must be a list of names"),
        (
            lambda: GetDeviceTelemetry(device_id="d", relevance_interval=timedelta(seconds=0.5)),
            r"whole seconds, at least one; got 0:00:00.5",
        ),
        (lambda: query({}), "selectors must name attributes"),
        (lambda: query({"d": []}), "a selector must name attributes"),
        (lambda: query("d"), "selectors must map devices to attributes"),
        (lambda: query({"d": "power"}), "attributes must be a list of names; got 'power'"),
        (lambda: query(["d"]), "a selector must be a TelemetrySelector; got 'd'"),
        (lambda: query({"d": ["a"]}, to=FIVE), "must be later than from_"),
        (lambda: query({"d": ["a"]}, to=datetime(2026, 3, 1)), "a datetime with a time zone"),  # noqa: DTZ001 - the mistake
        (lambda: query({"d": ["a"]}, granularity=60), "granularity must be a timedelta"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
