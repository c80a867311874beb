"""The checks themselves, from the nearest thing to the farthest; each is bounded in time.

What a later check needs and an earlier one found missing, is not tried. The two requests made
are reads of one page of devices; nothing is ever written.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import aiohttp
import attrs
from yarl import URL

from enapter_async._http.dates import http_date
from enapter_async._http.direct import probe
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.security import parse_base_url, verification
from enapter_async._http.transport import Timeouts
from enapter_async._version import __version__
from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.concealment import Secret
from enapter_async.diagnosis.findings import (
    Finding,
    Health,
    judge_certificate,
    judge_clock,
    judge_handshake,
    judge_refusal,
    judge_roles,
    worst,
)
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.logs import asked_for
from enapter_async.operations.device_arguments import LARGEST_PAGE
from enapter_async.operations.devices import ListDevices
from enapter_async.profiles.connection import Connection
from enapter_async.text import plain

_NEEDED: Final = ("aiohttp", "attrs", "cattrs", "tenacity", "yarl")
_FASTER: Final = ("orjson", "uvloop")
_MOST_ADDRESSES: Final = 4
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")
_NEXT: Final = {
    "name": ("connection", "tls", "token", "role", "clock"),
    "connection": ("tls", "token", "role", "clock"),
    "tls": ("token", "role", "clock"),
    "token": ("role", "clock"),
}

Lookup = Callable[[str, int], list[Any]]


def system_lookup(host: str, port: int) -> list[Any]:
    """Resolve a name as the system does."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


@attrs.frozen(kw_only=True)
class Surroundings:
    """Where an examination looks: the environment, the clock and the resolver; for tests.

    `seconds` bounds each step.
    """

    seconds: float = 10.0
    environ: Mapping[str, str] = attrs.field(factory=lambda: os.environ, repr=False)
    clock: Clock = Clock()
    lookup: Lookup = system_lookup


async def examine(
    connection: Connection, around: Surroundings = Surroundings()
) -> AsyncIterator[Finding]:
    """Check one thing after the other, and give what was found as it is found.

    The token is read, which may run the command that the profile names.
    """
    yield await look_at_versions()
    token_known = connection.token is None
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            base_url = parse_base_url(
                connection.base_url.value,
                allow_insecure_http=connection.allow_insecure_http.value,
            )
            context = connection.ssl_context()
            text = "" if connection.token is None else connection.token.value()
            token, text = Secret(text) if text else None, ""
            token_known = True
            client = _client(connection, token, context, around)
    except ConfigurationError as error:
        yield attrs.evolve(
            _settings(connection, [], token_known=token_known),
            health=Health.FAILED,
            said=plain(error),
            advice="Nothing else can be checked before that is mended.",
        )
        return
    yield _settings(connection, [str(each.message) for each in caught])
    finding, addresses = await look_up(base_url, around)
    yield finding
    if finding.health is not Health.FAILED:
        finding = await connect(addresses, base_url, around)
        yield finding
    if finding.health is not Health.FAILED:
        finding = await secure(base_url, context, connection, around)
        yield finding
    if finding.health is Health.FAILED:
        for name in _NEXT[finding.check]:
            yield _skipped(name, f"not tried, as the check of {finding.check} failed")
        return
    async for finding in _ask(client, connection, base_url, around):
        yield finding


async def look_at_versions() -> Finding:
    """Say what the package runs on, and whether it can use its fast and exact way."""
    facts = {"python": ".".join(map(str, sys.version_info[:3])), "enapter-async": __version__}
    for name in (*_NEEDED, *_FASTER):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    async with aiohttp.ClientSession() as session:
        missing = probe(session)
    if missing:
        return Finding(
            check="versions",
            health=Health.WARNING,
            said=f"aiohttp {aiohttp.__version__} is not one that this release knows ({missing}): "
            "calls go through ClientSession.request, slower and less exact",
            advice="Upgrade enapter-async, or install the aiohttp that it asks for.",
            facts=facts,
        )
    said = f"enapter-async {__version__} with aiohttp {aiohttp.__version__}, direct transport"
    return Finding(check="versions", health=Health.OK, said=said, facts=facts)


