"""The engine of an open client: session, transport, and the state shared by its calls."""

import asyncio
import contextlib
import os
import ssl
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import aiohttp
import attrs
from yarl import URL

from enapter_async._http.direct import DirectTransport, probe
from enapter_async._http.evidence import Evidence
from enapter_async._http.headers import ExtraHeaders, make_wire
from enapter_async._http.keyed_lock import KeyedLock
from enapter_async._http.pipeline import Pipeline
from enapter_async._http.renewal import AskedToken
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.security import (
    check_connector,
    check_session,
    verification,
    warn_caller,
)
from enapter_async._http.session import SessionTransport
from enapter_async._http.socket import Sockets
from enapter_async._http.streaming import Stream, Streams
from enapter_async._http.transport import Timeouts, Transport
from enapter_async._http.wire import Wire
from enapter_async.clock import Clock
from enapter_async.concealment import Secret
from enapter_async.errors import ConfigurationError
from enapter_async.hooks import Hook
from enapter_async.limits.limiter import AdaptiveLimiter, Limiter
from enapter_async.limits.pacing import Pacing
from enapter_async.streaming import StreamedOperation

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Settings:
    """The checked settings of a client."""

    base_url: URL
    token: Secret | None
    user: str | None
    retry: RetryPolicy
    timeouts: Timeouts
    pacing: Pacing
    limiter: Limiter | None
    hooks: tuple[Hook, ...]
    extra_headers: ExtraHeaders | None
    ssl_context: ssl.SSLContext | None
    session: aiohttp.ClientSession | None
    proxy: Secret | None
    allow_insecure_http: bool
    clock: Clock


class Engine:
    """The session, the transport and the state that the calls of an open client share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipeline: Pipeline | None = None
        self._streams: Streams | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sockets: Sockets | None = None
        self._asked = settings.token if isinstance(settings.token, AskedToken) else None
        self._own_limiter = AdaptiveLimiter(settings.pacing, settings.clock)
        self.limiter: Limiter = settings.limiter or self._own_limiter
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = 0
        self.state = "not open"

    async def open(self) -> None:
        """Create session and transport for the running loop and this process."""
        self._check_not_opened()
        if self._asked is not None:
            await self._asked.obtain()
            self._check_not_opened()
        settings = self._settings
        wire = make_wire(
            settings.base_url,
            settings.token,
            settings.user,
            extra=settings.extra_headers,
            wall=settings.clock.wall,
        )
        tls = verification(settings.base_url, settings.ssl_context)
        transport = self._make_transport(wire, tls)
        session = settings.session or self._session
        if session is not None:
            most = settings.pacing.max_streams
            self._streams = Streams(session, wire, tls, most=most)
        self._pipeline = Pipeline(
            transport=transport,
            wire=wire,
            limiter=self.limiter,
            turns=KeyedLock(),
            policy=settings.retry,
            timeouts=settings.timeouts,
            hooks=settings.hooks,
            clock=settings.clock,
            evidence=Evidence(),
            token=self._asked,
        )
        self._sockets = Sockets(
            wire,
            tls,
            timeouts=settings.timeouts,
            shared=settings.session,
            proxy=settings.proxy,
            renew=None if self._asked is None else self._asked.renew,
        )
        if self._asked is not None:
            self._asked.follow(self._renew)
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.state = "open"
        _OPENED.add(self)

    def pipeline(self) -> Pipeline:
        """Return the pipeline, or raise a clear error if it cannot be used here."""
        if self._pipeline is None or self.state != "open":
            raise ConfigurationError(
                f"this client is {self.state}: use `async with Client(…) as client`"
            )
        # A thread runs one loop at a time. Python 3.11 asks the kernel for the process id on
        # every lookup of the running loop; this check avoids that, as `_disown_all` handles forks.
        loop = self.loop
        if loop is None or self.thread != threading.get_ident() or not loop.is_running():
            self._check_loop()
        return self._pipeline

    def sockets(self) -> Sockets:
        """Return the websockets of the client, or raise as `pipeline` does."""
        self.pipeline()
        assert self._sockets is not None  # noqa: S101 - an open engine has them
        return self._sockets

    def streams(
        self, pipeline: Pipeline, operations: Sequence[StreamedOperation[T]]
    ) -> contextlib.AbstractAsyncContextManager[tuple[Stream[T], ...]]:
        """Return a context in which streamed answers are open."""
        if self._streams is None:
            raise ConfigurationError(f"this client is {self.state}")
        return self._streams.open(pipeline, operations)

    def _check_loop(self) -> None:
        """Raise if the loop or the process is not that of `open`; the thread may be another."""
        if self.loop is None:
            where = "in another process; open a new one after a fork"
            raise ConfigurationError(f"this client was opened {where}")
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if not here:
            where = "on another event loop; open one client on each loop"
            raise ConfigurationError(f"this client was opened {where}")
        self.thread = threading.get_ident()

    async def close(self) -> None:
        """Close everything that `open` opened, once."""
        if self.state == "open" and self._pipeline is not None:
            self.state = "closed"
            if self._asked is not None:
                self._asked.stop()
            if self._sockets is not None:
                await self._sockets.close()
            self._pipeline.transport.close()
            if self._streams is not None:
                self._streams.close()
            await self._own_limiter.close()
            if self._session is not None:
                await self._session.close()

    def _check_not_opened(self) -> None:
        if self.state != "not open":
            raise ConfigurationError(f"this client is {self.state}; create a new one instead")

    def _renew(self, token: str) -> None:
        if self._pipeline is not None:
            self._pipeline.wire.renew(token)
            self._pipeline.transport.take_headers()

    def _make_transport(self, wire: Wire, tls: Any) -> Transport:
        settings = self._settings
        if settings.session is not None:
            check_session(settings.session)
            if settings.ssl_context is None:
                check_connector(settings.session, settings.base_url)
            return SessionTransport(settings.session, wire, tls)
        most = settings.pacing.max_in_flight + settings.pacing.max_streams
        session = self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            proxy=None if settings.proxy is None else settings.proxy.reveal(),
        )
        if settings.proxy is not None:
            return SessionTransport(session, wire, tls, own=True)
        missing = probe(session)
        if not missing:
            return DirectTransport(session, wire, tls)
        warn_caller(
            f"aiohttp {aiohttp.__version__} is not supported directly by this release ({missing}): "
            f"calls go through ClientSession.request, which is slower and less exact",
            RuntimeWarning,
        )
        return SessionTransport(session, wire, tls, own=True)


_OPENED: Final[weakref.WeakSet[Engine]] = weakref.WeakSet()


def _disown_all() -> None:
    for engine in _OPENED:
        engine.loop = None  # or two processes would use one connection


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
