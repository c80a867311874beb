"""`client.telemetry` against the emulator, whose values follow from a seed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.api import data_frames
from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.telemetry import DEFAULT, TYPES, Telemetry
from enapter_async.errors import ConfigurationError, NotFoundError
from enapter_async.limits.pacing import Pacing
from enapter_async.models.telemetry import Aggregation, DataType, TelemetryPoint, TelemetrySelector
from enapter_async.operations import telemetry as operations
from enapter_async.operations.telemetry import QueryTimeseries
from tests.emulator.fleets import NOON, PUMP, UCM

FROM = datetime(2025, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def telemetry(emulator: Emulator) -> Telemetry:
    return emulator.noun(Telemetry)


def expected(
    telemetry: Telemetry, asked: list[tuple[str, str]], start: datetime, rows: int
) -> list[tuple[datetime, tuple[Any, ...]]]:
    """Return the rows that the emulator holds for some columns."""
    found = []
    for number in range(rows):
        time = start + number * MINUTE
        drawn = [
            telemetry.value(device, name, DEFAULT[name], int(time.timestamp()))
            for device, name in asked
        ]
        values = tuple(tuple(each) if isinstance(each, list) else each for each in drawn)
        if any(value is not None for value in values):
            found.append((time, values))
    return found


async def read(client: Client, selectors: Any, rows: int, **given: Any) -> list[Any]:
    to = given.pop("to", FROM + rows * MINUTE)
    async with client.telemetry.timeseries(selectors, from_=FROM, to=to, **given) as table:
        return [tuple(row) async for row in table]


async def test_latest_values_of_many_devices_are_one_call() -> None:
    async with (
        Emulator(world=World.seeded(120, 1)) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        ids = [device.id for device in emulator.world]
        found = await client.telemetry.latest({each: ["power", "alerts", "flow"] for each in ids})
        assert list(found) == ids
        assert emulator.world.log.count_arrivals("GET") == 3
        for points in found.values():
            assert points["flow"] == TelemetryPoint(warning="There is no such attribute.")
            power = points["power"]
            assert isinstance(power.value, float) is (power.timestamp is not None)
        with pytest.raises(NotFoundError):
            await client.telemetry.latest({each: ["power"] for each in [*ids, "nobody"]})


async def test_latest_values_of_one_device(client: Client, telemetry: Telemetry) -> None:
    found = await client.telemetry.get("pump")
    assert set(found) == set(DEFAULT)
    now = datetime.fromtimestamp(int(NOON), UTC)
    for name, point in found.items():
        value = telemetry.value(PUMP, name, DEFAULT[name], int(NOON))
        assert (point.value, point.timestamp) == (value, None if value is None else now)
    assert set(await client.telemetry.get("pump", attributes=["power"])) == {"power"}


@pytest.mark.parametrize("one_field", [True, False])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
async def test_a_time_series_has_typed_rows_and_known_columns(
    client: Client, telemetry: Telemetry, line_end: str, one_field: bool
) -> None:
    telemetry.line_end, telemetry.types_in_one_field = line_end, one_field
    selectors = [TelemetrySelector("pump", DEFAULT), TelemetrySelector(UCM, ["power"], "max")]
    asked = [*((PUMP, name) for name in DEFAULT), (UCM, "power")]
    to = FROM + 300 * MINUTE
    async with client.telemetry.timeseries(selectors, from_=FROM, to=to) as table:
        columns = table.columns
        rows = [row async for row in table]
    assert [(column.device, column.attribute) for column in columns] == asked
    kinds = [DataType(TYPES.get(kind, kind)) for kind in [*DEFAULT.values(), "float"]]
    assert [column.type for column in columns] == kinds
    assert columns[-1].aggregation is Aggregation.MAX
    assert rows == expected(telemetry, asked, FROM, 300)
    assert table.last == rows[-1].timestamp
    with pytest.raises(ConfigurationError, match="can be read only once"):
        table.__aiter__()
    whole = await client.execute(QueryTimeseries(selectors=selectors, from_=FROM, to=to))
    assert (whole.columns, list(whole.rows)) == (columns, rows)


async def test_no_data_is_a_table_without_rows(client: Client, telemetry: Telemetry) -> None:
    telemetry.silent.add(PUMP)
    for telemetry.no_data, kind in (("header", DataType.FLOAT), ("nothing", None)):
        async with client.telemetry.timeseries(
            {"pump": ["power"]}, from_=FROM, to=FROM + 9 * MINUTE
        ) as table:
            (column,) = table.columns
            assert (column.attribute, column.type) == ("power", kind)
            assert [row async for row in table] == []
    with pytest.raises(NotFoundError, match="NO_TELEMETRY_ATTRIBUTES_FOUND"):
        await read(client, {"pump": ["nothing"]}, 9)


@pytest.mark.parametrize("includes_end", [False, True])
async def test_a_large_query_is_cut_and_merged_by_time(
    emulator: Emulator,
    client: Client,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    includes_end: bool,
) -> None:
    telemetry.includes_end = includes_end
    monkeypatch.setattr(operations, "MOST_COLUMNS", 2)
    monkeypatch.setattr(operations, "MOST_ROWS", 40)
    asked = [(PUMP, name) for name in DEFAULT]
    rows = await read(client, {"pump": tuple(DEFAULT)}, 100)
    if includes_end:
        assert rows.pop()[0] == FROM + 100 * MINUTE
    assert rows == expected(telemetry, asked, FROM, 100)
    assert emulator.world.log.count_arrivals("POST") == 9  # 3 parts of the columns and of the time
    after = rows[57][0]
    rest = await read(client, {"pump": tuple(DEFAULT)}, 100, after=after)
    assert rest[: len(rows) - 58] == rows[58:]


async def test_wide_time_series_take_all_their_places_at_once(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "MOST_COLUMNS", 2)  # so each takes three places
    wide = {"pump": tuple(DEFAULT)}
    settings: dict[str, Any] = {"base_url": emulator.base_url}
    pacing, retry = Pacing(max_streams=4), RetryPolicy(deadline=5, attempts=1)
    async with Client(emulator.token, pacing=pacing, retry=retry, **settings) as client:
        # Were they taken one by one, two would have two each, and wait for the third.
        rows = await asyncio.gather(*(read(client, wide, 3) for _ in range(8)))
        assert all(each == rows[0] for each in rows)
        async with client.telemetry.timeseries(wide, from_=FROM, to=FROM + MINUTE):
            waiting = [asyncio.ensure_future(read(client, wide, 3)) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()  # one caller gives up before its turn, and the next during it
        waiting[1].cancel()
        assert await waiting[2] == rows[0]
        ended = await asyncio.gather(*waiting[:2], return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 2
        async with client.telemetry.timeseries(wide, from_=FROM, to=FROM + MINUTE):
            assert await read(client, {"pump": ["power"]}, 3)  # one place is left
    async with Client(emulator.token, pacing=Pacing(max_streams=2), **settings) as client:
        with pytest.raises(ConfigurationError, match="takes 3 streams at once, and 2 may be open"):
            await read(client, wide, 3)


async def test_the_first_part_of_the_time_may_be_empty(
    emulator: Emulator, client: Client, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "MOST_ROWS", 1)
    rows = expected(telemetry, [(PUMP, "power")], FROM, 200)
    start = next(at for at in (FROM + n * MINUTE for n in range(200)) if at not in dict(rows))
    async with client.telemetry.timeseries(
        {PUMP: ["power"]}, from_=start, to=start + 3 * MINUTE
    ) as table:
        assert table.columns[0].type is DataType.FLOAT
        found = [tuple(row) async for row in table]
    assert found == [row for row in rows if start <= row[0] < start + 3 * MINUTE]
    assert emulator.world.log.count_arrivals("POST") == 3


async def test_a_time_series_may_be_left_early(client: Client) -> None:
    async with client.telemetry.timeseries(
        {"pump": ["power"]}, from_=FROM, to=FROM + 20_000 * MINUTE
    ) as table:
        async for row in table:
            assert row.timestamp >= FROM
            break
    assert len(await read(client, {"pump": ["power"]}, 10)) <= 10


async def test_a_slow_reader_holds_the_server_back() -> None:
    parts, rows = 1_000, 20
    written = 0

    async def serve(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(headers={"X-Enapter-Timeseries-Data-Types": "string"})
        response.content_type = "text/csv"
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"ts,device=d telemetry=note\n")
        for part in range(parts):
            start = int(FROM.timestamp()) + part * rows
            text = "".join(f"{start + row},{'x' * 1000}\n" for row in range(rows))
            await response.write(text.encode())
            written += 1
        return response

    application = web.Application()
    application.router.add_post("/v3/telemetry/query_timeseries", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with (
            Client("a-token", base_url=address, timeouts=Timeouts(read=0.3)) as client,
            client.telemetry.timeseries(
                {"d": ["note"]}, from_=FROM, to=FROM + timedelta(hours=6)
            ) as table,
        ):
            found = aiter(table)
            await anext(found)
            seen = -1
            while seen != written:  # until the server has to wait
                seen = written
                await asyncio.sleep(0.05)
            assert written < parts / 2
            await asyncio.sleep(0.35)  # a reader may take longer than the server may
            assert written == seen
            assert len([row async for row in found]) == parts * rows - 1
    finally:
        await runner.cleanup()


async def test_a_time_series_becomes_a_table_of_arrow_and_of_pandas(
    client: Client, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    monkeypatch.setattr(data_frames, "CHUNK_ROWS", 100)
    telemetry.silent.add(UCM)
    selectors = [
        TelemetrySelector("pump", DEFAULT),
        TelemetrySelector("pump", ["power"], "max"),
        TelemetrySelector(UCM, ["power"]),
    ]
    asked = [*((PUMP, name) for name in DEFAULT), (PUMP, "power"), (UCM, "power")]
    given: dict[str, Any] = {"from_": FROM, "to": FROM + 250 * MINUTE}
    async with client.telemetry.timeseries(selectors, **given) as table:
        arrow = await table.to_arrow()
    async with client.telemetry.timeseries(selectors, **given) as table:
        frame = await table.to_pandas()
    rows = expected(telemetry, asked, FROM, 250)
    lists: list[list[Any]] = [
        [list(each) if isinstance(each, tuple) else each for each in row] for _, row in rows
    ]
    assert [list(row.values())[1:] for row in arrow.to_pylist()] == lists
    assert arrow.column("time").to_pylist() == [time for time, _ in rows]
    assert {name: str(arrow.schema.field(name).type) for name in arrow.schema.names} == {
        "time": "timestamp[us, tz=UTC]",
        f"{PUMP}.status": "string",
        f"{PUMP}.power.AUTO": "double",
        f"{PUMP}.temperature": "double",
        f"{PUMP}.total_energy": "int64",
        f"{PUMP}.running": "bool",
        f"{PUMP}.alerts": "list<item: string>",
        f"{PUMP}.power.MAX": "double",
        f"{UCM}.power": "double",
    }
    assert list(frame.index) == [time for time, _ in rows]
    assert list(frame.columns) == arrow.schema.names[1:]
    energy = frame[f"{PUMP}.total_energy"]
    assert str(energy.dtype) == "int64[pyarrow]"
    assert int(energy.sum()) == sum(row[3] for row in lists if row[3] is not None)
    telemetry.no_data = "nothing"
    telemetry.silent.add(PUMP)
    async with client.telemetry.timeseries({"pump": ["power"]}, **given) as table:
        assert (await table.to_pandas()).shape == (0, 1)
    async with client.telemetry.timeseries({UCM: ["power"] * 2}, **given) as table:
        assert (await table.to_arrow()).num_columns == 3
