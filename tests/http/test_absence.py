"""When a 404 is trusted: in the API's own form, and where such an API is known to respond."""

import asyncio
from typing import Any

import pytest

from enapter_async._http.call import CallRecord
from enapter_async.errors import AmbiguousOutcomeError, NotFoundError
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, ListDevices, UpdateDevice
from tests.support.kinds import each
from tests.support.replies import answer, close, errors, html, meet
from tests.support.rig import CONFIG, DELETE, GET, UPDATE, TransportKind, attempts, open_rig
from tests.support.server import FaultServer, Reply, applied, ignored, later

GONE = DeleteDevice(device_id="no-such-device")
PROOF = "/v3/devices?offset=0&limit=1"


def asked(server: FaultServer) -> list[str]:
    """Return the targets of the reads, in order."""
    return [each.target for each in server.arrivals if each.method == "GET"]


async def test_a_first_404_of_a_single_call_is_reported_without_a_read(
    transport: TransportKind, server: FaultServer
) -> None:
    twice = "perhaps by this very request, which a proxy may have delivered twice"
    known = f"if {server.base_url} is an Enapter API, it does not exist now"
    async with open_rig(transport, server, known=False) as rig:
        for operation, page, said in (
            (GONE, errors(404), (twice, known)),
            (GONE, html(404), ("does not prove that it is absent", "check base_url")),
            (GET, errors(404), ()),
        ):
            server.script(ignored(page))
            error = await rig.fails(operation)
            assert type(error) is NotFoundError
            assert not error.proven
            assert all(each in str(error) for each in said)
            assert said or str(error) == "HTTP 404 Not Found: no (told)"
    assert server.seen == ["DELETE", "DELETE", "GET"]


async def test_a_new_slug_is_unknown_if_the_old_one_is_not_found_and_the_new_one_is_there(
    transport: TransportKind, server: FaultServer
) -> None:
    """The first of two deliveries moved the device to its new slug; the second found nothing."""
    rename = UpdateDevice(device_id="old-slug", slug="New slug #1")
    moved = answer(200, {"device": {"id": "dev-9", "slug": "New slug #1"}})
    async with open_rig(transport, server) as rig:
        server.script(ignored(errors(404)), ignored(moved))
        error = await rig.fails(rename)
        assert type(error) is AmbiguousOutcomeError
        assert "an object has its new slug" in str(error)
        server.script(ignored(errors(404)), ignored(errors(404)))
        assert type(await rig.fails(rename)) is NotFoundError
    assert asked(server)[-2:] == ["/v3/devices/New%20slug%20%231"] * 2


async def test_a_404_after_a_lost_deletion_is_proven_by_one_page(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(close()))
    async with open_rig(transport, server, known=False) as rig:
        assert await rig.run(DELETE) is None
        assert rig.ended.already_absent
        server.script(applied(close()))
        await rig.run(DeleteDevice(device_id="dev-2"))
    assert asked(server) == [PROOF]


@each(
    "before",
    {"read": GET, "page": ListDevices(), "update": UPDATE, "config": CONFIG},
)
async def test_an_earlier_good_answer_about_devices_proves_the_absence(
    transport: TransportKind, before: Operation[Any], server: FaultServer
) -> None:
    async with open_rig(transport, server, known=False) as rig:
        await rig.client.with_options(retry=attempts(2)).execute(before)
        read = asked(server)
        server.script(applied(close()))
        await rig.run(DELETE)
        assert rig.ended.already_absent
    assert asked(server) == read


async def test_a_deletions_own_good_answer_proves_nothing(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server, known=False) as rig:
        await rig.run(DELETE)
        server.script(applied(close()))
        await rig.run(DeleteDevice(device_id="dev-2"))
    assert asked(server) == [PROOF]


async def test_a_404_at_a_sites_path_is_proven_only_by_that_site(
    transport: TransportKind, server: FaultServer
) -> None:
    through = DeleteDevice(device_id="dev-1", site_id="site-1")
    elsewhere = DeleteDevice(device_id="dev-1", site_id="site-2")
    async with open_rig(transport, server, known=True) as rig:
        server.script(applied(close()))
        await rig.run(through)
        assert rig.ended.already_absent
        read = asked(server)
        server.script(applied(close()))
        await rig.run(DeleteDevice(device_id="dev-2", site_id="site-1"))
        assert asked(server) == read
        server.always(ignored(errors(404)), method="GET")
        server.script(ignored(close()))
        error = await rig.fails(elsewhere)
        assert type(error) is AmbiguousOutcomeError
        assert "check base_url" in str(error)
    assert read[-1] == "/v3/sites/site-1/devices?offset=0&limit=1"
    assert asked(server) == [*read, "/v3/sites/site-2/devices?offset=0&limit=1"]
    assert server.world.done("delete") == 2


