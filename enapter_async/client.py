"""The client: configuration, one HTTP session, and the groups of API methods."""

import asyncio
import hmac
import os
import ssl
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import NoneType
from typing import Any, Self, TypeVar

import aiohttp
import attrs
from yarl import URL

from enapter_async._http.call import CallRecord
from enapter_async._http.engine import Engine, Settings
from enapter_async._http.headers import ExtraHeaders
from enapter_async._http.pipeline import Pipeline
from enapter_async._http.proxies import chosen_proxy
from enapter_async._http.renewal import AskedToken, TokenFunction
from enapter_async._http.response import Response, respond
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.security import (
    check_header_value,
    check_ssl_context,
    parse_base_url,
)
from enapter_async._http.socket import Sockets
from enapter_async._http.streaming import Stream
from enapter_async._http.transport import Timeouts
from enapter_async.api.devices import Devices
from enapter_async.api.nouns import Nouns, without_nouns
from enapter_async.clock import Clock
from enapter_async.concealment import Secret, concealing
from enapter_async.environment import DEFAULT_BASE_URL, ENVIRONMENT
from enapter_async.errors import ConfigurationError
from enapter_async.hooks import Hook
from enapter_async.limits.limiter import Limiter
from enapter_async.limits.pacing import Pacing
from enapter_async.logs import asked_for
from enapter_async.operation import Operation
from enapter_async.streaming import StreamedOperation

T = TypeVar("T")