async def look_up(base_url: URL, around: Surroundings) -> tuple[Finding, list[str]]:
    """Resolve the host's name, and give its addresses too."""
    host, port = base_url.host or "", base_url.port or 0
    advice = "Look at base_url for a typing error, and at this machine's DNS."
    if host.endswith(".local"):
        advice += " A name in .local needs mDNS, and the gateway in the same network."
    said = f"the name {host} was not resolved within {around.seconds:g} s"
    try:
        found = await _in_thread(lambda: around.lookup(host, port), around.seconds)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        if not isinstance(error, TimeoutError):
            said = f"the name {host} cannot be resolved: {plain(reason)}"
        return Finding(check="name", health=Health.FAILED, said=said, advice=advice), []
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    said = host if addresses == [host] else f"{host} is {', '.join(addresses)}"
    return Finding(check="name", health=Health.OK, said=said), addresses


async def connect(addresses: list[str], base_url: URL, around: Surroundings) -> Finding:
    """Connect by TCP to each address of the host, to four at most."""
    host, port = base_url.host or "", base_url.port or 0
    addresses = addresses[:_MOST_ADDRESSES]
    results = await asyncio.gather(*(_reach(each, port, around.seconds) for each in addresses))
    facts = {
        f"{address} port {port}": result or "connected"
        for address, result in zip(addresses, results, strict=True)
    }
    reached = results.count("")
    if reached == len(results):
        said = f"connected to port {port}"
        return Finding(check="connection", health=Health.OK, said=said, facts=facts)
    if reached:
        return Finding(
            check="connection",
            health=Health.WARNING,
            said=f"port {port} answers at {reached} of {len(results)} addresses",
            advice="Calls work, and may begin late; look at the route to the others (IPv6?).",
            facts=facts,
        )
    advice = "Look at base_url's port, at whether the server runs, and at firewalls on the way."
    proxies = [name for name in _PROXIES if around.environ.get(name)]
    if proxies:
        advice += f" {proxies[0]} is set, and is not used: a proxy needs a session of your own."
    return Finding(
        check="connection",
        health=Health.FAILED,
        said=f"port {port} of {host} cannot be reached: {results[0]}",
        advice=advice,
        facts=facts,
    )


async def secure(
    base_url: URL, context: ssl.SSLContext | None, connection: Connection, around: Surroundings
) -> Finding:
    """Make a TLS connection as a client does, and look at the certificate."""
    if base_url.scheme != "https":
        return _skipped("tls", "base_url is http://, so nothing is encrypted")
    authority = connection.ca_file.value
    verifying = verification(base_url, context)
    if not isinstance(verifying, ssl.SSLContext):
        verifying = ssl.create_default_context()
    try:
        async with asyncio.timeout(around.seconds):
            _, writer = await asyncio.open_connection(
                base_url.host, base_url.port, ssl=verifying, server_hostname=base_url.host
            )
    except (OSError, EOFError) as error:
        return judge_handshake(error, own_authority=None if authority is None else str(authority))
    try:
        secured = writer.get_extra_info("ssl_object")
        facts = {
            "protocol": secured.version() or "",
            "authorities": "the system's" if authority is None else f"{authority} alone",
        }
        now = around.clock.wall()
        findings = [
            judge_certificate(secured.getpeercert(), now, facts, what="the server's certificate")
        ]
        if authority is not None:
            findings += [
                judge_certificate(each, now, facts, what=f"the authority in {authority}")
                for each in verifying.get_ca_certs()
            ]
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1.0)
    troubled = [each for each in findings if each.health is worst(findings)]
    return troubled[0]


