"""The client: configuration, one session, and the nouns of the API."""

import hmac
import os
import ssl
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import attrs
from yarl import URL

from enapter_async._http.call import CallRecord
from enapter_async._http.engine import Engine, Settings
from enapter_async._http.headers import ExtraHeaders
from enapter_async._http.pacing import Pacing
from enapter_async._http.pipeline import Pipeline
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.security import (
    check_header_value,
    check_ssl_context,
    parse_base_url,
)
from enapter_async._http.transport import Timeouts
from enapter_async.api.devices import Devices
from enapter_async.clock import Clock
from enapter_async.concealment import Secret, concealing
from enapter_async.errors import ConfigurationError
from enapter_async.hooks import Hook
from enapter_async.logs import asked_for
from enapter_async.operation import Operation

T = TypeVar("T")

DEFAULT_BASE_URL: Final = "https://api.enapter.com"


class Client:
    """Operates Enapter devices, and never lies about what happened to one.

    ::

        async with Client(token="…") as client:
            device = await client.devices.update("dev-1", name="Hydrogen detector")

    Args:
        token: The access token. Without one the environment is not looked at; see `from_env`.
        base_url: Where the API is; it may end in `/v3`, in `/`, or in neither. A gateway is
            `http://enapter-gateway.local/api`.
        user: Whom to act as, where the server allows it (`X-Enapter-Auth-User`).
        retry: How hard a call tries. The defaults: 4 attempts; full jitter up to 0.5 s, doubled
            at each failure, at most 20 s (from 1 s after a refusal); a Retry-After is obeyed up
            to 120 s; 60 s for the whole call. What may be repeated is decided by the operation:
            reads always; updates, deletions and blueprints, since they set a state; a new
            configuration only while it is certain that none was made.
        timeouts: 10 s to connect, 30 s for an answer.
        pacing: At most 100 requests under way. After a 429 all calls of the client pause.
        hooks: Who is told about each call, attempt, wait and end; see `enapter_async.hooks`.
        extra_headers: Gives more headers, such as `OpenTelemetry.trace_headers` does; asked just
            before each request is written, in the task of its call. What is the SDK's own, such
            as Host or the token, cannot be set so.
        ssl_context: How to verify the server, such as with a gateway's own CA. A context that
            does not verify is refused.
        session: A session of your own, with its connector, proxy and middlewares. It is neither
            changed nor closed, and calls then go through `ClientSession.request`.
        allow_insecure_http: Allow `http://` to a host that is not this machine.
        clock: Where time and chance come from; for tests.

    Raises:
        ConfigurationError: A setting is wrong; it says which and what would be right.

    One client is for one event loop and one process, and may be kept for years. Do not wrap
    its calls in retries of your own; `retry=RetryPolicy(attempts=1)` switches ours off.
    """

    @concealing
    def __init__(
        self,
        token: str | None = None,
        *,
        base_url: str | URL = DEFAULT_BASE_URL,
        user: str | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeouts: Timeouts = Timeouts(),
        pacing: Pacing = Pacing(),
        hooks: Sequence[Hook] = (),
        extra_headers: ExtraHeaders | None = None,
        ssl_context: ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
        allow_insecure_http: bool = False,
        clock: Clock = Clock(),
    ) -> None:
        for name, value in (("token", token), ("user", user)):
            if value is not None:
                check_header_value(name, value)
        for name, setting, kind in (
            ("retry", retry, RetryPolicy),
            ("timeouts", timeouts, Timeouts),
            ("pacing", pacing, Pacing),
            ("clock", clock, Clock),
            ("ssl_context", ssl_context, ssl.SSLContext | None),
            ("session", session, aiohttp.ClientSession | None),
        ):
            if not isinstance(setting, kind):
                wanted = getattr(kind, "__name__", kind)
                raise ConfigurationError(f"{name} is a {type(setting).__name__}; give {wanted}")
        if extra_headers is not None and not callable(extra_headers):
            raise ConfigurationError("extra_headers is no function; give one that gives a mapping")
        if ssl_context is not None:
            check_ssl_context(ssl_context)
        self._settings = Settings(
            base_url=parse_base_url(base_url, allow_insecure_http=allow_insecure_http),
            token=None if token is None else Secret(token),
            user=user,
            retry=retry,
            timeouts=timeouts,
            pacing=pacing,
            hooks=tuple(hooks),
            extra_headers=extra_headers,
            ssl_context=ssl_context,
            session=session,
            allow_insecure_http=allow_insecure_http,
            clock=clock,
        )
        self._engine = Engine(self._settings)
        self._derived = False
        self._pipeline: Pipeline | None = None
        self._give_nouns()

    @classmethod
    @concealing
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """Make a client from `ENAPTER_HTTP_API_TOKEN`, `…_BASE_URL` and `…_USER`.

        `settings` are those of `Client` and win over the environment. With `ENAPTER_LOG=debug`
        (or `info`) each attempt is printed on standard error; see `enapter_async.logs`.

        Raises:
            ConfigurationError: There is no token, or a value is wrong.
        """
        environ = os.environ if environ is None else environ
        for name in ("token", "base_url", "user"):
            value = environ.get(f"ENAPTER_HTTP_API_{name.upper()}")
            if value:
                settings.setdefault(name, value)
        if not settings.get("token"):
            raise ConfigurationError(
                "there is no token: set ENAPTER_HTTP_API_TOKEN, or pass token=…"
            )
        settings["hooks"] = (*settings.get("hooks", ()), *asked_for(environ))
        return cls(**settings)

    @property
    def base_url(self) -> URL:
        """Where the API is, without `/v3`."""
        return self._settings.base_url

    def fingerprint(self, salt: bytes) -> str:
        """Return an HMAC-SHA256 of token and user, keyed with `salt`, as hexadecimal digits.

        It tells whether two clients act as the same one, and shows nothing of the token.
        """
        token = self._settings.token
        who = f"{'' if token is None else token.reveal()}\0{self._settings.user or ''}"
        return hmac.new(salt, who.encode(), "sha256").hexdigest()

    @property
    def retry(self) -> RetryPolicy:
        """How hard a call of this client tries."""
        return self._settings.retry

    @property
    def timeouts(self) -> Timeouts:
        """How long one attempt of this client may take."""
        return self._settings.timeouts

    @property
    def pacing(self) -> Pacing:
        """How much this client asks of the server at once."""
        return self._settings.pacing

    @property
    def clock(self) -> Clock:
        """Where this client gets time and chance from."""
        return self._settings.clock

    async def __aenter__(self) -> Self:
        if self._derived:
            raise ConfigurationError("with_options gives a client to use, not to enter")
        self._engine.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the client; calls under way begin no further attempt, and say what they know.

        A client's own session is closed with it; a session of yours stays open.
        """
        if self._derived:
            raise ConfigurationError("close the client that with_options was called on")
        await self._engine.close()

    def with_options(
        self, *, retry: RetryPolicy | None = None, timeouts: Timeouts | None = None
    ) -> Self:
        """Return this client with another policy: how one call gets its own deadline.

        It is cheap, needs no `async with`, and shares session, pacing and writers' turns with
        the client that it comes from; it can be used while that one is open.
        """
        settings = attrs.evolve(
            self._settings,
            retry=self._settings.retry if retry is None else retry,
            timeouts=self._settings.timeouts if timeouts is None else timeouts,
        )
        other = object.__new__(type(self))
        vars(other).update(vars(self), _settings=settings, _derived=True, _pipeline=None)
        other._give_nouns()
        return other

    def _give_nouns(self) -> None:
        """Attach the nouns to this very client, so that their calls use its own options."""
        self.devices = Devices(self)

    async def execute(self, operation: Operation[T]) -> T:
        """Carry an operation out and give its result.

        Raises:
            ConfigurationError: The client is not open here.
            APIError: The API refused, and nothing was done.
            TransportError: No answer; what writes was not sent.
            DeadlineExceededError: Out of time; what writes was not done.
            ResponseError: A read's answer cannot be used.
            AmbiguousOutcomeError: It may or may not have happened; `ResultLostError`: it did.
        """
        return await self._open_pipeline().execute(operation)

    def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> Coroutine[Any, Any, T]:
        """Carry an operation out as `execute` does, and fill `record` with how it went.

        With `patient` the time spent waiting for the client's gate does not count against the
        deadline, which is what a worker of a fleet job wants.
        """
        return self._open_pipeline().execute(operation, record, patient=patient)

    async def reach(self) -> None:
        """Make a connection to the host by the way that calls take, and send nothing on it.

        Raises:
            ConfigurationError: The client is not open here.
            TransportError: There is no way to the host; it says why.
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
        raise TypeError("a Client holds connections and a token, and cannot be pickled")

    def _open_pipeline(self) -> Pipeline:
        pipeline = self._engine.pipeline()
        if not self._derived:
            return pipeline
        if self._pipeline is None:
            self._pipeline = attrs.evolve(
                pipeline, policy=self._settings.retry, timeouts=self._settings.timeouts
            )
        return self._pipeline