async def test_a_site_that_was_read_proves_the_absence(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server, known=True) as rig:
        await rig.run(ListDevices(site_id="site-1"))
        read = asked(server)
        server.script(applied(close()))
        await rig.run(DeleteDevice(device_id="dev-1", site_id="site-1"))
    assert asked(server) == read


NO_PROOF: dict[str, Reply] = {
    "not-found": errors(404),
    "forbidden": errors(403),
    "page": html(200),
    "no-list": answer(200, {"status": "fine"}),
    "lost": close(),
}


@each("proof", NO_PROOF)
async def test_without_a_known_api_a_404_proves_nothing(
    transport: TransportKind, proof: Reply, server: FaultServer
) -> None:
    server.script(ignored(close()))
    server.always(ignored(errors(404)))
    server.always(ignored(proof), method="GET")
    async with open_rig(transport, server, known=False) as rig:
        error = await rig.fails(DELETE)
        assert type(error) is AmbiguousOutcomeError
        assert "check base_url" in str(error)
        assert f"no Enapter API is known at {server.base_url}" in str(error)
    assert asked(server) == [PROOF]
    assert server.world.effects == []


async def test_an_empty_list_shows_that_an_api_answers(transport: TransportKind) -> None:
    async with FaultServer(devices=()) as server, open_rig(transport, server, known=False) as rig:
        with pytest.raises(NotFoundError) as caught:
            await rig.client.call(GONE, record=CallRecord(decides=True))
        assert caught.value.proven
        assert asked(server) == [PROOF]


async def test_concurrent_calls_share_one_proof(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(errors(404)))
    server.always(ignored(meet(asyncio.Barrier(5), errors(404))), method="DELETE")
    async with open_rig(transport, server, known=False) as rig:
        gone = [DeleteDevice(device_id=f"gone-{number}") for number in range(5)]
        calls = [rig.client.call(each, record=CallRecord(decides=True)) for each in gone]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in ended] == [AmbiguousOutcomeError] * 5
    assert asked(server) == [PROOF]


async def test_a_cancelled_proof_is_left_to_the_next_call(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(errors(404)))
    async with open_rig(transport, server, known=False) as rig:
        call = asyncio.ensure_future(rig.client.call(GONE, record=CallRecord(decides=True)))
        await server.arrived(2)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        with pytest.raises(NotFoundError) as caught:
            await rig.client.call(GONE, record=CallRecord(decides=True))
        assert caught.value.proven


@pytest.mark.parametrize(
    "page",
    [html(404), answer(404), answer(404, {"errors": []}), answer(404, {"detail": "Not Found"})],
    ids=["html", "empty", "no-errors", "another-api"],
)
async def test_a_404_in_another_form_proves_nothing_even_with_a_known_api(
    transport: TransportKind, page: Reply, server: FaultServer
) -> None:
    server.always(ignored(page))
    async with open_rig(transport, server) as rig:
        why = r"something other than the API .* base_url"
        with pytest.raises(NotFoundError, match=why) as caught:
            await rig.client.call(UPDATE, record=CallRecord(decides=True))
        assert not caught.value.proven
        with pytest.raises(AmbiguousOutcomeError, match=why):
            await rig.client.call(DELETE, record=CallRecord(decides=True))
        server.script(ignored(close()))
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError


async def test_a_deletion_that_is_done_later_is_proven_by_the_404_to_the_next(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(later("read", answer(202)))
    async with open_rig(transport, server) as rig:
        assert await rig.run(DELETE) is None
        assert rig.ended.already_absent
    assert server.seen == ["DELETE", "GET", "DELETE"]
    assert server.world.done("delete") == 1


async def test_a_deletion_that_is_never_confirmed_is_sent_twice_and_unknown(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(answer(202)), method="DELETE")
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError
    assert server.seen == ["DELETE", "GET"] * 2


async def test_an_unconfirmed_deletion_is_not_sent_again_if_it_cannot_be_read(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(answer(200)))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError
    assert server.seen == ["DELETE", "GET"]


async def test_with_one_attempt_an_unconfirmed_deletion_is_only_read(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(answer(202)), method="DELETE")
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError
    assert server.seen == ["DELETE", "GET"]


async def test_an_update_of_a_missing_device_is_ambiguous_without_a_proof(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(close()))
    server.always(ignored(errors(404)))
    async with open_rig(transport, server, known=False) as rig:
        gone = UpdateDevice(device_id="no-such-device", name="New")
        assert type(await rig.fails(gone)) is AmbiguousOutcomeError
    assert PROOF not in asked(server)
