"""Redirects are reported, never followed: another host gets no token, body or connection."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from enapter_async.errors import AmbiguousOutcomeError, Certainty, RedirectError
from enapter_async.operation import Operation, Repeat, Settles
from tests.support.kinds import each, meets
from tests.support.replies import answer
from tests.support.rig import ALL, CONFIG, METHOD, UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored
from tests.support.tls import Certificates


@pytest.fixture
async def evil() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


ELSEWHERE = (301, 307, 308)
"""These say that the address is a different one, before anything is done."""
AFTERWARDS = (302, 303)
"""These may also follow a completed action, such as a submitted form."""
REDIRECTS = [
    {
        f"row23-{status}-{where}": (status, where)
        for where in ("{evil}/v3/devices/dev-1", "{own}/v3/devices/dev-2", "/v3/devices/dev-2", "")
    }
    for status in (*ELSEWHERE, *AFTERWARDS)
]


@meets(ALL, *REDIRECTS, all_of=["get", "update"])
async def test_a_redirect_is_never_followed(
    transport: TransportKind,
    operation: Operation[Any],
    fault: tuple[int, str],
    server: FaultServer,
    evil: FaultServer,
) -> None:
    status, where = fault
    location = where.format(evil=evil.base_url, own=server.base_url)
    headers = (("Location", location),) if location else ()
    server.always(ignored(answer(status, None, *headers)))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        assert [attempt.status for attempt in error.attempts] == [status]
        if status in ELSEWHERE or operation.repeat is Repeat.READ:
            assert type(error) is RedirectError
            assert server.seen == [METHOD[operation]]
        else:
            looks = [] if operation.settles is Settles.NEVER else ["GET"]
            assert type(error) is AmbiguousOutcomeError
            assert server.seen == [METHOD[operation], *looks]
    assert evil.connections == []


@pytest.mark.parametrize("status", AFTERWARDS)
@each("operation", {"row23-update": UPDATE, "row23-config": CONFIG})
async def test_an_action_that_answers_with_a_redirect_was_done(
    transport: TransportKind, operation: Operation[Any], status: int, server: FaultServer
) -> None:
    server.script(applied(answer(status, None, ("Location", "/v3/devices/dev-1"))))
    async with open_rig(transport, server) as rig:
        if operation is UPDATE:
            assert (await rig.run(operation)).name == UPDATE.name
            assert rig.ended.settled
        else:
            assert type(await rig.fails(operation)) is AmbiguousOutcomeError
        assert rig.certainties == [Certainty.MAYBE]
    assert server.world.done() == 1


@pytest.mark.parametrize("status", ELSEWHERE)
@each("operation", {"row23-update": UPDATE, "row23-config": CONFIG})
async def test_a_redirect_out_of_tls_is_not_followed_either(
    transport: TransportKind,
    operation: Operation[Any],
    status: int,
    evil: FaultServer,
    certificates: Certificates,
) -> None:
    async with FaultServer(ssl_context=certificates.server()) as server:
        location = f"{evil.base_url}/v3/devices/dev-1"
        server.always(ignored(answer(status, None, ("Location", location))))
        context = certificates.trusting()
        async with open_rig(transport, server, ssl_context=context) as rig:
            assert type(await rig.fails(operation)) is RedirectError
        assert server.seen == [METHOD[operation]]
    assert evil.connections == []
