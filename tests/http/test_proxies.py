"""A client's own proxy: by its address, or from the environment if that is requested."""

import base64
from collections.abc import Mapping

import pytest
from yarl import URL

from enapter_async._http.proxies import named_proxy
from enapter_async.client import Client
from enapter_async.errors import ConfigurationError, HostDownError, ProxyError, TLSError
from tests.support.kinds import each
from tests.support.proxies import Proxy
from tests.support.rig import CONFIG, TOKEN, UPDATE, attempts
from tests.support.server import FaultServer
from tests.support.tls import Certificates


async def test_calls_go_through_the_tunnel_of_a_proxy(certificates: Certificates) -> None:
    context = certificates.server(names="DNS:gateway.invalid")
    async with FaultServer(ssl_context=context) as server, Proxy(server.port) as proxy:
        client = Client(
            TOKEN,
            base_url="https://gateway.invalid",
            proxy=proxy.url,
            ssl_context=certificates.trusting(),
        )
        async with client:
            assert (await client.execute(UPDATE)).id == "dev-1"
            assert (await client.execute(CONFIG)).mqtt_host
    assert server.seen == ["PATCH", "POST"]
    assert proxy.asked == ["CONNECT gateway.invalid:443 HTTP/1.1"]


async def test_a_password_goes_to_the_proxy_and_nowhere_else(server: FaultServer) -> None:
    async with Proxy(server.port) as proxy:
        address = URL(proxy.url).with_user("me").with_password("hunter2")
        client = Client(TOKEN, base_url=server.base_url, proxy=address)
        assert "hunter2" not in f"{client!r} {vars(client)}"
        async with client:
            await client.execute(UPDATE)
    expected = "Basic " + base64.b64encode(b"me:hunter2").decode()
    assert proxy.heads[0].count(f"Proxy-Authorization: {expected}") == 1
    assert server.arrivals[0].header("Authorization") is None


async def test_the_obstacle_to_a_host_is_named(certificates: Certificates) -> None:
    context = certificates.server(names="DNS:other.invalid")
    async with FaultServer(ssl_context=context) as server, Proxy(server.port) as proxy:
        address = proxy.url

        async def told(**options: object) -> Exception:
            base_url = "https://gateway.invalid"
            settings = {"proxy": address, "ssl_context": certificates.trusting(), **options}
            client = Client(TOKEN, base_url=base_url, retry=attempts(1), **settings)  # type: ignore[arg-type]  # of several kinds
            async with client:
                with pytest.raises((HostDownError, TLSError, ProxyError)) as caught:
                    await client.execute(UPDATE)
            return caught.value

        assert str(await told()).startswith("the certificate of gateway.invalid was refused: Host")
        proxy.refusal = "407 Proxy Authentication Required"
        assert "HTTP 407" in str(await told())
        named = await told(proxy="http://proxy.invalid:3128")
        assert str(named) == "the name proxy.invalid could not be resolved"
        assert str(await told(proxy=None)) == "the name gateway.invalid could not be resolved"
    refused = str(await told(proxy=address))
    assert refused.startswith(f"no connection to the proxy {URL(address).authority} could be")


WRONG = {
    "socks": ("socks5://proxy.example", "SOCKS"),
    "no-scheme": ("proxy.example:3128", "must be a URL such as http://"),
    "a-word": ("env", "'environment'"),
    "path": ("http://proxy.example/path", "no path"),
    "port": ("http://proxy.example:x", "must be a URL such as"),
}


@each("wrong", WRONG)
def test_an_invalid_proxy_is_refused(wrong: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=wrong[1]):
        Client(TOKEN, proxy=wrong[0])


def test_an_error_about_a_proxy_shows_no_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(TOKEN, proxy="http://me:hunter2@proxy.example/path")
    assert "hunter2" not in str(caught.value)


API = URL("https://api.enapter.com")
GATEWAY = URL("http://gateway.example:8080/api")
ENVIRONMENTS: dict[str, tuple[Mapping[str, str], URL, str | None]] = {
    "none": ({}, API, None),
    "by-scheme": ({"HTTPS_PROXY": "a", "HTTP_PROXY": "b"}, API, "HTTPS_PROXY"),
    "small-letters-win": ({"HTTPS_PROXY": "a", "https_proxy": "b"}, API, "https_proxy"),
    "for-all": ({"ALL_PROXY": "a", "HTTP_PROXY": "b"}, API, "ALL_PROXY"),
    "an-empty-one-is-none": ({"HTTPS_PROXY": "", "all_proxy": "b"}, API, "all_proxy"),
    "not-for-this-host": ({"HTTPS_PROXY": "a", "NO_PROXY": "x.example,.enapter.com"}, API, None),
    "for-no-host": ({"HTTPS_PROXY": "a", "no_proxy": "*"}, API, None),
    "not-for-this-port": ({"HTTP_PROXY": "a", "NO_PROXY": "gateway.example:8080"}, GATEWAY, None),
    "in-a-cgi-program": ({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, GATEWAY, None),
}


@each("environment", ENVIRONMENTS)
def test_the_environments_proxy_is_found_as_curl_finds_it(
    environment: tuple[Mapping[str, str], URL, str | None],
) -> None:
    environ, base_url, name = environment
    found = named_proxy(base_url, environ)
    assert (None if found is None else found[0]) == name


async def test_the_environments_proxy_is_used_on_request(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(server.port) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removeprefix("http://"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with Client(TOKEN, base_url=server.base_url) as client:
            await client.execute(UPDATE)
        assert proxy.asked == []
        asked = {"ENAPTER_HTTP_API_TOKEN": TOKEN, "ENAPTER_HTTP_API_PROXY": "environment"}
        async with Client.from_env(asked, base_url=server.base_url) as client:
            await client.execute(UPDATE)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("http_proxy", "socks5://proxy.example")
        with pytest.raises(ConfigurationError, match="http_proxy is a SOCKS proxy"):
            Client.from_env(asked, base_url=server.base_url)
