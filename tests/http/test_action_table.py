"""Every operation with every class of failure: what is repeated, read and reported."""

from typing import Any

import pytest

from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    Certainty,
    DeadlineExceededError,
    HostDownError,
    RateLimitedError,
    ResponseError,
    ResultLostError,
    ServerError,
    TransportError,
    api_error_type,
)
from enapter_async.models.devices import Device
from enapter_async.operation import Operation
from tests.support.clock import FakeClock
from tests.support.kinds import (
    APPLIED,
    BROKEN,
    FAILED,
    FINAL,
    LATE,
    LOST,
    NINE_INTERIMS,
    ODD,
    PORTAL,
    REFUSED,
    UNKNOWN,
    UNREADABLE,
    each,
    meets,
)
from tests.support.lag import timed
from tests.support.replies import errors
from tests.support.rig import (
    ALL,
    BRISK,
    COMMAND,
    CONFIG,
    CONVERGENT_WITH_ANSWER,
    DELETE,
    GET,
    METHOD,
    ONCE,
    READS,
    UPDATE,
    WRITES,
    TransportKind,
    attempts,
    open_rig,
)
from tests.support.server import FaultServer, Reply, applied, ignored

REPEATED: dict[str, Operation[Any]] = {**READS, **WRITES}


def faults(*groups: dict[str, Reply]) -> pytest.MarkDecorator:
    return each("fault", *groups)


def skip_what_a_session_cannot_see(transport: TransportKind, fault: Reply) -> None:
    if transport == "session" and fault is NINE_INTERIMS:
        pytest.skip("aiohttp skips interim answers without telling a session")


def operations(group: dict[str, Operation[Any]]) -> pytest.MarkDecorator:
    return each("operation", group)


@operations(ALL)
async def test_row01_not_sent_is_sent_when_the_host_is_back(
    transport: TransportKind, operation: Operation[Any], server: FaultServer, clock: FakeClock
) -> None:
    server.deafen()

    async def open_again() -> None:
        if len(clock.sleeps) == 1:
            await server.listen()

    clock.on_sleep = open_again
    async with open_rig(transport, server, clock) as rig:
        await rig.run(operation)
        assert server.seen == [METHOD[operation]]
        assert rig.certainties == [Certainty.NOT_SENT]


@operations(ALL)
async def test_row02_a_host_that_stays_down_is_reported_and_never_ambiguous(
    transport: TransportKind, operation: Operation[Any], server: FaultServer, clock: FakeClock
) -> None:
    server.deafen()
    async with open_rig(transport, server, clock) as rig:
        error = await rig.fails(operation)
        assert isinstance(error, HostDownError)
        assert not error.sent
        assert [attempt.number for attempt in error.attempts] == [1, 2, 3, 4]
        assert set(rig.certainties) == {Certainty.NOT_SENT}
    assert server.arrivals == []


@meets(ALL, REFUSED, all_of=["update"])
async def test_refused_is_sent_again(
    transport: TransportKind,
    operation: Operation[Any],
    fault: Reply,
    server: FaultServer,
    clock: FakeClock,
) -> None:
    server.script(ignored(fault), ignored(fault))
    async with open_rig(transport, server, clock) as rig:
        await rig.run(operation)
        assert server.seen == [METHOD[operation]] * 3
        assert rig.certainties == [Certainty.REFUSED] * 2
        assert not rig.ended.settled
    assert len(server.world.effects) == (0 if operation in READS.values() else 1)


