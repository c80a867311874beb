"""Runs the checks in order, from this machine to the API; each check has a time limit.

If a check fails, the checks that depend on it are skipped. The API is only read (at most two
pages of devices and a HEAD request); nothing is ever written.
"""

import contextlib
import ssl
import sys
import warnings
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import aiohttp
import attrs
from yarl import URL

from enapter_async._http.dates import http_date
from enapter_async._http.direct import probe
from enapter_async._http.proxies import chosen_proxy
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.security import parse_base_url, verification
from enapter_async._http.transport import Timeouts
from enapter_async._version import __version__
from enapter_async.client import Client
from enapter_async.concealment import Secret
from enapter_async.diagnosis.findings import (
    Finding,
    Health,
    failed,
    judge_clock,
    judge_refusal,
    judge_roles,
    ok,
    skipped,
    warning,
)
from enapter_async.diagnosis.network import (
    Surroundings,
    Way,
    connect,
    look_up,
    secure,
    told_proxy,
)
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.logs import asked_for
from enapter_async.operations.devices import ListDevices
from enapter_async.operations.pages import LARGEST_PAGE
from enapter_async.profiles.connection import Connection
from enapter_async.text import plain

_NEEDED: Final = ("aiohttp", "attrs", "cattrs", "tenacity", "yarl")
_FASTER: Final = ("orjson", "uvloop")
_NEXT: Final = {
    "name": ("connection", "tls", "token", "role", "clock"),
    "connection": ("tls", "token", "role", "clock"),
    "tls": ("token", "role", "clock"),
    "token": ("role", "clock"),
}


async def examine(
    connection: Connection, around: Surroundings = Surroundings()
) -> AsyncIterator[Finding]:
    """Run the checks one after another, and yield each finding as soon as it is available.

    Reads the token, which may run the profile's `token_command`.
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
            asked = connection.proxy.value
            proxy = None if asked is None else chosen_proxy(asked, base_url, around.environ)
            way = Way(base_url=base_url, proxy=proxy)
            text = "" if connection.token is None else connection.token.value()
            token, text = Secret(text) if text else None, ""
            token_known = True
            client = _client(connection, proxy, token, context, around)
    except ConfigurationError as error:
        yield attrs.evolve(
            _settings(connection, [], token_known=token_known),
            health=Health.FAILED,
            said=plain(error),
            advice="Fix this first: the remaining checks depend on it.",
        )
        return
    yield _settings(
        connection,
        [str(each.message) for each in caught],
        proxy=told_proxy(connection, way, around),
    )
    finding, addresses = await look_up(way, around)
    yield finding
    if finding.health is not Health.FAILED:
        finding = await connect(addresses, way, around)
        yield finding
    if finding.health is not Health.FAILED:
        finding = await secure(way, context, connection, around)
        yield finding
    if finding.health is Health.FAILED:
        for name in _NEXT[finding.check]:
            yield skipped(name, f"not tried, because the check of {finding.check} failed")
        return
    async for finding in _ask(client, connection, way, around):
        yield finding


async def look_at_versions() -> Finding:
    """Report the versions in use, and whether they allow the faster, more exact transport."""
    facts = {"python": ".".join(map(str, sys.version_info[:3])), "enapter-async": __version__}
    for name in (*_NEEDED, *_FASTER):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    async with aiohttp.ClientSession() as session:
        missing = probe(session)
    if missing:
        said = (
            f"aiohttp {aiohttp.__version__} is not supported directly by this release "
            f"({missing}): calls go through ClientSession.request, more slowly and less exactly"
        )
        advice = "Upgrade enapter-async, or install the version of aiohttp that it requires."
        return warning("versions", said, advice, facts)
    said = f"enapter-async {__version__} with aiohttp {aiohttp.__version__}, direct transport"
    return ok("versions", said, facts)


async def _ask(
    client: Client, connection: Connection, way: Way, around: Surroundings
) -> AsyncIterator[Finding]:
    """Read one device, then a page of devices; then compare the clocks."""
    if connection.token is None:
        advice = "Set ENAPTER_HTTP_API_TOKEN, use --token-file, or set a token in a profile."
        yield failed("token", "there is no token", advice)
        yield skipped("role", "not tried without a token")
    else:
        async with client:
            try:
                await client.execute(ListDevices(limit=1))
            except EnapterError as error:
                finding = judge_refusal(error, token_source=connection.token.source)
                yield finding
                yield skipped("role", f"not tried, because the check of {finding.check} failed")
            else:
                facts = {"token from": connection.token.source}
                yield ok("token", "the token is accepted", facts)
                try:
                    yield judge_roles(await client.execute(ListDevices(limit=LARGEST_PAGE)))
                except EnapterError as error:
                    refused = judge_refusal(error, token_source=connection.token.source)
                    yield attrs.evolve(refused, check="role")
    yield await _compare_clocks(way, connection, around)


async def _compare_clocks(way: Way, connection: Connection, around: Surroundings) -> Finding:
    """Request the API's root without a token, since any response carries the server's time."""
    timeout = aiohttp.ClientTimeout(total=around.seconds)
    verifying = verification(way.base_url, connection.ssl_context())
    moment: float | None = None
    before = around.clock.wall()
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with (
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout, proxy=way.proxy
            ) as session,
            session.head(way.base_url / "v3", ssl=verifying, allow_redirects=False) as answer,
        ):
            moment = http_date(answer.headers.get("Date", ""))
    return judge_clock(moment, before, around.clock.wall())


def _client(
    connection: Connection,
    proxy: URL | None,
    token: Secret | None,
    context: ssl.SSLContext | None,
    around: Surroundings,
) -> Client:
    return Client(
        None if token is None else token.reveal(),
        base_url=connection.base_url.value,
        user=connection.user.value,
        proxy=proxy,
        retry=RetryPolicy(attempts=1, deadline=around.seconds),
        timeouts=Timeouts(connect=around.seconds, read=around.seconds),
        hooks=asked_for(around.environ),
        ssl_context=context,
        allow_insecure_http=connection.allow_insecure_http.value,
        clock=around.clock,
    )


def _settings(
    connection: Connection, told: list[str], *, token_known: bool = True, proxy: str = ""
) -> Finding:
    """Report the settings in effect, and the source of each."""
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
    if proxy:
        facts["proxy"] = plain(proxy)
    token = connection.token
    state = "set" if token_known else "not read"
    facts["token"] = "none" if token is None else plain(f"{state} ({token.source})")
    profile = connection.profile
    facts["profile"] = "none" if profile is None else plain(f"{profile.name} ({profile.path})")
    trouble = [connection.mixed] if connection.mixed else []
    trouble += list(dict.fromkeys(told))
    said = f"the API is at {plain(connection.base_url.value)}"
    if not trouble:
        return ok("configuration", said, facts)
    advice = "Each setting is listed with its source; check that both are intended."
    return warning("configuration", plain("; ".join(trouble)), advice, facts)
