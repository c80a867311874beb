"""A device whose slug the caller chose: created once, whatever happens, and found by its slug."""

from typing import Any

from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    Certainty,
    ConflictError,
    ResultDiffersError,
    ResultLostError,
)
from enapter_async.models.provisioning import Provisioned
from enapter_async.operations.provisioning import ProvisionStandalone
from tests.support.kinds import APPLIED, FINAL, MAYBE, REFUSED, each
from tests.support.replies import answer
from tests.support.rig import TransportKind, open_rig
from tests.support.server import FaultServer, Reply, applied, ignored

NEW = ProvisionStandalone(name="Pump 6", slug="pump-6")
LOOK, MAKE = "GET", "POST"
# Over a session, aiohttp skips interim answers, and hands on a connection that a 101 closed.
LOST_ANSWERS = {
    name: fault
    for name, fault in MAYBE.items()
    if name not in ("row24-101", "row24-nine-interim-answers")
}


@each("fault", LOST_ANSWERS)
async def test_a_lost_answer_is_settled_by_the_slug(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(applied(fault), method=MAKE)
    async with open_rig(transport, server) as rig:
        made = await rig.run(NEW)
        assert rig.certainties == [Certainty.MAYBE]
        assert rig.ended.settled
    assert made == Provisioned(device_id="new-2", slug="pump-6")
    assert server.seen == [LOOK, MAKE, LOOK]
    assert server.world.done("provision") == 1


@each("fault", LOST_ANSWERS)
async def test_what_is_not_found_by_its_slug_is_unknown_and_not_sent_again(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(ignored(fault), method=MAKE)
    async with open_rig(transport, server) as rig:
        error = await rig.fails(NEW)
    assert type(error) is AmbiguousOutcomeError
    assert error.subject == "pump-6"
    assert server.seen == [LOOK, MAKE, LOOK]
    assert server.world.done() == 0


@each("fault", {name: APPLIED[name] for name in ("row26-truncated", "row24-204", "row29-nan")})
async def test_an_answer_that_cannot_be_read_is_settled_by_the_slug_too(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(applied(fault), method=MAKE)
    async with open_rig(transport, server) as rig:
        assert (await rig.run(NEW)).device_id == "new-2"
    assert server.seen == [LOOK, MAKE, LOOK]


@each("fault", REFUSED)
async def test_what_was_refused_for_now_is_sent_again(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(ignored(fault), ignored(fault), method=MAKE)
    async with open_rig(transport, server) as rig:
        assert (await rig.run(NEW)).device_id == "new-4"
    assert server.seen == [LOOK, MAKE, MAKE, MAKE]
    assert server.world.done("provision") == 1


@each("fault", {name: FINAL[name] for name in ("status-400", "status-403", "status-422")})
async def test_a_refusal_is_reported_as_it_is(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(ignored(fault), method=MAKE)
    async with open_rig(transport, server) as rig:
        assert isinstance(await rig.fails(NEW), APIError)
    assert server.seen == [LOOK, MAKE]


async def test_a_slug_that_was_taken_before_settles_nothing(
    transport: TransportKind, server: FaultServer
) -> None:
    taken = ProvisionStandalone(name="Name of dev-1", slug="slug-of-dev-1")
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(taken)) is ConflictError
        server.script(ignored(MAYBE["row18-500"]), method=MAKE)
        assert type(await rig.fails(taken)) is AmbiguousOutcomeError
    assert server.world.done() == 0


@each(
    "case",
    {
        "other-slug": ({"device_id": "new-9", "slug": "pump-6-2"}, ResultDiffersError),
        "no-id": ({"slug": "pump-6"}, ResultLostError),
    },
)
async def test_another_slug_is_not_the_requested_one(
    transport: TransportKind, case: tuple[Any, type[Exception]], server: FaultServer
) -> None:
    body, kind = case
    server.script(ignored(answer(200, body)), method=MAKE)
    async with open_rig(transport, server) as rig:
        error = await rig.fails(NEW)
        assert type(error) is kind
    if kind is ResultDiffersError:
        assert "slug is 'pump-6-2', but 'pump-6' was requested" in str(error)


async def test_without_a_slug_the_outcome_stays_unknown(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(MAYBE["row18-500"]), method=MAKE)
    async with open_rig(transport, server) as rig:
        error = await rig.fails(ProvisionStandalone(name="Pump 6"))
    assert type(error) is AmbiguousOutcomeError
    assert "it cannot be read back" in str(error)
    assert server.seen == [MAKE]
