"""Streamed answers over both transports: retried before their first items, and never after."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.streaming import _Places
from enapter_async._http.transport import Timeouts
from enapter_async.errors import (
    ConfigurationError,
    DeadlineExceededError,
    EnapterError,
    PermissionDeniedError,
    StreamBrokenError,
)
from enapter_async.limits.pacing import Pacing
from enapter_async.operations import telemetry as operations
from enapter_async.operations.devices import GetDevice
from enapter_async.operations.telemetry import QueryTimeseries
from tests.support.replies import answer, chunks, close, errors, half_head, hang, head, html, raw
from tests.support.rig import Rig, TransportKind, open_rig
from tests.support.server import FaultServer, ignored

FROM = datetime(2026, 2, 3, tzinfo=UTC)
TYPES = ("X-Enapter-Timeseries-Data-Types", "float")
HEADER = b"ts,device=d telemetry=power aggregation=auto\n"
ROWS = [b"%d,%d\n" % (FROM.timestamp() + 60 * number, number) for number in range(3)]
QUERY = QueryTimeseries(selectors={"d": ["power"]}, from_=FROM, to=FROM + timedelta(hours=1))
TABLE = HEADER + b"".join(ROWS)


def csv(body: bytes = TABLE, *headers: tuple[str, str]) -> Any:
    return answer(200, body, *(headers or (TYPES,)), media_type="text/csv")


def part(body: bytes, ending: Any = "fin") -> Any:
    """Send a part of a table in chunks, and not the last chunk."""
    start = head(200, ("Content-Type", "text/csv"), ("Transfer-Encoding", "chunked"), TYPES)
    return raw(start + chunks(body, 1000), ending)


def table(rig: Rig, **given: Any) -> Any:
    return rig.client.telemetry.timeseries(
        {"d": ["power"]}, from_=FROM, to=FROM + timedelta(hours=1), **given
    )


async def read(rig: Rig, **given: Any) -> list[float]:
    async with table(rig, **given) as opened:
        return [row.values[0] async for row in opened]


async def test_any_streamed_operation_can_be_opened(
    transport: TransportKind, server: FaultServer
) -> None:
    named = csv(TABLE, TYPES, ("X-Request-Id", "r-1"))
    server.script(ignored(html(502)), ignored(named), ignored(errors(403)), ignored(csv()))
    async with open_rig(transport, server) as rig:
        async with rig.client.stream(QUERY) as stream:
            response = stream.response
            assert (response.status, response.request_id, response.result) == (200, "r-1", None)
            assert response.headers["content-type"] == "text/csv"
            assert [each.status for each in response.attempts] == [502]
            assert [each.attribute for each in stream.reader.columns] == ["power"]
            rows = [row async for batch in stream.batches() for row in batch]
        assert [row.values for row in rows] == [(0.0,), (1.0,), (2.0,)]
        plain: Any = GetDevice(device_id="d")
        with pytest.raises(ConfigurationError, match="GetDevice is not a StreamedOperation"):
            async with rig.client.stream(plain):
                pass
        with pytest.raises(PermissionDeniedError):
            async with rig.client.stream(QUERY):
                pass
        with pytest.raises(ZeroDivisionError):  # what its reader raises is passed on
            async with rig.client.stream(QUERY):
                raise ZeroDivisionError


BEFORE = {
    "closed": close(),
    "half a head": half_head(),
    "a page": html(200, text="Please log in"),
    "json": answer(200, {"errors": []}),
    "a gateway's error": html(502),
    "cut within the header": part(HEADER[:9]),
    "cut before the first row": part(HEADER),
    "another number of types": csv(TABLE, ("X-Enapter-Timeseries-Data-Types", "float,float")),
    "no end": raw(head(200, ("Content-Type", "text/csv"), TYPES) + TABLE, "fin"),
}


@pytest.mark.parametrize("reply", BEFORE.values(), ids=BEFORE)
async def test_what_breaks_before_the_first_row_is_requested_again(
    transport: TransportKind, server: FaultServer, reply: Any
) -> None:
    server.script(ignored(reply), ignored(csv()))
    async with open_rig(transport, server) as rig:
        assert await read(rig) == [0.0, 1.0, 2.0]
        (attempt,) = rig.attempts
        assert attempt.certainty.uncertain
        server.always(ignored(reply))
        with pytest.raises(EnapterError):
            await read(rig)
    asked = server.arrivals[1]
    assert asked.header("Accept") == "text/csv"
    assert asked.header("Content-Type") == "application/json"


async def test_a_table_that_may_have_been_cut_is_requested_again(
    transport: TransportKind, server: FaultServer
) -> None:
    unended = raw(head(200, ("Content-Type", "text/csv"), TYPES) + HEADER + ROWS[0], "fin")
    server.script(ignored(unended), ignored(csv()))
    async with open_rig(transport, server) as rig:
        assert len((await rig.run(QUERY)).rows) == 3
        assert len(rig.attempts) == 1


@pytest.mark.parametrize("ending", ["fin", "rst"])
async def test_a_break_after_a_row_is_reported_and_resumed_from_there(
    transport: TransportKind, server: FaultServer, ending: str
) -> None:
    server.script(ignored(part(HEADER + ROWS[0] + ROWS[1] + ROWS[2][:5], ending)))
    async with open_rig(transport, server) as rig:
        async with table(rig) as opened:
            rows = aiter(opened)
            seen = [(await anext(rows)).values[0], (await anext(rows)).values[0]]
            with pytest.raises(StreamBrokenError, match="after 2026-02-03T00:01:00") as caught:
                await anext(rows)
        assert seen == [0.0, 1.0]
        assert caught.value.after == FROM + timedelta(minutes=1)
        assert server.seen == ["POST"]
        server.script(ignored(csv(HEADER + ROWS[1] + ROWS[2])))
        assert await read(rig, after=caught.value.after) == [2.0]
    assert b'"from":"2026-02-03T00:01:00Z"' in server.arrivals[1].body


async def test_a_damaged_row_breaks_it_without_its_value(
    transport: TransportKind, server: FaultServer
) -> None:
    rest = b"".join(b"%d,1\n" % (FROM.timestamp() + 60 * number) for number in range(1, 60_000))
    server.script(ignored(csv(HEADER + ROWS[0] + rest + b"9999999999,secret\n")))
    async with open_rig(transport, server) as rig:
        with pytest.raises(
            StreamBrokenError, match="a value of d power is not of type FLOAT"
        ) as caught:
            await read(rig)
    assert "secret" not in str(caught.value)


async def test_silence_between_rows_ends_at_the_read_timeout(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(hang()), ignored(part(HEADER + ROWS[0], "hang")))
    async with open_rig(transport, server, timeouts=Timeouts(connect=0.1, read=0.1)) as rig:
        with pytest.raises(StreamBrokenError, match=r"nothing arrived for 0.1 s"):
            await read(rig)
    assert server.seen == ["POST", "POST"]


async def test_a_refusal_is_an_error_of_the_call(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(errors(403)))
    async with open_rig(transport, server) as rig:
        with pytest.raises(PermissionDeniedError):
            await read(rig)
        assert isinstance(rig.ended.error, PermissionDeniedError)
    assert server.seen == ["POST"]


async def test_a_stream_has_its_own_place_and_ends_with_the_client(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(part(HEADER + ROWS[0], "hang")))
    pacing, retry = Pacing(max_in_flight=1, max_streams=1), RetryPolicy(deadline=0.2)
    async with (
        open_rig(transport, server, pacing=pacing, retry=retry) as rig,
        table(rig) as opened,
    ):
        rows = aiter(opened)
        await anext(rows)
        server.script(ignored(answer(200, {"device": {"id": "dev-1"}})))
        await rig.client.devices.get("dev-1")  # the only place in flight is free
        with pytest.raises(
            DeadlineExceededError, match="of 1 streams, too many are open for 1 more"
        ):
            await read(rig)
        waiting = asyncio.ensure_future(anext(rows))
        await asyncio.sleep(0)
        await rig.client.close()
        with pytest.raises(StreamBrokenError, match="the connection was lost"):
            await waiting


async def test_a_place_that_is_freed_as_its_next_taker_is_cancelled_goes_to_the_one_after() -> None:
    places = _Places(1)
    await places.take(1)
    first, second = (asyncio.ensure_future(places.take(1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    places.free(1)  # before the cancelled one runs again
    await second
    places.free(1)
    await places.take(1)


LATER = {
    "a refusal": (errors(403), "HTTP 403"),
    "another type": (
        csv(HEADER + ROWS[2], ("X-Enapter-Timeseries-Data-Types", "integer")),
        "the column power of d is new or has another type",
    ),
    "another column": (
        csv(b"ts,device=d telemetry=flow\n" + ROWS[2]),
        "the column flow of d is new or has another type",
    ),
}


@pytest.mark.parametrize(("reply", "reason"), LATER.values(), ids=LATER)
async def test_a_later_request_for_it_that_fails_breaks_it_there(
    transport: TransportKind,
    server: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    reply: Any,
    reason: str,
) -> None:
    monkeypatch.setattr(operations, "MOST_ROWS", 2)
    server.script(ignored(csv(HEADER + ROWS[0] + ROWS[1] + ROWS[2])), ignored(reply))
    async with open_rig(transport, server) as rig, table(rig) as opened:
        rows = aiter(opened)
        assert [(await anext(rows)).values[0], (await anext(rows)).values[0]] == [0.0, 1.0]
        with pytest.raises(
            StreamBrokenError, match=f"after 2026-02-03T00:01:00.*{reason}"
        ) as caught:
            await anext(rows)
        assert caught.value.after == opened.last == FROM + timedelta(minutes=1)
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