async def _ask(
    client: Client, connection: Connection, base_url: URL, around: Surroundings
) -> AsyncIterator[Finding]:
    """Read one device, and then one page of them; hold the clocks against one another."""
    if connection.token is None:
        yield Finding(
            check="token",
            health=Health.FAILED,
            said="there is no token",
            advice="Set ENAPTER_HTTP_API_TOKEN, give --token-file, or name one in a profile.",
        )
        yield _skipped("role", "not tried without a token")
    else:
        async with client:
            try:
                await client.execute(ListDevices(limit=1))
            except EnapterError as error:
                finding = judge_refusal(error, token_source=connection.token.source)
                yield finding
                yield _skipped("role", f"not tried, as the check of {finding.check} failed")
            else:
                said = "the token is accepted"
                yield Finding(
                    check="token",
                    health=Health.OK,
                    said=said,
                    facts={"token from": connection.token.source},
                )
                try:
                    yield judge_roles(await client.execute(ListDevices(limit=LARGEST_PAGE)))
                except EnapterError as error:
                    refused = judge_refusal(error, token_source=connection.token.source)
                    yield attrs.evolve(refused, check="role")
    yield await _compare_clocks(base_url, connection, around)


async def _compare_clocks(base_url: URL, connection: Connection, around: Surroundings) -> Finding:
    """Ask for the API's root without a token, for any answer tells the server's time."""
    timeout = aiohttp.ClientTimeout(total=around.seconds)
    verifying = verification(base_url, connection.ssl_context())
    moment: float | None = None
    before = around.clock.wall()
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as session,
            session.head(base_url / "v3", ssl=verifying, allow_redirects=False) as answer,
        ):
            moment = http_date(answer.headers.get("Date", ""))
    return judge_clock(moment, before, around.clock.wall())


def _client(
    connection: Connection,
    token: Secret | None,
    context: ssl.SSLContext | None,
    around: Surroundings,
) -> Client:
    return Client(
        None if token is None else token.reveal(),
        base_url=connection.base_url.value,
        user=connection.user.value,
        retry=RetryPolicy(attempts=1, deadline=around.seconds),
        timeouts=Timeouts(connect=around.seconds, read=around.seconds),
        hooks=asked_for(around.environ),
        ssl_context=context,
        allow_insecure_http=connection.allow_insecure_http.value,
        clock=around.clock,
    )


def _settings(connection: Connection, told: list[str], *, token_known: bool = True) -> Finding:
    """Say what holds, and where each setting came from."""
    settings = {
        "base_url": connection.base_url,
        "user": connection.user,
        "ca_file": connection.ca_file,
        "allow_insecure_http": connection.allow_insecure_http,
    }
    facts = {
        name: plain(f"{setting.value} ({setting.source})")
        for name, setting in settings.items()
        if setting.source != "default" or name == "base_url"
    }
    token = connection.token
    state = "set" if token_known else "not read"
    facts["token"] = "none" if token is None else plain(f"{state} ({token.source})")
    profile = connection.profile
    facts["profile"] = "none" if profile is None else plain(f"{profile.name} ({profile.path})")
    trouble = [connection.mixed] if connection.mixed else []
    trouble += list(dict.fromkeys(told))
    said = f"the API is at {plain(connection.base_url.value)}"
    if not trouble:
        return Finding(check="configuration", health=Health.OK, said=said, facts=facts)
    return Finding(
        check="configuration",
        health=Health.WARNING,
        said=plain("; ".join(trouble)),
        advice="Each setting is told with where it comes from; see whether that is meant.",
        facts=facts,
    )


async def _reach(address: str, port: int, seconds: float) -> str:
    """Connect to one address; say why it cannot be, or nothing where it can."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except OSError as error:
        return plain(os.strerror(error.errno) if error.errno else error)
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 1.0)
    return ""


async def _in_thread(work: Callable[[], Any], seconds: float) -> Any:
    """Do something that blocks, and wait no longer than so many seconds for it.

    The loop's own executor would be waited for at the end, however long the work takes.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def finish(settle: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            settle(value)

    def run() -> None:
        settle: Callable[[Any], None] = done.set_result
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            settle, value = done.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop may be closed by then
            loop.call_soon_threadsafe(finish, settle, value)

    threading.Thread(target=run, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await done


def _skipped(check: str, said: str) -> Finding:
    return Finding(check=check, health=Health.SKIPPED, said=said)
