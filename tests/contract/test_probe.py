"""An aiohttp that lacks something `DirectTransport` uses is detected and worked around.

Names removed here are hidden only from us: aiohttp itself still uses them.
"""

import types
import warnings
from typing import Any

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection

from enapter_async._http import direct
from enapter_async._http.direct import DirectTransport, probe
from enapter_async._http.session import SessionTransport
from enapter_async.client import Client
from enapter_async.errors import AmbiguousOutcomeError
from tests.support.kinds import each
from tests.support.replies import good, reset
from tests.support.rig import CONFIG, CONVERGENT_WITH_ANSWER, DELETE, READS, TOKEN, attempts
from tests.support.server import FaultServer, applied, ignored

USED: dict[type, tuple[str, ...]] = {
    ResponseHandler: ("transport", "is_connected", "should_close", "connection_lost"),
    BaseProtocol: (
        *("transport", "connected", "resume_reading"),
        *("_loop", "_parser", "_reading_paused"),
    ),
    Connection: ("protocol", "release", "close"),
    aiohttp.StreamReader: (
        *("readany", "read_nowait", "is_eof", "exception", "set_exception", "total_bytes"),
    ),
    aiohttp.http.RawResponseMessage: ("code", "headers", "chunked", "should_close"),
}
NAMES = {
    f"{owner.__name__}.{name}": (owner, name) for owner, names in USED.items() for name in names
}


class Gone:
    """A name that does not exist."""

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError


def seen_with(owner: type, **changed: Any) -> tuple[str, Any]:
    """Return a name in `direct`, and its value if `owner` had this change."""
    other = type(owner.__name__, (owner,), changed)
    if owner in (ResponseHandler, BaseProtocol):
        return owner.__name__, other
    if owner is Connection:
        place: dict[str, Any] = {"connector": types.SimpleNamespace(Connection=other)}
    elif owner is aiohttp.StreamReader:
        place = {"StreamReader": other}
    else:
        place = {"http": types.SimpleNamespace(RawResponseMessage=other)}
    return "aiohttp", types.SimpleNamespace(**{**vars(aiohttp), **place})


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def lacking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Hide one name after another from `direct`; return the hidden name."""
    owner, name = request.param
    monkeypatch.setattr(direct, *seen_with(owner, **{name: Gone()}))
    return f"{owner.__name__}.{name}"


class Renamed(ClientRequest):
    """A request that takes other arguments."""

    def __init__(self, method: str, url: Any, *, context: Any, **rest: Any) -> None:
        super().__init__(method, url, ssl=context, **rest)


class Elsewhere(ClientRequest):
    """A request whose key names no host."""

    connection_key = types.SimpleNamespace(host="")  # type: ignore[assignment]  # that is the change


def otherwise(_: Any, *, protocol: Any) -> None:
    """Make a parser that takes other arguments."""


def nervous(_: Any, __: Any) -> None:
    """Make a parser that cannot be used here."""
    raise RuntimeError


CHANGED: dict[str, tuple[str, Any, str]] = {
    "a-request-wants-other-arguments": ("ClientRequest", Renamed, "TypeError"),
    "a-key-names-no-host": ("ClientRequest", Elsewhere, "ClientRequest.connection_key"),
    "a-parser-wants-other-arguments": ("parser_for", otherwise, "TypeError"),
    "a-parser-cannot-be-made": ("parser_for", nervous, "RuntimeError"),
}


@pytest.fixture(params=list(CHANGED.values()), ids=list(CHANGED))
def changed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    place, thing, told = request.param
    monkeypatch.setattr(direct, place, thing)
    return str(told)


async def told_by_probe() -> str:
    async with aiohttp.ClientSession() as session:
        return probe(session)


async def test_nothing_is_lacking_here(server: FaultServer) -> None:
    assert await told_by_probe() == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with Client(TOKEN, base_url=server.base_url) as client:
            assert type(client._open_pipeline().transport) is DirectTransport


@each("owner", {owner.__name__: owner for owner in USED})
async def test_hiding_a_name_hides_no_other(owner: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, *seen_with(owner))
    assert await told_by_probe() == ""


async def test_a_missing_name_is_reported(lacking: str) -> None:
    assert await told_by_probe() == lacking


async def test_a_changed_signature_is_reported(changed: str) -> None:
    assert await told_by_probe() == changed


class Pool:
    """A connector that does not connect."""


class OtherPool:
    """A connector that connects differently."""

    async def connect(self, req: Any, timeout: Any) -> None:
        raise NotImplementedError


class SamePool:
    """A connector that connects as we expect."""

    async def connect(self, req: Any, traces: Any, timeout: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("pool", "told"),
    [(Pool(), "BaseConnector.connect"), (OtherPool(), "TypeError"), (SamePool(), "")],
    ids=["gone", "other", "same"],
)
async def test_a_connector_that_connects_differently_is_detected(pool: Any, told: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "_connector", pool)
            assert probe(session) == told


async def works_through_a_session(server: FaultServer, told: str) -> None:
    """Check that a client warns once, that all operations work, and that none is sent twice."""
    client = Client(TOKEN, base_url=server.base_url, retry=attempts(1))
    with pytest.warns(RuntimeWarning) as warned:
        await client.__aenter__()
    try:
        assert type(client._open_pipeline().transport) is SessionTransport
        for operation in (*READS.values(), *CONVERGENT_WITH_ANSWER.values(), CONFIG):
            assert await client.execute(operation) is not None
        server.script(applied(reset()))
        with pytest.raises(AmbiguousOutcomeError):
            await client.execute(CONFIG)
        server.script(ignored(reset()), applied(good()))
        with pytest.raises(AmbiguousOutcomeError):
            await client.execute(DELETE)
        await client.execute(DELETE)
    finally:
        await client.close()
    assert len(warned) == 1
    assert told in str(warned[0].message)
    methods = ["GET", "GET", "PATCH", "POST", "POST", "POST", "DELETE", "GET", "DELETE"]
    assert server.seen == methods


async def test_without_a_name_calls_go_through_a_session(lacking: str, server: FaultServer) -> None:
    await works_through_a_session(server, lacking)


async def test_with_another_interface_calls_go_through_a_session(
    changed: str, server: FaultServer
) -> None:
    await works_through_a_session(server, changed)
