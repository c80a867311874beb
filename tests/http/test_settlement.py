"""How a call ends after an uncertain attempt: read back once, and reported truthfully."""

import uuid
from typing import Any

import pytest

from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    NotFoundError,
    ResponseMismatchError,
    ResultLostError,
)
from enapter_async.operation import Operation
from enapter_async.operations.devices import AssignBlueprint, GetDevice, UpdateDevice
from tests.support.clock import FakeClock
from tests.support.kinds import FINAL
from tests.support.lag import timed
from tests.support.replies import answer, close, errors, good, hang, html, late_effect, truncated
from tests.support.rig import (
    ASSIGN,
    BRISK,
    CONFIG,
    DELETE,
    METHOD,
    SLUG,
    UPDATE,
    WRITES,
    TransportKind,
    attempts,
    open_rig,
)
from tests.support.server import FaultServer, Reply, Step, applied, ignored
from tests.support.world import device

EACH_WRITE = pytest.mark.parametrize("operation", WRITES.values(), ids=WRITES.keys())
ENDS: dict[str, Step] = {
    "maybe": ignored(close()),
    "refused": ignored(errors(429)),
    "refused-503": ignored(errors(503, ("Retry-After", "1"))),
    "conflict": ignored(errors(409)),
    "forbidden": ignored(errors(403)),
    "unauthorized": ignored(errors(401)),
    "server-error": ignored(html(502)),
    "redirect": ignored(answer(302, None, ("Location", "/elsewhere"))),
    "portal": ignored(html(200)),
}
EACH_END = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())


@EACH_END
@EACH_WRITE
async def test_however_the_call_ends_a_visible_effect_is_success(
    transport: TransportKind, operation: Operation[Any], end: Step, server: FaultServer
) -> None:
    method = METHOD[operation]
    server.script(applied(close()))
    server.always(end)
    server.always(applied(good()), method="GET")
    async with open_rig(transport, server) as rig:
        result = await rig.run(operation)
        assert operation.holds(result)
        assert rig.ended.settled
        assert rig.ended.error is None
        assert rig.waits[-1] == ("settle", 0.0)
    # A refusal does not count as an attempt, so endless refusals continue until the deadline.
    sent = len(server.seen) - 1
    assert sent in (2, 4) or (end in (ENDS["refused"], ENDS["refused-503"]) and sent > 4)
    assert server.seen == [method] * sent + ["GET"]
    assert server.world.done() == 1


@EACH_END
@EACH_WRITE
async def test_however_the_call_ends_an_invisible_effect_is_ambiguous(
    transport: TransportKind, operation: Operation[Any], end: Step, server: FaultServer
) -> None:
    server.script(ignored(close()))
    server.always(end)
    server.always(applied(good()), method="GET")
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        assert type(error) is AmbiguousOutcomeError
        assert error.subject == "dev-1"
        assert error.hint
        assert rig.certainties[0] is Certainty.MAYBE
    assert server.seen.count("GET") == 1
    assert server.seen[-1] == "GET"
    assert server.world.done() == 0


async def test_a_final_refusal_leaves_time_to_read(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(close()), ignored(errors(429, ("Retry-After", "3600"))))
    async with open_rig(transport, server) as rig:
        await rig.run(UPDATE)
        assert rig.ended.settled
        assert rig.certainties == [Certainty.MAYBE, Certainty.REFUSED]
    assert server.seen == ["PATCH", "PATCH", "GET"]


