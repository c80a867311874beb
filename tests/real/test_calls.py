"""Single calls through nginx: a call's report is compared with what the upstream did."""

from pathlib import Path
from typing import Any

import pytest

from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    Certainty,
    DeadlineExceededError,
    EnapterError,
    api_error_type,
)
from enapter_async.operation import Operation
from tests.real.front import (
    ALL,
    CONFIG,
    GET,
    METHOD,
    SETTING,
    UPDATE,
    WRITES,
    Front,
    TransportKind,
    open_front,
)
from tests.real.nginx import Line
from tests.real.rows import DONE, FINAL, FINE, LATE, LIMITED, NOT_DONE, STATUS, Row
from tests.support.kinds import each

LIMITS = {id(row) for row in (*LIMITED.values(), NOT_DONE["503-by-limit_req"])}


def opened(transport: TransportKind, folder: Path, row: Row, **options: Any) -> Any:
    return open_front(
        transport, folder, server=row.server, http=row.http, prefix=row.prefix, **options
    )


async def prepared(front: Front, row: Row, times: int | None = 1) -> None:
    """Use up the one request that a limit allows, and set the upstream's fault."""
    if id(row) in LIMITS:
        await front.client.execute(GET)
    if row.fault is not None:
        for method in ("PATCH", "POST", "DELETE"):
            front.emulator.faults.add(row.fault, method=method, times=times)


def sent(lines: list[Line], operation: Operation[Any]) -> list[Line]:
    return [line for line in lines if line.method == METHOD[type(operation)]]


@each("row", FINE)
@each("operation", ALL)
async def test_a_request_that_passes_is_done_once(
    transport: TransportKind, operation: Operation[Any], row: Row, tmp_path: Path
) -> None:
    async with opened(transport, tmp_path, row) as front:
        ended = await front.run(operation)
        assert not isinstance(ended, EnapterError)
        assert front.ended.attempts == ()
        assert front.effects(operation) == (0 if operation is GET else 1)
        assert [line.status for line in await front.seen()] == [200]


@each("row", LIMITED)
@each("operation", ALL)
async def test_permanent_refusals_did_nothing(
    transport: TransportKind,
    operation: Operation[Any],
    row: Row,
    tmp_path: Path,
) -> None:
    status = next(STATUS[name] for name, one in LIMITED.items() if one is row)
    told = "Retry-After" in row.server
    async with opened(transport, tmp_path, row) as front:
        await prepared(front, row)
        error = await front.run(operation)
        # It does not count as an attempt, so the deadline ends it.
        assert isinstance(error, EnapterError)
        assert type(error) is (api_error_type(status) if told else DeadlineExceededError)
        refusals = len(error.attempts)
        assert refusals > 4
        assert [each.certainty for each in error.attempts] == [Certainty.REFUSED] * refusals
        assert {each.retry_after for each in error.attempts} == {1.0 if told else None}
        assert front.effects(operation) == 0
        lines = await front.seen()
        assert [line.status for line in lines] == [200] + [status] * refusals
        assert front.world.log.count_arrivals() == 1


@each("row", FINAL)
@each("operation", ALL)
async def test_a_final_refusal_did_nothing(
    transport: TransportKind, operation: Operation[Any], row: Row, tmp_path: Path
) -> None:
    status = next(STATUS[name] for name, one in FINAL.items() if one is row)
    async with opened(transport, tmp_path, row) as front:
        error = await front.run(operation)
        assert isinstance(error, APIError)
        assert type(error) is api_error_type(status)
        assert not error.from_api
        assert len(error.attempts) == 1
        assert [line.status for line in await front.seen()] == [status]
        assert front.world.log.count_arrivals() == 0


@pytest.mark.parametrize("size", [200, 1000])
async def test_a_body_too_large_is_refused(
    transport: TransportKind, size: int, tmp_path: Path
) -> None:
    row = Row(server="client_max_body_size 100;" + FINE["unbuffered"].server)
    long = type(UPDATE)(device_id=UPDATE.device_id, name="n" * size)
    async with opened(transport, tmp_path, row) as front:
        error = await front.run(long)
        assert isinstance(error, APIError)
        assert error.status == 413
        assert len(error.attempts) == 1
        assert front.world.log.count_arrivals() == 0
        assert not isinstance(await front.run(UPDATE), EnapterError)
        assert [line.status for line in await front.seen()] == [413, 200]


@each("operation", ALL)
async def test_a_head_too_large_is_refused(
    transport: TransportKind, operation: Operation[Any], tmp_path: Path
) -> None:
    async with opened(transport, tmp_path, FINE["unbuffered"], user="u" * 40_000) as front:
        error = await front.run(operation)
        assert isinstance(error, APIError)
        assert error.status == 400
        assert front.world.log.count_arrivals() == 0
        assert [line.status for line in await front.seen()] == [400]


@each("row", NOT_DONE)
@each("operation", WRITES)
async def test_an_undone_operation_is_never_reported_as_done(
    transport: TransportKind, operation: Operation[Any], row: Row, tmp_path: Path
) -> None:
    async with opened(transport, tmp_path, row) as front:
        await prepared(front, row, times=None)
        error = await front.run(operation)
        assert type(error) is AmbiguousOutcomeError
        expected = 1 if operation is CONFIG else 4
        assert [attempt.certainty for attempt in error.attempts] == [Certainty.MAYBE] * expected
        assert front.world.count() == 0
        assert len(sent(await front.seen(), operation)) == expected


@each("row", DONE)
@each("operation", SETTING)
async def test_a_done_operation_is_detected(
    transport: TransportKind, operation: Operation[Any], row: Row, tmp_path: Path
) -> None:
    async with opened(transport, tmp_path, row) as front:
        await prepared(front, row)
        assert not isinstance(await front.run(operation), EnapterError)
        assert len(sent(await front.seen(), operation)) <= 2


@each("row", DONE)
async def test_a_done_once_only_operation_is_lost_or_ambiguous(
    transport: TransportKind, row: Row, tmp_path: Path
) -> None:
    async with opened(transport, tmp_path, row) as front:
        await prepared(front, row)
        error = await front.run(CONFIG)
        assert isinstance(error, AmbiguousOutcomeError)
        assert front.effects(CONFIG) == 1
        assert len(await front.seen()) == 1


@each("operation", WRITES)
async def test_504_before_the_upstream_does_it(
    transport: TransportKind, operation: Operation[Any], tmp_path: Path
) -> None:
    async with opened(transport, tmp_path, LATE) as front:
        await prepared(front, LATE)
        ended = await front.run(operation)
        if operation is CONFIG:
            assert type(ended) is AmbiguousOutcomeError
        else:
            assert not isinstance(ended, EnapterError)
        lines = sent(await front.seen(), operation)
        assert lines[0].status == 504
        assert len(lines) == (1 if operation is CONFIG else 2)
