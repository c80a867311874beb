"""The requests sent to the server: paths, headers, and never an unrequested second request."""

from typing import Any, ClassVar

import aiohttp
import attrs
import pytest
from yarl import URL

from enapter_async._http.wire import Wire
from enapter_async.client import Client
from enapter_async.errors import ConfigurationError, RedirectError
from enapter_async.operation import Answer, Operation, Repeat, RequestParts
from tests.support.kinds import each
from tests.support.replies import answer
from tests.support.rig import CONFIG, METHOD, TOKEN, UPDATE, WRITES, TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored

# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_aiohttp_alone_sends_the_token_to_the_redirect_target(
    status: int, server: FaultServer
) -> None:
    async with FaultServer() as evil:
        where = ("Location", f"{evil.base_url}/v3/devices/dev-1")
        server.always(ignored(answer(status, None, where)))
        headers = {"X-Enapter-Auth-Token": TOKEN}
        async with aiohttp.ClientSession(headers=headers) as session:
            await session.delete(f"{server.base_url}/v3/devices/dev-1")
        assert evil.arrivals[0].header("X-Enapter-Auth-Token") == TOKEN, (
            "this workaround is no longer needed"
        )


@pytest.mark.parametrize("status", [301, 307, 308])
@each("operation", {**WRITES, "config": CONFIG})
async def test_no_redirect_is_followed(
    transport: TransportKind, operation: Any, status: int, server: FaultServer
) -> None:
    async with FaultServer() as evil:
        where = ("Location", f"{evil.base_url}/v3/devices/dev-1")
        server.always(ignored(answer(status, None, where)))
        async with open_rig(transport, server) as rig:
            assert type(await rig.fails(operation)) is RedirectError
        assert evil.connections == []
    assert server.seen == [METHOD[operation]]


# Headers

ENDS_THE_LINE = {"cr": "tok\ren", "lf": "tok\nen", "crlf": "tok\r\nX-Evil: 1", "nul": "tok\0en"}
LET_THROUGH = {"accent": "tökén", "space-at-end": "token ", "empty": "", "tab": "tok\ten"}


@each("bad", ENDS_THE_LINE)
async def test_aiohttp_refuses_a_header_that_would_end_its_line(
    bad: str, server: FaultServer
) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="header") as caught:
            await session.get(server.base_url, headers={"X-Enapter-Auth-Token": bad})
    assert "tok" not in str(caught.value)
    assert server.arrivals == []


@each("bad", {**ENDS_THE_LINE, **LET_THROUGH})
@pytest.mark.parametrize("name", ["token", "user"])
def test_no_client_is_made_with_such_a_header(name: str, bad: str) -> None:
    settings: dict[str, Any] = {"token": TOKEN, name: bad}
    with pytest.raises(ConfigurationError) as caught:
        Client(**settings)
    assert "tok" not in str(caught.value).replace("token", "")


# Paths


@attrs.frozen(kw_only=True)
class Odd(Operation[None]):
    """Reads something whose name no device has."""

    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[None]] = Answer(type=None, confirms=True)

    segment: str
    asked: str = ""

    def request(self) -> RequestParts:
        query = (("a.b", self.asked),) if self.asked else ()
        return RequestParts(method="GET", path=("odd", self.segment, "end"), query=query)

    def result_of(self, state: Any) -> None:
        return None


# By RFC 3986, section 2, only the tilde of these may remain unescaped.
ESCAPED = {
    "slash": ("a/b", "a%2Fb"),
    "slashes": ("a/b/c", "a%2Fb%2Fc"),
    "parent": ("../sites", "..%2Fsites"),
    "escaped-dots": ("%2e%2e", "%252e%252e"),
    "query": ("a?x=1", "a%3Fx%3D1"),
    "fragment": ("a#f", "a%23f"),
    "newline": ("a\nb", "a%0Ab"),
    "crlf": ("a\r\nX: 1", "a%0D%0AX%3A%201"),
    "space": ("a b", "a%20b"),
    "plus": ("a+b", "a%2Bb"),
    "percent": ("100%", "100%25"),
    "semicolon": ("a;b", "a%3Bb"),
    "at": ("@a:b", "%40a%3Ab"),
    "backslash": ("..\\a", "..%5Ca"),
    "accent": ("é", "%C3%A9"),
    "tilde": ("a~b", "a~b"),
}


@each("segment", ESCAPED)
async def test_a_segment_is_encoded_the_same_over_either_transport(
    transport: TransportKind, segment: tuple[str, str], server: FaultServer
) -> None:
    text, expected = segment
    server.always(applied(answer(204)))
    address = f"{server.base_url}/api"
    async with open_rig(transport, server, base_url=address) as rig:
        await rig.run(Odd(segment=text))
    assert [arrival.target for arrival in server.arrivals] == [f"/api/v3/odd/{expected}/end"]


async def test_a_query_is_encoded_the_same_over_either_transport(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(answer(204)))
    async with open_rig(transport, server) as rig:
        await rig.run(Odd(segment="x", asked="one,two three&four=5#6+7%2C"))
    asked = "one,two%20three%26four%3D5%236%2B7%252C"
    assert [arrival.target for arrival in server.arrivals] == [f"/v3/odd/x/end?a.b={asked}"]


@pytest.mark.parametrize("segment", ["", ".", ".."])
async def test_a_segment_that_would_lead_elsewhere_is_refused(
    transport: TransportKind, segment: str, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        with pytest.raises(ConfigurationError):
            await rig.run(Odd(segment=segment))
    assert server.connections == []


def test_yarl_alone_treats_a_segment_as_a_path() -> None:
    assert URL("http://h/v3/devices/").join(URL("../sites/1")).path == "/v3/sites/1"
    assert URL("http://h/v3/devices/a#f").raw_path == "/v3/devices/a"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://api.example.test", "api.example.test"),
        ("https://api.example.test:443", "api.example.test"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080/api", "[::1]:8080"),
        ("https://wärme.example.test", "wärme".encode("idna").decode() + ".example.test"),
    ],
)
def test_the_host_is_named_as_http_wants_it(address: str, host: str) -> None:
    wire = Wire(URL(address), {}, secret=None, wall=float)
    assert wire.serialize(wire.message(UPDATE)).split(b"\r\n")[1] == f"Host: {host}".encode()
