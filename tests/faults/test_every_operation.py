"""Every operation in every class of failure: its outcome, and the requests that the server saw.

Each row of OPERATIONS states, from the API page, how the operation may be repeated; each fault
states what is known about a request that meets it. The outcome follows from both by the table of
docs/explanation/certainty.md, and the emulator's log of effects is the witness.
"""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.emulator import (
    Drop,
    Emulator,
    Hang,
    Reply,
    ServerFailure,
    TooManyRequests,
    Truncate,
    World,
)
from enapter_async.emulator.faults import Fault
from enapter_async.errors import AmbiguousOutcomeError, NotFoundError, PermissionDeniedError
from enapter_async.operation import Operation
from tests.faults.operations import OPERATIONS, Tried


@attrs.frozen
class Met:
    """A fault, and whether a request that meets it is carried out."""

    fault: Callable[[], Fault]
    done: bool = False
    certain: bool = False
    """Whether the client can know that the request was not carried out."""


FAULTS = {
    "the line breaks before it is done": Met(Drop),
    "the line breaks after it is done": Met(lambda: Drop(after_effect=True), done=True),
    "reset after it is done": Met(lambda: Drop(after_effect=True, reset=True), done=True),
    "half an answer": Met(Truncate, done=True),
    "no answer": Met(lambda: Hang(after_effect=True), done=True),
    "a proxy's 502 after it is done": Met(
        lambda: ServerFailure(status=502, after_effect=True), done=True
    ),
    "a proxy's 503 before it is done": Met(lambda: ServerFailure(status=503)),
    "too many requests": Met(lambda: TooManyRequests(retry_after=0), certain=True),
    "another service's JSON": Met(
        lambda: Reply(body=b'{"status": "fine"}', after_effect=True), done=True
    ),
}


@pytest.fixture
def world() -> World:
    return World.seeded(8, 1, role="OWNER")


def client_of(emulator: Emulator) -> Client:
    return Client(
        emulator.token,
        base_url=emulator.base_url,
        retry=RetryPolicy(attempts=3, base_delay=0.001, max_delay=0.002),
        timeouts=Timeouts(connect=5, read=0.2),
    )


@pytest.mark.parametrize("met", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("tried", OPERATIONS, ids=lambda tried: tried.name)
async def test_an_operation_that_meets_a_fault_once(
    emulator: Emulator, tried: Tried, met: Met
) -> None:
    operation: Operation[Any] = tried.prepare(emulator)
    method = operation.request().method
    emulator.faults.add(met.fault(), when=lambda target: target.method == method)
    async with client_of(emulator) as client:
        settled = tried.convergent or (tried.keyed and met.done)
        if tried.effect is None or settled or met.certain:
            await client.execute(operation)
        else:
            with pytest.raises(AmbiguousOutcomeError) as caught:
                await client.execute(operation)
            found = len(caught.value.candidates)
            assert found == (tried.candidates if met.done else 0)
    if tried.effect is None:
        assert emulator.world.log.effects() == ()
        return
    effects = emulator.world.log.effects(operation=tried.effect)
    if tried.convergent:
        assert 1 <= len(effects) <= 2
        assert all(each.set == effects[0].set for each in effects)
    else:
        assert len(effects) == (1 if met.done or met.certain else 0)


@pytest.mark.parametrize("tried", OPERATIONS, ids=lambda tried: tried.name)
async def test_a_refused_operation_is_not_done(emulator: Emulator, tried: Tried) -> None:
    operation: Operation[Any] = tried.prepare(emulator)
    parts, body = operation.request(), b'{"errors":[{"code":"no","message":"No."}]}'
    path = "*/" + "/".join(parts.path)
    async with client_of(emulator) as client:
        emulator.faults.add(Reply(status=403, body=body), path=path, method=parts.method)
        with pytest.raises(PermissionDeniedError):
            await client.execute(operation)
        page = Reply(status=404, body=b"<html></html>", content_type="text/html")
        emulator.faults.add(page, method=parts.method)
        with pytest.raises(NotFoundError) as caught:
            await client.execute(operation)
    assert not caught.value.from_api
    assert emulator.world.log.effects() == ()
