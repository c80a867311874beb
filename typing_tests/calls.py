"""What type checkers must infer about calls; mypy and pyright read it, and nothing runs it."""

from datetime import UTC, datetime
from typing import Any, ClassVar, assert_type

import attrs

from enapter_async import (
    AmbiguousOutcomeError,
    Answer,
    APIError,
    AssignBlueprint,
    Attempt,
    Blueprint,
    Client,
    CommunicationConfig,
    DeleteDevice,
    Device,
    Event,
    GenerateConfig,
    GetDevice,
    ListDevices,
    Operation,
    ProxyError,
    Repeat,
    RequestParts,
    Response,
    RetryPolicy,
    TelemetryPoint,
    TimeseriesColumn,
    TimeseriesRow,
    UpdateDevice,
)


async def verbs(client: Client) -> None:
    assert_type(await client.devices.get("a", expand=["connectivity"]), Device)
    assert_type(await client.devices.update("a", name="b", slug=None), Device)
    assert_type(await client.devices.assign_blueprint("a", blueprint_id="b"), Device)
    assert_type(await client.devices.generate_config("a", protocol="MQTT"), CommunicationConfig)
    assert_type(await client.devices.delete("a"), None)
    async for device in client.devices.list(site_id="s"):
        assert_type(device, Device)
        assert_type(device.name, str | None)
    assert_type(await client.blueprints.upload("pump"), Blueprint)
    assert_type(await client.blueprints.download("a"), bytes)
    assert_type(await client.blueprints.save("a", "a.zip"), int)
    latest = await client.telemetry.latest({"a": ["power"]})
    assert_type(latest["a"]["power"], TelemetryPoint)
    since = datetime(2026, 1, 1, tzinfo=UTC)
    async with client.telemetry.timeseries({"a": ["power"]}, from_=since, to=since) as table:
        assert_type(table.columns, tuple[TimeseriesColumn, ...])
        async for row in table:
            assert_type(row, TimeseriesRow)
            assert_type(row.timestamp, datetime)
    await client.devices.update("a", nmae="b")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    await client.devices.get(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def operations(client: Client) -> None:
    assert_type(await client.execute(GetDevice(device_id="a")), Device)
    assert_type(await client.execute(ListDevices()), tuple[Device, ...])
    assert_type(await client.send(GetDevice(device_id="a")), Response[Device])
    assert_type(await client.execute(UpdateDevice(device_id="a", name="b")), Device)
    assert_type(await client.execute(AssignBlueprint(device_id="a", blueprint_id="b")), Device)
    assert_type(await client.execute(DeleteDevice(device_id="a")), None)
    minted = await client.execute(GenerateConfig(device_id="a", protocol="MQTTS"))
    assert_type(minted, CommunicationConfig)
    await client.execute("a")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def settings(hook_events: list[Event]) -> None:
    async with Client(token="x", hooks=[hook_events.append]) as client:
        assert_type(client, Client)
        assert_type(client.with_options(retry=RetryPolicy(attempts=1)), Client)
        assert_type(await client.reach(), None)
    assert_type(Client.from_env({"A": "b"}, retry=RetryPolicy()), Client)
    Client(tokn="x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def errors(error: APIError | AmbiguousOutcomeError | ProxyError) -> None:
    assert_type(error.attempts, tuple[Attempt, ...])
    if isinstance(error, APIError):
        assert_type(error.status, int)


@attrs.frozen(kw_only=True)
class Site:
    id: str


@attrs.frozen(kw_only=True)
class GetSite(Operation[Site]):
    """A user's own operation."""

    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Any]] = Answer(key="site", type=Site)

    site_id: str

    def request(self) -> RequestParts:
        return RequestParts(method="GET", path=("sites", self.site_id))


async def own(client: Client) -> None:
    assert_type(await client.execute(GetSite(site_id="a")), Site)