@pytest.mark.parametrize("fault", FINAL.values(), ids=FINAL.keys())
async def test_row22_a_refusal_after_maybe_is_checked_before_it_is_reported(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    server.script(applied(close()), ignored(fault))
    async with open_rig(transport, server) as rig:
        result = await rig.run(SLUG)
        assert result.slug == "new-slug"
        assert rig.ended.settled
    assert server.seen == ["PATCH", "PATCH", "GET"]


async def test_a_success_after_maybe_needs_no_reading(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(close()))
    async with open_rig(transport, server) as rig:
        await rig.run(UPDATE)
        assert not rig.ended.settled
    assert server.seen == ["PATCH", "PATCH"]


async def test_a_host_that_goes_down_after_maybe_leaves_it_ambiguous(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    async def go_down() -> None:
        server.deafen()

    clock.on_sleep = go_down
    server.script(applied(close()))
    async with open_rig(transport, server, clock) as rig:
        error = await rig.fails(UPDATE)
        assert type(error) is AmbiguousOutcomeError
        assert rig.certainties == [Certainty.MAYBE] + [Certainty.NOT_SENT] * 3
    assert server.seen == ["PATCH"]


@EACH_WRITE
async def test_one_attempt_is_still_settled(
    transport: TransportKind, operation: Operation[Any], server: FaultServer
) -> None:
    server.script(applied(close()))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        await rig.run(operation)
        assert rig.ended.settled
    assert server.seen == [METHOD[operation], "GET"]


@pytest.mark.parametrize(
    ("first", "kind"),
    [(close(), AmbiguousOutcomeError), (truncated(), ResultLostError)],
    ids=["maybe", "applied"],
)
@pytest.mark.parametrize(
    "reading",
    [close(), errors(500), errors(403), truncated(), html(200), errors(429)],
    ids=["lost", "500", "403", "truncated", "html", "429"],
)
async def test_a_reading_that_fails_settles_nothing(
    transport: TransportKind,
    first: Reply,
    kind: type[Exception],
    reading: Reply,
    server: FaultServer,
) -> None:
    server.script(applied(first))
    server.always(ignored(reading), method="GET")
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        assert type(await rig.fails(UPDATE)) is kind
    assert server.seen == ["PATCH", "GET"]


async def test_maybe_then_applied_is_read_once(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(close()), applied(truncated()))
    async with open_rig(transport, server) as rig:
        await rig.run(UPDATE)
        assert rig.ended.settled
        assert rig.certainties == [Certainty.MAYBE, Certainty.APPLIED]
    assert server.seen == ["PATCH", "PATCH", "GET"]


async def test_an_empty_object_for_a_new_blueprint_is_settled_by_reading(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(answer(200, {})))
    async with open_rig(transport, server) as rig:
        result = await rig.run(ASSIGN)
        assert result.blueprint_id == "bp-2"
        assert rig.ended.settled
    assert server.seen == ["POST", "GET"]


async def test_row09_a_deletion_that_finds_its_own_work_done_is_success(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(close()))
    async with open_rig(transport, server) as rig:
        assert await rig.run(DELETE) is None
        assert rig.ended.already_absent
        assert rig.certainties[0] is Certainty.MAYBE
    assert server.seen == ["DELETE", "DELETE"]
    assert server.world.done("delete") == 1


async def test_a_proxys_404_does_not_prove_that_a_device_is_gone(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(close()))
    server.always(ignored(html(404, text="Not Found")))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError
    assert server.world.done() == 0


async def test_a_deletion_of_a_missing_device_is_reported(
    transport: TransportKind, server: FaultServer
) -> None:
    del server.world.devices["dev-1"]
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(DELETE)) is NotFoundError
    assert server.seen == ["DELETE"]


async def test_a_deletion_that_finds_nothing_after_a_refusal_is_reported(
    transport: TransportKind, server: FaultServer
) -> None:
    del server.world.devices["dev-1"]
    server.script(ignored(errors(429)))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(DELETE)) is NotFoundError
        assert not rig.ended.already_absent
    assert server.seen == ["DELETE", "DELETE"]


async def test_a_renamed_address_is_ambiguous_and_never_not_found(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(close()))
    rename = UpdateDevice(device_id="slug-of-dev-1", slug="new-slug")
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(rename)) is AmbiguousOutcomeError
    assert server.seen == ["PATCH", "PATCH", "GET"]
    assert server.world.done("update") == 1


