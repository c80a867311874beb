"""Checks the path to the server step by step: name, connection, proxy tunnel, TLS.

Each step has a time limit, and sends only what is needed to connect.
"""

import asyncio
import base64
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from yarl import URL

from enapter_async._http.proxies import ENVIRONMENT, named_proxy, shown_proxy
from enapter_async._http.security import verification
from enapter_async.clock import Clock
from enapter_async.diagnosis.findings import (
    Finding,
    failed,
    judge_certificate,
    judge_handshake,
    judge_tunnel,
    ok,
    skipped,
    warning,
    worst,
)
from enapter_async.profiles.connection import Connection
from enapter_async.text import plain

_MOST_ADDRESSES: Final = 4
_LONGEST_HEAD: Final = 16 * 1024

Lookup = Callable[[str, int], list[Any]]


def system_lookup(host: str, port: int) -> list[Any]:
    """Resolve a name as the system does."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


@attrs.frozen(kw_only=True)
class Surroundings:
    """An examination's dependencies: environment, clock and resolver; tests can replace them.

    `seconds` is the time limit of each step.
    """

    seconds: float = 10.0
    environ: Mapping[str, str] = attrs.field(factory=lambda: os.environ, repr=False)
    clock: Clock = Clock()
    lookup: Lookup = system_lookup


@attrs.frozen(kw_only=True)
class Way:
    """The endpoint that a client connects to: the server itself, or a proxy for it."""

    base_url: URL
    proxy: URL | None = None

    @property
    def first(self) -> URL:
        """The URL to connect to first."""
        return self.base_url if self.proxy is None else self.proxy

    @property
    def place(self) -> tuple[str, int]:
        """The host and port to connect to."""
        return self.first.host or "", self.first.port or 0


async def look_up(way: Way, around: Surroundings) -> tuple[Finding, list[str]]:
    """Resolve the name of the host to connect to, and return its addresses too."""
    host, port = way.place
    if way.proxy is not None:
        advice = "Check the proxy's address for a typing error, and this machine's DNS."
    elif unused := _unused_proxy(way, around):
        advice = f"{unused} Otherwise check base_url for a typing error, and this machine's DNS."
    else:
        advice = "Check base_url for a typing error, and this machine's DNS."
    if host.endswith(".local"):
        advice += " A .local name needs mDNS, and a gateway in the same network."
    said = f"the name {host} was not resolved within {around.seconds:g} s"
    try:
        found = await _in_thread(lambda: around.lookup(host, port), around.seconds)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        if not isinstance(error, TimeoutError):
            said = f"the name {host} cannot be resolved: {plain(reason)}"
        return failed("name", said, advice), []
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    said = host if addresses == [host] else f"{host} is {', '.join(addresses)}"
    if way.proxy is not None:
        said += f"; this proxy resolves {way.base_url.host}"
    return ok("name", said), addresses


async def connect(addresses: list[str], way: Way, around: Surroundings) -> Finding:
    """Connect to at most four of the addresses over TCP."""
    host, port = way.place
    addresses = addresses[:_MOST_ADDRESSES]
    results = await asyncio.gather(*(_reach(each, port, around.seconds) for each in addresses))
    facts = {
        f"{address} port {port}": result or "connected"
        for address, result in zip(addresses, results, strict=True)
    }
    reached = results.count("")
    if reached == len(results):
        said = f"connected to port {port}" + (" of the proxy" if way.proxy is not None else "")
        return ok("connection", said, facts)
    if reached:
        said = f"port {port} answers at {reached} of {len(results)} addresses"
        advice = "Calls work, but may start late; check the route to the other addresses (IPv6?)."
        return warning("connection", said, advice, facts)
    if way.proxy is not None:
        advice = "Check the proxy's port, whether the proxy runs, and firewalls on the way."
    else:
        advice = "Check base_url's port, whether the server runs, and firewalls on the way."
        advice = " ".join(filter(None, (advice, _unused_proxy(way, around))))
    said = f"port {port} of {host} cannot be reached: {results[0]}"
    return failed("connection", said, advice, facts)


async def secure(
    way: Way, context: ssl.SSLContext | None, connection: Connection, around: Surroundings
) -> Finding:
    """Make a TLS connection as a client does, and check the certificate."""
    if way.base_url.scheme != "https":
        return skipped("tls", "base_url is http://, so nothing is encrypted")
    authority = connection.ca_file.value
    verifying = verification(way.base_url, context)
    if not isinstance(verifying, ssl.SSLContext):
        verifying = ssl.create_default_context()
    try:
        writer = await _secured(way, verifying, around.seconds)
    except _TunnelRefusedError as refused:
        return judge_tunnel(refused.status, str(refused), str(way.base_url.host))
    except (OSError, EOFError) as error:
        names = await _names(way, authority, around.seconds) if _is_mismatch(error) else ()
        own = None if authority is None else str(authority)
        return judge_handshake(error, own_authority=own, names=names)
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
        await _close(writer)
    troubled = [each for each in findings if each.health is worst(findings)]
    return troubled[0]


class _TunnelRefusedError(Exception):
    """A proxy answered CONNECT with a status other than 200; the text is the status line."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        words = line.split()
        self.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


