"""A token from a function: requested at opening, and renewed by calls that are answered 401."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    BadRequestError,
    Certainty,
    ConfigurationError,
    DeadlineExceededError,
)
from enapter_async.hooks import AttemptFailed, Event
from enapter_async.operation import Operation
from enapter_async.operations.devices import UpdateDevice
from tests.support.kinds import each
from tests.support.replies import answer, errors, good, reset
from tests.support.rig import CONFIG, DELETE, GET, LIST, UPDATE, TransportKind, attempts, open_rig
from tests.support.secrets import causes, locals_of, shown
from tests.support.server import PATIENCE, Exchange, FaultServer, applied, ignored

OLD, NEW, NEWER = "old-9d1f6ac2", "new-77be03d5", "newer-c41e8b20"
HEADER = "X-Enapter-Auth-Token"
NO = errors(401)


@attrs.define
class Door:
    """Carries out requests with one token, and answers 401 to all others."""

    accepted: str

    async def __call__(self, exchange: Exchange) -> bool:
        if exchange.arrival.header(HEADER) != self.accepted:
            return await NO(exchange)
        return await good()(attrs.evolve(exchange, good=exchange.apply()))


@attrs.define
class Tokens:
    """A plain function that returns its tokens one after another, and the last one forever."""

    given: list[Any]
    asked: int = 0

    def __call__(self) -> Any:
        token = self.given[min(self.asked, len(self.given) - 1)]
        self.asked += 1
        if isinstance(token, BaseException):
            raise token
        return token

    async def later(self) -> Any:
        """Return the same token function as an async one."""
        await asyncio.sleep(0)
        return self()


WAYS: dict[str, Callable[[Tokens], Any]] = {
    "plain": lambda tokens: tokens,
    "async": lambda tokens: tokens.later,
}


@pytest.fixture
async def guarded() -> AsyncIterator[FaultServer]:
    async with FaultServer(devices=tuple(f"dev-{n}" for n in range(1, 13))) as server:
        server.always(ignored(Door(NEW)))
        yield server


def sent(server: FaultServer) -> list[str | None]:
    return [arrival.header(HEADER) for arrival in server.arrivals]


@each("way", WAYS)
async def test_a_call_continues_with_the_new_token(
    transport: TransportKind, way: Any, guarded: FaultServer
) -> None:
    tokens = Tokens([OLD, NEW])
    unopened = Client(token=way(tokens))
    assert tokens.asked == 0
    with pytest.raises(ConfigurationError, match="unknown before the client is opened"):
        unopened.fingerprint(b"salt")
    async with open_rig(transport, guarded, token=way(tokens)) as rig:
        assert tokens.asked == 1
        client = rig.client.with_options()
        assert client.fingerprint(b"salt") == Client(token=OLD).fingerprint(b"salt")
        assert (await client.devices.get("dev-1")).id == "dev-1"
        assert client.fingerprint(b"salt") == Client(token=NEW).fingerprint(b"salt")
        await rig.run(UPDATE)
        await rig.run(LIST)
    assert sent(guarded) == [OLD, NEW, NEW, NEW]
    assert tokens.asked == 2
    assert rig.clock.sleeps == [0.0], "a renewal needs no backoff"


async def test_the_headers_of_a_fresh_read_carry_the_new_token(
    transport: TransportKind, guarded: FaultServer
) -> None:
    guarded.script(applied(reset()), method="PATCH")
    guarded.script(ignored(NO), method="GET")
    tokens = Tokens([NEW, OLD])
    async with open_rig(transport, guarded, token=tokens, retry=attempts(1)) as rig:
        guarded.always(ignored(Door(OLD)))
        await rig.run(UPDATE)
    assert guarded.seen == ["PATCH", "GET", "GET"], "the settling read was renewed, too"
    assert sent(guarded) == [NEW, NEW, OLD]


async def test_fifty_calls_share_one_renewal(
    transport: TransportKind, guarded: FaultServer
) -> None:
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            return OLD
        await guarded.arrived(50)
        return NEW

    async with open_rig(transport, guarded, token=token) as rig:
        found = await asyncio.gather(*(rig.run(GET) for _ in range(50)))
    assert {device.id for device in found} == {"dev-1"}
    assert asked == 2
    assert sent(guarded).count(OLD) == sent(guarded).count(NEW) == 50


async def test_a_token_renewed_by_another_call_is_used_without_a_renewal(
    transport: TransportKind, guarded: FaultServer
) -> None:
    tokens = Tokens([OLD, NEW, NEWER])
    renewed = asyncio.Event()

    async def held(exchange: Exchange) -> bool:
        await renewed.wait()
        return await NO(exchange)

    async with open_rig(transport, guarded, token=tokens) as rig:
        guarded.script(ignored(held))
        slow = asyncio.ensure_future(rig.run(GET))
        await guarded.arrived(1)
        await rig.run(UPDATE)
        renewed.set()
        await slow
    assert tokens.asked == 2
    assert sorted(map(str, sent(guarded))) == [NEW, NEW, OLD, OLD]


async def test_the_same_token_again_is_fatal_after_one_renewal(
    transport: TransportKind, guarded: FaultServer
) -> None:
    tokens = Tokens([OLD])
    async with open_rig(transport, guarded, token=tokens) as rig:
        assert isinstance(await rig.fails(UPDATE), AuthenticationError)
        assert tokens.asked == 2
        assert len(guarded.arrivals) == 1
        assert isinstance(await rig.fails(UPDATE), AuthenticationError)
    assert tokens.asked == 3, "a later call renews again"


async def test_a_second_401_ends_the_call_whatever_the_function_returns(
    transport: TransportKind, guarded: FaultServer
) -> None:
    tokens = Tokens([OLD, NEWER, NEW])
    async with open_rig(transport, guarded, token=tokens) as rig:
        error = await rig.fails(UPDATE)
        assert isinstance(error, AuthenticationError)
        assert [each.status for each in error.attempts] == [401, 401]
        await rig.run(UPDATE)
    assert sent(guarded) == [OLD, NEWER, NEWER, NEW]


async def test_a_once_only_operation_is_done_once_after_a_renewal(
    transport: TransportKind, guarded: FaultServer
) -> None:
    async with open_rig(transport, guarded, token=Tokens([OLD, NEW])) as rig:
        await rig.run(CONFIG)
        assert rig.certainties == [Certainty.REFUSED]
    assert sent(guarded) == [OLD, NEW]
    assert len(guarded.world.effects) == 1


async def test_a_call_of_one_attempt_renews_for_the_next_call(
    transport: TransportKind, guarded: FaultServer
) -> None:
    tokens = Tokens([OLD, NEW])
    async with open_rig(transport, guarded, token=tokens, retry=attempts(1)) as rig:
        assert isinstance(await rig.fails(UPDATE), AuthenticationError)
        await rig.run(UPDATE)
    assert sent(guarded) == [OLD, NEW]


def told_of(error: BaseException) -> list[str]:
    """Write an error, its causes, and the locals of the package's frames in their tracebacks."""
    return [f"{each!r} {each} {vars(each)}" for each in causes(error)] + list(locals_of(error))


