"""What `doctor` reports if a proxy is used, or should be."""

import attrs
import pytest

from enapter_async.diagnosis.findings import Health
from enapter_async.diagnosis.network import Surroundings
from enapter_async.profiles.connection import Connection, Setting
from tests.diagnosis.test_examination import ALL_WELL, CALM, after, found, healths, to
from tests.support.proxies import Proxy
from tests.support.server import FaultServer
from tests.support.tls import Certificates

GATEWAY = "https://gateway.invalid"


def through(connection: Connection, proxy: str) -> Connection:
    return attrs.evolve(connection, proxy=Setting(proxy, "option --proxy"))


async def test_all_is_well_through_a_proxy(certificates: Certificates) -> None:
    context = certificates.server(names="DNS:gateway.invalid")
    async with FaultServer(ssl_context=context) as server, Proxy(server.port) as proxy:
        connection = through(to(GATEWAY, ca_file=certificates.folder / "ca.pem"), proxy.url)
        findings = await found(connection)
    well = {**ALL_WELL, "tls": "warning", "role": "warning", "clock": "skipped"}
    assert {**healths(findings), "role": "warning"} == well
    assert findings["configuration"].facts["proxy"].endswith("(option --proxy)")
    assert findings["name"].said.endswith("this proxy resolves gateway.invalid")
    assert "of the proxy" in findings["connection"].said
    assert findings["tls"].facts["names"] == "gateway.invalid"
    assert set(proxy.asked) == {"CONNECT gateway.invalid:443 HTTP/1.1"}


REFUSALS = {
    "407 Proxy Authentication Required": "Put the user and password",
    "403 Forbidden": "may not allow that host",
    "502 Bad Gateway": "cannot reach that host",
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusing_proxy_is_quoted(refusal: str) -> None:
    async with Proxy(refusal=refusal) as proxy:
        address = proxy.url.replace("http://", "http://me:hunter2@")
        findings = await found(through(to(GATEWAY), address))
    assert healths(findings) == after("tls")
    assert refusal in findings["tls"].said
    assert REFUSALS[refusal] in findings["tls"].advice
    assert "hunter2" not in repr(findings)
    assert "Basic" in proxy.heads[0]


async def test_an_unused_proxy_variable_is_named_before_dns() -> None:
    around = attrs.evolve(CALM, environ={"HTTPS_PROXY": "http://127.0.0.1:9"})
    findings = await found(to(GATEWAY), around)
    assert healths(findings) == after("name")
    advice = findings["name"].advice
    assert advice.startswith("HTTPS_PROXY is set, but is used only on request")
    assert "--proxy environment" in advice


async def test_the_environments_proxy_is_used_on_request() -> None:
    around = Surroundings(seconds=5.0, environ={"HTTPS_PROXY": "http://127.0.0.1:9"})
    findings = await found(through(to(GATEWAY), "environment"), around)
    assert healths(findings) == after("connection")
    assert findings["configuration"].facts["proxy"] == (
        "environment (option --proxy); HTTPS_PROXY: http://127.0.0.1:9"
    )
    assert "Check the proxy's port" in findings["connection"].advice
    alone = attrs.evolve(around, environ={"HTTPS_PROXY": "x", "NO_PROXY": ".invalid"})
    findings = await found(through(to(GATEWAY), "environment"), alone)
    assert "names no proxy for this host" in findings["configuration"].facts["proxy"]
    assert findings["name"].health is Health.FAILED


async def test_an_invalid_proxy_is_a_wrong_configuration() -> None:
    findings = await found(through(to(GATEWAY), "socks5://127.0.0.1"))
    assert findings["configuration"].health is Health.FAILED
    assert "SOCKS" in findings["configuration"].said
