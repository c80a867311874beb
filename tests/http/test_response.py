"""`Client.send` returns a result together with its HTTP response."""

import pytest

from enapter_async.errors import NotFoundError
from enapter_async.hooks import AttemptPassed
from tests.support.replies import close, errors, good, truncated
from tests.support.rig import DELETE, GET, TOKEN, UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored

ID = ("X-Request-Id", "req-7")


async def test_the_headers_and_the_request_id_come_with_the_result(
    transport: TransportKind, server: FaultServer
) -> None:
    limits = (("X-RateLimit-Remaining", "41"), ("X-RateLimit-Remaining", "9"))
    server.script(
        ignored(errors(503)), applied(good(ID, *limits, ("X-Echo", f"for {TOKEN}"))), method="PATCH"
    )
    async with open_rig(transport, server) as rig:
        response = await rig.client.send(UPDATE)
        (passed,) = [each for each in rig.events if isinstance(each, AttemptPassed)]
    assert response.result.name == UPDATE.name
    assert (response.status, response.request_id) == (200, "req-7")
    assert response.headers["x-ratelimit-remaining"] == "41"
    assert response.headers.getall("X-RateLimit-Remaining") == ["41", "9"]
    assert response.headers["X-Echo"] == "for ***"
    assert [each.status for each in response.attempts] == [503]
    assert response.elapsed == rig.ended.elapsed > 0
    assert not response.settled
    assert passed.request_id == "req-7"
    assert TOKEN not in repr(response)


async def test_an_answer_without_an_id_has_none(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        response = await rig.client.with_options().send(GET)
    assert response.result.id == "dev-1"
    assert (response.status, response.request_id, response.attempts) == (200, None, ())


async def test_a_call_settled_by_a_read_has_no_answer_of_its_own(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(*[applied(truncated())] * 4, method="PATCH")
    server.script(*[applied(close())] * 4, method="DELETE")
    async with open_rig(transport, server) as rig:
        updated = await rig.client.send(UPDATE)
        deleted = await rig.client.send(DELETE)
    assert updated.settled
    assert updated.result.name == UPDATE.name
    assert deleted.result is None
    for each in (updated, deleted):
        assert (each.status, each.request_id, len(each.headers)) == (None, None, 0)
        assert each.attempts


async def test_an_error_is_that_of_execute(transport: TransportKind, server: FaultServer) -> None:
    server.script(ignored(errors(404)))
    async with open_rig(transport, server) as rig:
        with pytest.raises(NotFoundError) as caught:
            await rig.client.send(GET)
        assert rig.ended.error is caught.value