@meets(ALL, REFUSED, all_of=["update"])
async def test_refused_to_the_end_is_the_refusal_itself(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.always(ignored(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        if fault is REFUSED["row21-425"]:
            assert isinstance(error, APIError)
            assert type(error) is api_error_type(error.status)
            assert len(server.seen) == 4
        else:  # such refusals do not count as attempts; only the deadline ends them
            assert isinstance(error, DeadlineExceededError | ServerError)
            assert len(server.seen) > 4
        assert server.seen == [METHOD[operation]] * len(server.seen)
        assert rig.certainties == [Certainty.REFUSED] * len(server.seen)


@meets(REPEATED, *UNKNOWN, all_of=["get", "update"])
async def test_maybe_is_sent_again(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    skip_what_a_session_cannot_see(transport, fault)
    server.script(ignored(fault), ignored(fault))
    async with open_rig(transport, server) as rig:
        await rig.run(operation)
        assert server.seen == [METHOD[operation]] * 3
        assert rig.certainties == [Certainty.MAYBE] * 2
        assert not rig.ended.settled
    assert len(server.world.effects) == (0 if operation in READS.values() else 1)


@faults(FAILED)
@operations(WRITES)
async def test_row19_a_failing_server_sees_four_attempts_and_one_read(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.always(ignored(fault))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(operation)) is AmbiguousOutcomeError
        assert rig.certainties == [Certainty.MAYBE] * 4
    assert server.seen == [METHOD[operation]] * 4 + ["GET"]


@faults(LATE)
@operations({"get": GET, "update": UPDATE, "delete": DELETE})
@timed
async def test_a_late_answer_is_maybe_and_its_connection_is_not_kept(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.script(ignored(fault))
    async with open_rig(transport, server, timeouts=BRISK) as rig:
        await rig.run(operation)
        assert server.seen == [METHOD[operation]] * 2
        assert rig.certainties == [Certainty.MAYBE]
        assert server.arrivals[0].connection != server.arrivals[1].connection


@meets(ONCE, *UNKNOWN, all_of=["config"])
@pytest.mark.parametrize("take_effect", [applied, ignored])
async def test_maybe_ends_a_once_only_operation_as_ambiguous(
    transport: TransportKind,
    operation: Operation[Any],
    fault: Reply,
    take_effect: Any,
    server: FaultServer,
) -> None:
    skip_what_a_session_cannot_see(transport, fault)
    server.script(take_effect(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        assert type(error) is AmbiguousOutcomeError
        assert error.subject == "dev-1"
        assert rig.certainties == [Certainty.MAYBE]
        assert not rig.ended.settled
    searched = operation is COMMAND
    if transport == "session" and fault is LOST["row24-101"]:
        searched = False  # aiohttp hands the closed connection to the search, too
    assert server.seen == ["POST", *["GET"] * searched]
    found = 1 if searched and take_effect is applied else 0
    assert len(error.candidates) == found, "a search names what it finds, and takes nothing"


@faults(LATE)
@timed
async def test_a_late_answer_ends_a_once_only_operation_as_ambiguous(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(applied(fault))
    async with open_rig(transport, server, timeouts=BRISK) as rig:
        assert type(await rig.fails(CONFIG)) is AmbiguousOutcomeError
    assert server.seen == ["POST"]


@meets(READS, BROKEN, UNREADABLE, all_of=["get"])
async def test_a_read_with_an_unusable_answer_is_read_again(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.script(ignored(fault), ignored(fault))
    async with open_rig(transport, server) as rig:
        await rig.run(operation)
        assert rig.certainties == [Certainty.APPLIED] * 2
    assert server.seen == ["GET"] * 3


@meets(CONVERGENT_WITH_ANSWER, BROKEN, UNREADABLE, all_of=["update"])
async def test_applied_is_settled_by_reading_back_once(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.script(applied(fault))
    async with open_rig(transport, server) as rig:
        result = await rig.run(operation)
        assert isinstance(result, Device)
        assert operation.holds(result)
        assert rig.ended.settled
        assert rig.certainties == [Certainty.APPLIED]
    assert server.seen == [METHOD[operation], "GET"]
    assert len(server.world.effects) == 1


@meets(CONVERGENT_WITH_ANSWER, BROKEN, UNREADABLE, all_of=["update"])
async def test_applied_without_a_visible_state_is_a_lost_result(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.script(ignored(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        assert type(error) is ResultLostError
        assert not rig.ended.settled
    assert server.seen == [METHOD[operation], "GET"]


@meets(ONCE, BROKEN, UNREADABLE, all_of=["config"])
async def test_applied_ends_a_once_only_operation_as_a_lost_result(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.script(applied(fault))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(operation)) is ResultLostError
        assert rig.certainties == [Certainty.APPLIED]
    assert server.seen == ["POST", *["GET"] * (operation is COMMAND)]


CONFIRMED = ("row24-204", "row30-no-envelope")
"""The answers that confirm a deletion: 204, and 200 with an empty object."""
UNCONFIRMED = {name: reply for name, reply in APPLIED.items() if name not in CONFIRMED}


@pytest.mark.parametrize("name", CONFIRMED)
async def test_a_confirmed_deletion_is_done(
    transport: TransportKind, name: str, server: FaultServer
) -> None:
    server.script(applied(APPLIED[name]))
    async with open_rig(transport, server) as rig:
        assert await rig.run(DELETE) is None
        assert rig.attempts == ()
        assert not rig.ended.already_absent
    assert server.seen == ["DELETE"]


@faults(UNCONFIRMED)
@pytest.mark.parametrize("take_effect", [applied, ignored])
async def test_any_other_good_status_of_a_deletion_is_checked_by_a_read(
    transport: TransportKind, fault: Reply, take_effect: Any, server: FaultServer
) -> None:
    """If a read shows that it was not done, it is sent once more."""
    server.script(take_effect(fault))
    async with open_rig(transport, server) as rig:
        assert await rig.run(DELETE) is None
        assert rig.certainties == [Certainty.MAYBE]
        assert rig.ended.settled is (take_effect is applied)
    assert server.seen == ["DELETE", "GET", "DELETE"][: 2 if take_effect is applied else 3]
    assert server.world.done("delete") == 1


@meets(ALL, FINAL, all_of=["update", "delete", "config"])
async def test_a_final_refusal_is_reported_at_once(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    server.always(ignored(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        assert isinstance(error, APIError)
        assert type(error) is api_error_type(error.status)
        assert [detail.code for detail in error.errors] == ["told"]
        assert [attempt.status for attempt in error.attempts] == [error.status]
        assert rig.certainties == [Certainty.REFUSED]
    assert server.seen == [METHOD[operation]]
    assert rig.waits == []


@faults(LOST)
@operations(READS)
async def test_a_read_whose_answers_were_lost_was_sent(
    transport: TransportKind, operation: Operation[Any], fault: Reply, server: FaultServer
) -> None:
    skip_what_a_session_cannot_see(transport, fault)
    server.always(ignored(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        assert type(error) is TransportError
        assert error.sent
        assert [attempt.status for attempt in error.attempts] == [None] * 4
    assert server.seen == ["GET"] * 4


@faults(FAILED)
async def test_a_read_from_a_failing_server_says_so(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.always(ignored(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(GET)
        assert type(error) is ServerError
        assert 500 <= error.status < 600
    assert server.seen == ["GET"] * 4


@faults(ODD)
async def test_a_read_with_an_odd_status_reports_the_status(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.always(ignored(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(GET)
        assert isinstance(error, APIError)
        assert error.status >= 600
    assert server.seen == ["GET"] * 4


@faults(PORTAL, APPLIED)
async def test_a_read_with_unusable_answers_says_so(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.always(ignored(fault))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(GET)
        assert type(error) is ResponseError
        assert {attempt.status for attempt in error.attempts} <= {200, 204}
    assert server.seen == ["GET"] * 4


async def test_one_attempt_means_one_for_refusals_too(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(errors(429)))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        assert type(await rig.fails(UPDATE)) is RateLimitedError
    assert server.seen == ["PATCH"]