FAULTS: dict[str, tuple[Any, str]] = {
    "raises": (OSError(f"no {NEW}"), "the token function failed with OSError"),
    "nothing": (None, "the token function's result must be a str, not a NoneType"),
    "empty": ("", "the token function's result is empty"),
    "newline": (f"{NEW}\n", "the token function's result starts or ends with white space"),
    "letters": (f"{NEW}é", "the token function's result has characters"),
}


@each("fault", FAULTS)
async def test_a_function_that_fails_ends_the_call_and_shows_no_token(
    transport: TransportKind,
    fault: tuple[Any, str],
    guarded: FaultServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given, said = fault
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(ConfigurationError, match=said) as caught:
            async with Client(token=Tokens([given]).later, base_url=guarded.base_url):
                pass
        tokens = Tokens([OLD, given, NEW])
        async with open_rig(transport, guarded, token=tokens.later) as rig:
            error = await rig.fails(UPDATE)
            assert isinstance(error, ConfigurationError)
            assert str(error).startswith(said)
            assert isinstance(error.__cause__, AuthenticationError)
            told = told_of(caught.value) + told_of(error)
            await rig.run(UPDATE)
    assert not [text for text in (*told, caplog.text) if NEW in text or OLD in text]
    assert sent(guarded) == [OLD, OLD, NEW], "the next call renews again"


async def test_a_function_that_does_not_return_ends_the_call_at_its_deadline(
    transport: TransportKind, guarded: FaultServer
) -> None:
    never, refused = asyncio.Event(), asyncio.Event()
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            await never.wait()
        return OLD

    def hook(event: Event) -> None:
        if isinstance(event, AttemptFailed):
            refused.set()

    options: dict[str, Any] = {"token": token, "retry": attempts(4, deadline=0.3), "hooks": [hook]}
    async with open_rig(transport, guarded, **options) as rig:
        error = await rig.fails(UPDATE)
        assert isinstance(error, DeadlineExceededError)
        assert "the token function did not return" in str(error)
        refused.clear()
        waiting = asyncio.ensure_future(rig.client.with_options(retry=attempts(4)).execute(GET))
        async with asyncio.timeout(PATIENCE):
            await refused.wait()
        await rig.client.close()
        with pytest.raises(AuthenticationError):
            await waiting
    assert asked == 2
    assert guarded.seen == ["PATCH", "GET"]


@each("operation", {"update": UPDATE, "delete": DELETE})
async def test_a_write_whose_answer_was_lost_is_settled_with_the_new_token(
    transport: TransportKind, guarded: FaultServer, operation: Operation[Any]
) -> None:
    guarded.script(applied(reset()), ignored(NO))
    tokens = Tokens([OLD, NEW])
    async with open_rig(transport, guarded, token=tokens) as rig:
        await rig.run(operation)
    assert tokens.asked == 2
    assert guarded.arrivals[0].header(HEADER) == OLD
    assert guarded.arrivals[-1].header(HEADER) == NEW


@each("given", {"fails": [OLD, KeyError("gone")], "same": [OLD]})
@each("operation", {"update": UPDATE, "delete": DELETE})
async def test_a_write_whose_answer_was_lost_stays_uncertain_without_a_new_token(
    transport: TransportKind, guarded: FaultServer, operation: Operation[Any], given: list[Any]
) -> None:
    guarded.script(applied(reset()))
    async with open_rig(transport, guarded, token=Tokens(given)) as rig:
        error = await rig.fails(operation)
    assert isinstance(error, AmbiguousOutcomeError)
    assert OLD not in shown(error)


async def test_old_and_new_tokens_are_masked(
    transport: TransportKind, guarded: FaultServer
) -> None:
    async with open_rig(transport, guarded, token=Tokens([OLD, NEW])) as rig:
        await rig.run(GET)
        echo = answer(400, f"<p>{OLD} and {NEW}</p>".encode(), media_type="text/html")
        guarded.always(ignored(echo))
        error = await rig.fails(UPDATE)
    assert isinstance(error, BadRequestError)
    assert error.excerpt == "<p>*** and ***</p>"
    assert OLD not in shown(error)
    assert NEW not in shown(error)


JOB = [UpdateDevice(device_id=f"dev-{n}", name="Renewed") for n in range(1, 13)]


async def test_a_job_continues_after_a_renewal(
    transport: TransportKind, guarded: FaultServer
) -> None:
    tokens = Tokens([OLD, NEW])
    async with open_rig(transport, guarded, token=tokens) as rig:
        report = await fleet.apply(rig.client, JOB, concurrency=4)
    assert report.stopped is None
    assert report.counts[fleet.State.APPLIED] == len(guarded.world.effects) == 12
    assert tokens.asked == 2


STAYS: dict[str, Any] = {"same": OLD, "failing": OSError("no")}


@each("given", STAYS)
async def test_a_job_stops_without_a_new_token(
    transport: TransportKind, given: Any, guarded: FaultServer
) -> None:
    async with open_rig(transport, guarded, token=Tokens([OLD, given])) as rig:
        report = await fleet.apply(rig.client, JOB, concurrency=1)
    assert isinstance(report.stopped, AuthenticationError)
    assert len(guarded.arrivals) == 1
    assert not guarded.world.effects