async def _secured(way: Way, context: ssl.SSLContext, seconds: float) -> asyncio.StreamWriter:
    """Open a TLS connection to the server, through the proxy's tunnel if there is a proxy."""
    host, port = way.place
    async with asyncio.timeout(seconds):
        if way.proxy is None:
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
            return writer
        own = ssl.create_default_context() if way.proxy.scheme == "https" else None
        reader, writer = await asyncio.open_connection(host, port, ssl=own, limit=_LONGEST_HEAD)
        try:
            writer.write(_connect_request(way.base_url, way.proxy))
            await _tunnel_opened(reader)
            await writer.start_tls(context, server_hostname=way.base_url.host)
        except BaseException:
            writer.transport.abort()
            raise
        return writer


async def _tunnel_opened(reader: asyncio.StreamReader) -> None:
    """Wait until the proxy confirms that the tunnel is open; raise if it refuses."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _TunnelRefusedError("it does not respond like a proxy") from None
    line = head.partition(b"\r\n")[0].decode("latin-1")
    if line.split()[1:2] != ["200"]:
        raise _TunnelRefusedError(plain(line)[:120])


def _connect_request(base_url: URL, proxy: URL) -> bytes:
    target = f"{base_url.host_subcomponent}:{base_url.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user is not None:
        known = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {known}")
    return "\r\n".join((*lines, "", "")).encode()


def _is_mismatch(error: Exception) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in (62, 64)


async def _names(way: Way, authority: Any, seconds: float) -> tuple[str, ...]:
    """Return the names in a certificate, from a TLS handshake after which nothing is sent."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    try:
        writer = await _secured(way, context, seconds)
    except (OSError, EOFError, _TunnelRefusedError):
        return ()
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert()
    finally:
        await _close(writer)
    return tuple(plain(name) for _, name in certificate.get("subjectAltName", ()))


def _unused_proxy(way: Way, around: Surroundings) -> str:
    """Return advice about a proxy that the environment names but that no setting uses."""
    named = named_proxy(way.base_url, around.environ)
    if named is None:
        return ""
    return (
        f"{named[0]} is set, but is used only on request: set --proxy {ENVIRONMENT}, or "
        f'proxy = "{ENVIRONMENT}" in a profile.'
    )


def told_proxy(connection: Connection, way: Way, around: Surroundings) -> str:
    """Return the requested proxy and its source, without its password; "" if there is none."""
    asked = connection.proxy
    if asked.value is None:
        return ""
    if asked.value != ENVIRONMENT:
        return f"{shown_proxy(way.first)} ({asked.source})"
    named = named_proxy(way.base_url, around.environ)
    found = (
        "it names no proxy for this host" if named is None else f"{named[0]}: {way.first.origin()}"
    )
    return f"{ENVIRONMENT} ({asked.source}); {found}"


async def _reach(address: str, port: int, seconds: float) -> str:
    """Connect to one address; return the reason for a failure, or ""."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except OSError as error:
        return plain(os.strerror(error.errno) if error.errno else error)
    await _close(writer)
    return ""


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 1.0)


async def _in_thread(work: Callable[[], Any], seconds: float) -> Any:
    """Run blocking work in a thread, and wait at most `seconds` for it.

    The loop's default executor is not used: closing the loop would wait for the work to finish.
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
        except Exception as error:  # noqa: BLE001 - raised in the waiting task
            settle, value = done.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop may already be closed
            loop.call_soon_threadsafe(finish, settle, value)

    threading.Thread(target=run, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await done