@timed
async def test_a_late_effect_is_never_denied(transport: TransportKind, server: FaultServer) -> None:
    server.script(ignored(late_effect()))
    server.always(ignored(close()), method="GET")
    options: dict[str, Any] = {"retry": attempts(1), "timeouts": BRISK}
    async with open_rig(transport, server, **options) as rig:
        assert type(await rig.fails(UPDATE)) is AmbiguousOutcomeError


async def test_a_once_only_operation_is_never_read_back(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(errors(429)), applied(close()))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(CONFIG)) is AmbiguousOutcomeError
        assert rig.certainties == [Certainty.REFUSED, Certainty.MAYBE]
    assert server.seen == ["POST", "POST"]


@EACH_WRITE
@timed
async def test_the_deadline_includes_the_settling_read(
    transport: TransportKind, operation: Operation[Any], server: FaultServer, clock: FakeClock
) -> None:
    server.script(applied(hang()))
    policy = attempts(4, deadline=0.5, base_delay=10.0)
    async with open_rig(transport, server, clock, retry=policy) as rig:
        await rig.run(operation)
        assert rig.ended.settled
        assert rig.ended.elapsed < 0.5 + 0.15
    assert server.seen == [METHOD[operation], "GET"]


@timed
async def test_a_deadline_that_cuts_all_leaves_a_write_ambiguous(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(hang()))
    async with open_rig(transport, server, retry=attempts(4, deadline=0.3)) as rig:
        assert type(await rig.fails(UPDATE)) is AmbiguousOutcomeError
        assert rig.ended.elapsed < 0.3 + 0.15


ASKED, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


async def test_row33_another_device_is_never_returned(transport: TransportKind) -> None:
    async with FaultServer(devices=(ASKED,)) as server:
        server.always(ignored(answer(200, {"device": device(OTHER)})))
        async with open_rig(transport, server) as rig:
            error = await rig.fails(GetDevice(device_id=ASKED))
            assert type(error) is ResponseMismatchError
        assert server.seen == ["GET"] * 4


async def test_row33_another_devices_answer_to_a_write_is_maybe(transport: TransportKind) -> None:
    async with FaultServer(devices=(ASKED,)) as server:
        mixed_up = answer(200, {"device": device(OTHER, blueprint_id="bp-2")})
        server.script(ignored(mixed_up))
        async with open_rig(transport, server) as rig:
            result = await rig.run(AssignBlueprint(device_id=ASKED, blueprint_id="bp-2"))
            assert result.id == ASKED
            assert rig.certainties == [Certainty.MAYBE]
        assert server.seen == ["POST", "POST"]


async def test_row33_only_other_answers_leave_a_write_ambiguous(transport: TransportKind) -> None:
    async with FaultServer(devices=(ASKED,)) as server:
        server.always(ignored(answer(200, {"device": device(OTHER, name="New name")})))
        async with open_rig(transport, server) as rig:
            error = await rig.fails(UpdateDevice(device_id=ASKED, name="New name"))
            assert type(error) is AmbiguousOutcomeError
        assert server.seen == ["PATCH"] * 4 + ["GET"]


async def test_row33_another_slug_is_another_device(transport: TransportKind) -> None:
    async with FaultServer(devices=("dev-1",)) as server:
        server.script(ignored(answer(200, {"device": device(OTHER, slug="boiler")})))
        async with open_rig(transport, server) as rig:
            asked = device("dev-1")["slug"]
            assert (await rig.run(GetDevice(device_id=asked))).id == "dev-1"
            assert rig.certainties == [Certainty.MAYBE]


async def test_a_slug_may_answer_with_any_id(transport: TransportKind, server: FaultServer) -> None:
    async with open_rig(transport, server) as rig:
        found = await rig.run(GetDevice(device_id="slug-of-dev-1"))
        assert found.id == "dev-1"
        server.script(ignored(answer(200, {"device": device(ASKED.upper())})))
        assert (await rig.run(GetDevice(device_id=ASKED))).id == ASKED.upper()
