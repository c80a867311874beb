"""What type checkers must infer about fleet jobs; mypy and pyright read it, and nothing runs it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from enapter_async import Client, EnapterError, GenerateConfig, UpdateDevice, fleet


def renames() -> Iterator[UpdateDevice]:
    yield UpdateDevice(device_id="a", name="b")


async def renames_later() -> AsyncIterator[UpdateDevice]:
    yield UpdateDevice(device_id="a", name="b")


def told(outcome: fleet.Outcome[UpdateDevice]) -> None:
    assert_type(outcome.operation, UpdateDevice)
    assert_type(outcome.state, fleet.State)
    assert_type(outcome.error, EnapterError | None)


async def jobs(client: Client) -> None:
    report = await fleet.apply(client, list(renames()), concurrency=4, on_outcome=told)
    assert_type(report, fleet.Report)
    await fleet.apply(client, renames(), journal="run.db", check=True)
    await fleet.apply(client, renames_later())
    await fleet.apply(client, [GenerateConfig(device_id="a", protocol="MQTT")], credentials="c")
    assert_type(await fleet.resume(client, "run.db"), fleet.Report)
    await fleet.apply(client, ["a"])  # type: ignore[type-var] # pyright: ignore[reportArgumentType]
    await fleet.apply(client, renames(), concurency=4)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def outcomes(client: Client) -> None:
    async with fleet.Run(client, list(renames())) as run:
        async for outcome in run:
            told(outcome)
        assert_type(run.report.to_json(), dict[str, Any])
        assert_type(run.report.counts[fleet.State.APPLIED], int)


async def plans(client: Client) -> None:
    with await fleet.plan(client, renames()) as plan:
        assert_type(plan, fleet.Plan)
        assert_type(await fleet.apply(client, plan), fleet.Report)
    assert_type(await fleet.undo(client, "run.db"), fleet.Undo)