class Client(Nouns):
    """A client of the Enapter API that reports exactly what happened to each device.

    ::

        async with Client(token="…") as client:
            device = await client.devices.update("dev-1", name="Hydrogen detector")

    Args:
        token: The access token, or a function, plain or async, that returns it. A function is
            called when the client is opened, and again after a 401; the call then continues with
            the new token, which must belong to the same user. A plain function runs on the event
            loop, so it must not block. The environment is read only by `from_env`.
        base_url: The address of the API, with or without `/v3` or `/` at its end. For a gateway
            it is `http://enapter-gateway.local/api`.
        user: The user to act as, if the server allows it (`X-Enapter-Auth-User`).
        retry: How persistently a call is attempted. The defaults are 4 attempts and 60 s for the
            whole call. Delays have full jitter of up to 0.5 s (1 s after a refusal), doubled with
            each failure, at most 20 s. A Retry-After of up to 120 s is obeyed. The operation
            decides whether it may be repeated. Reads always may, and so may updates, deletions and
            blueprints, which set a state. A new configuration may only if none was certainly
            generated.
        timeouts: 10 s to connect, 30 s for an answer.
        pacing: At most 100 requests in flight, with no fixed rate limit; the rate adapts to the
            server.
        limiter: A limiter to use instead of the client's own, such as one that several machines
            share. The client neither opens nor closes it, and takes `pacing` from it.
        hooks: Callables that receive the events of each call; see `enapter_async.hooks`.
        extra_headers: A function that returns more headers, such as
            `OpenTelemetry.trace_headers`; called just before each request is written, in the
            task of its call. It cannot override the SDK's own headers, such as Host or the token.
        ssl_context: How to verify the server, for example with a gateway's own CA. A context
            that does not verify is refused.
        session: An existing session, with its connector, proxy and middlewares. It is neither
            changed nor closed; calls then go through `ClientSession.request`.
        proxy: The HTTP proxy to go through, such as `http://proxy.example:3128`, or
            "environment" to use HTTPS_PROXY and similar variables; calls then go through
            `ClientSession.request`. With None the environment's proxies are not used.
        allow_insecure_http: Allow `http://` to a host other than this machine.
        clock: The source of time and randomness; for tests.

    Raises:
        ConfigurationError: A setting is wrong; the message names it and how to correct it.

    A client belongs to one event loop and one process, and may be kept open for years. Do not
    wrap its calls in another retry loop; `retry=RetryPolicy(attempts=1)` disables the built-in one.
    """

    @concealing
    def __init__(
        self,
        token: str | TokenFunction | None = None,
        *,
        base_url: str | URL = DEFAULT_BASE_URL,
        user: str | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeouts: Timeouts = Timeouts(),
        pacing: Pacing | None = None,
        limiter: Limiter | None = None,
        hooks: Sequence[Hook] = (),
        extra_headers: ExtraHeaders | None = None,
        ssl_context: ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
        proxy: str | URL | None = None,
        allow_insecure_http: bool = False,
        clock: Clock = Clock(),
    ) -> None:
        for name, value in (("token", token), ("user", user)):
            if value is not None and not (name == "token" and callable(value)):
                check_header_value(name, value)
        for name, setting, kind in (
            ("retry", retry, RetryPolicy),
            ("timeouts", timeouts, Timeouts),
            ("pacing", pacing, (Pacing, NoneType)),
            ("clock", clock, Clock),
            ("ssl_context", ssl_context, (ssl.SSLContext, NoneType)),
            ("session", session, (aiohttp.ClientSession, NoneType)),
        ):
            if not isinstance(setting, kind):
                kinds = kind if isinstance(kind, tuple) else (kind,)
                wanted = " or ".join(each.__name__ for each in kinds).replace("NoneType", "None")
                got = type(setting).__name__
                raise ConfigurationError(f"{name} must be of type {wanted}, not {got}")
        if limiter is not None and pacing is not None:
            raise ConfigurationError("pacing belongs to the limiter; pass either limiter or pacing")
        if extra_headers is not None and not callable(extra_headers):
            raise ConfigurationError("extra_headers must be a function that returns a mapping")
        if ssl_context is not None:
            check_ssl_context(ssl_context)
        if proxy is not None and session is not None:
            raise ConfigurationError("pass either proxy or session: a session has its own proxy")
        where = parse_base_url(base_url, allow_insecure_http=allow_insecure_http)
        way = None if proxy is None else chosen_proxy(proxy, where, os.environ)
        self._settings = Settings(
            base_url=where,
            token=_secret_of(token),
            user=user,
            retry=retry,
            timeouts=timeouts,
            pacing=pacing or Pacing(),
            limiter=limiter,
            hooks=_checked_hooks(hooks),
            extra_headers=extra_headers,
            ssl_context=ssl_context,
            session=session,
            proxy=None if way is None else Secret(str(way)),
            allow_insecure_http=allow_insecure_http,
            clock=clock,
        )
        self._engine = Engine(self._settings)
        self._derived = False
        self._pipeline: Pipeline | None = None
        self.devices = Devices(self)

    @classmethod
    @concealing
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """Return a client configured by `ENAPTER_HTTP_API_TOKEN` and related variables.

        The other variables are `…_BASE_URL`, `…_USER` and `…_PROXY`. `settings` are the arguments
        of `Client` and take precedence over the environment; if you pass your own session, the
        proxy from the environment is not used. With `ENAPTER_LOG=debug` (or `info`) each attempt is
        printed to standard error; see `enapter_async.logs`.

        Raises:
            ConfigurationError: There is no token, or a value is wrong.
        """
        environ = os.environ if environ is None else environ
        for name in ("token", "base_url", "user", "proxy"):
            value = environ.get(ENVIRONMENT + name.upper())
            if value and not (name == "proxy" and settings.get("session") is not None):
                settings.setdefault(name, value)
        if not settings.get("token"):
            raise ConfigurationError(
                "there is no token: set ENAPTER_HTTP_API_TOKEN, or pass token=…"
            )
        settings["hooks"] = (*settings.get("hooks", ()), *asked_for(environ))
        return cls(**settings)

    @property
    def base_url(self) -> URL:
        """The address of the API, without `/v3`."""
        return self._settings.base_url

    @concealing
    def fingerprint(self, salt: bytes) -> str:
        """Return an HMAC-SHA256 of token and user, keyed with `salt`, as hexadecimal digits.

        It identifies clients that act as the same user, and reveals nothing about the token. It is
        computed from the current token.

        Raises:
            ConfigurationError: A function returns the token, and the client was not opened yet.
        """
        token = self._settings.token
        who = f"{'' if token is None else token.reveal()}\0{self._settings.user or ''}"
        return hmac.new(salt, who.encode(), "sha256").hexdigest()

    @property
    def retry(self) -> RetryPolicy:
        """How persistently a call of this client is attempted."""
        return self._settings.retry

    @property
    def timeouts(self) -> Timeouts:
        """How long one attempt of this client may take."""
        return self._settings.timeouts

    @property
    def pacing(self) -> Pacing:
        """How many requests this client has in flight at most."""
        return self._settings.pacing

    @property
    def limiter(self) -> Limiter:
        """The limiter for every attempt of this client's calls and jobs; see `Limiter.pace`."""
        return self._engine.limiter

    @property
    def clock(self) -> Clock:
        """The source of time and randomness of this client."""
        return self._settings.clock

    async def __aenter__(self) -> Self:
        if self._derived:
            raise ConfigurationError("a client from with_options must be used without `async with`")
        await self._engine.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the client; calls in flight start no further attempt and report their outcome.

        The client's own session is closed too; a session that was passed in stays open.
        """
        if self._derived:
            raise ConfigurationError("close the client that with_options was called on")
        await self._engine.close()

    def with_options(
        self, *, retry: RetryPolicy | None = None, timeouts: Timeouts | None = None
    ) -> Self:
        """Return a client with other policies, for example to set a deadline for one call.

        The new client is cheap and needs no `async with`. It shares the session, the pacing and the
        order of writes with this client, and can be used while this client is open.
        """
        settings = attrs.evolve(
            self._settings,
            retry=self._settings.retry if retry is None else retry,
            timeouts=self._settings.timeouts if timeouts is None else timeouts,
        )
        other = object.__new__(type(self))
        shared = without_nouns(vars(self))
        vars(other).update(shared, _settings=settings, _derived=True, _pipeline=None)
        other.devices = Devices(other)
        return other

    async def execute(self, operation: Operation[T]) -> T:
        """Execute an operation and return its result.

        Raises:
            ConfigurationError: The client is not open, or not on this event loop.
            APIError: The API refused the call, and nothing was done.
            TransportError: No answer arrived; if it was a write, it was not sent.
            DeadlineExceededError: The deadline passed; if it was a write, it was not done.
            ResponseError: The answer to a read cannot be used.
            ResultDiffersError: The write was carried out, but the result is not as requested.
            AmbiguousOutcomeError: A write may or may not have been done. The error is a
                `ResultLostError` if the write was done and only its answer is lost.
        """
        return await self._open_pipeline().execute(operation)

    async def send(self, operation: Operation[T]) -> Response[T]:
        """Execute an operation as `execute` does, and return its result with the answer's headers.

        Raises the errors of `execute`, which hold the status and the server's request id, too.
        """
        return await respond(self._open_pipeline(), operation)

    @asynccontextmanager
    async def stream(self, operation: StreamedOperation[T]) -> AsyncGenerator[Stream[T], None]:
        """Open the answer to an operation whose items are read as they arrive.

        Opening it is retried like a read until the first items have arrived, within the deadline;
        after that, `Timeouts.read` limits the wait for each part. Raises the errors of `execute`,
        and while it is read `StreamBrokenError`. The `async with` frees its connection. The
        stream's `response` is as `send` returns it.
        """
        async with self.streams((operation,)) as (stream,):
            yield stream

    def streams(
        self, operations: Sequence[StreamedOperation[T]]
    ) -> AbstractAsyncContextManager[tuple[Stream[T], ...]]:
        """Open the answers to several operations together, as `stream` opens one.

        Their places are taken at once, so that no two callers hold some and wait for each other.
        """
        return self._engine.streams(self._open_pipeline(), operations)

    def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> Coroutine[Any, Any, T]:
        """Execute an operation as `execute` does, and fill in `record` with details of the call.

        With `patient`, which the workers of fleet jobs use, time spent waiting for the limiter
        does not count against the deadline.
        """
        return self._open_pipeline().execute(operation, record, patient=patient)

    @property
    def sockets(self) -> Sockets:
        """The websockets of this client, for the methods that return streams."""
        return self._engine.sockets()

    async def reach(self) -> None:
        """Connect to the host as calls do, but send nothing.

        Raises:
            ConfigurationError: The client is not open, or not on this event loop.
            TransportError: The host cannot be reached; the message states the reason.
        """
        pipeline = self._open_pipeline()
        failure = await pipeline.transport.reach(pipeline.timeouts.connect)
        if failure is not None:
            raise failure.error

    def __repr__(self) -> str:
        if "_engine" not in vars(self):
            return "<Client, not made>"
        return f"<Client of {self._settings.base_url}, {self._engine.state}>"

    def __getstate__(self) -> Any:
        raise TypeError("a Client holds connections and a token, so it cannot be pickled")

    def _open_pipeline(self) -> Pipeline:
        pipeline = self._engine.pipeline()
        if not self._derived:
            return pipeline
        if self._pipeline is None:
            self._pipeline = attrs.evolve(
                pipeline, policy=self._settings.retry, timeouts=self._settings.timeouts
            )
        return self._pipeline


def _checked_hooks(hooks: Any) -> tuple[Hook, ...]:
    if not isinstance(hooks, Iterable) or not all(map(callable, found := tuple(hooks))):
        raise ConfigurationError("hooks must be a list of functions, such as [CallLog()]")
    if any(map(asyncio.iscoroutinefunction, found)):
        raise ConfigurationError("hooks must be plain functions; an async one is never awaited")
    return found


def _secret_of(token: str | TokenFunction | None) -> Secret | None:
    if token is None:
        return None
    return Secret(token) if isinstance(token, str) else AskedToken(token)
