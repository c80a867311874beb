"""The client in a Starlette or FastAPI application: one for the process, opened with the app.

The same in both; FastAPI is a Starlette application::

    app = FastAPI(lifespan=starlette.lifespan())        # or Starlette(lifespan=…)
    starlette.install(app)                              # errors as answers, and cancellation

    @app.patch("/devices/{device_id}")
    async def rename(
        device_id: str, name: str, client: Annotated[Client, Depends(starlette.client_of)]
    ) -> dict[str, str | None]:
        device = await client.devices.update(device_id, name=name)
        return {"name": device.name}

Starlette has no `Depends`; its handlers call `client_of(request)`.

If the browser drops a request, `CancelAbandoned` cancels the handler and its call. The call's
limiter slot and its place in the write queue are released, and hooks receive
`CallEnded(cancelled=True)`. An attempt in flight may still have been done; for a write that must
run to its end, use a job.

Event streams stay open while people watch, and uvicorn waits for them before it starts the
application's shutdown: set `timeout_graceful_shutdown` (seconds), as the example does.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enapter_async.client import Client
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.integrations.answers import Answerer, answer_to, log_answer
from enapter_async.integrations.downloads import Download
from enapter_async.integrations.event_stream import (
    HEADERS,
    HEARTBEAT_SECONDS,
    LAST_EVENT_ID,
    StreamEvent,
    encoded,
)
from enapter_async.integrations.jobs import Jobs
from enapter_async.integrations.origins import foreign_answer, is_foreign

CLIENT: Final = "enapter_client"
"""The name of the client in the lifespan's state."""
JOBS: Final = "enapter_jobs"
"""The name of the fleet jobs in the lifespan's state."""

ABANDONED: Final = 499
"""The status that logs show for an abandoned request, as with nginx."""

_DISCONNECT: Final = "http.disconnect"

Lifespan = Callable[[Any], contextlib.AbstractAsyncContextManager[dict[str, Any]]]


def lifespan(
    make: Callable[[], Client] = Client.from_env,
    *,
    jobs: str | os.PathLike[str] | None = None,
    **jobs_options: Any,
) -> Lifespan:
    """Make a lifespan that opens a client and, with `jobs` (a folder or a database), fleet jobs.

    `make` creates an unopened client when the application starts; `jobs_options` are
    those of `Jobs`. On shutdown, jobs stop cleanly and the client is closed. It yields the state
    in which `client_of` finds them. If you have your own lifespan, enter this one inside it and
    pass its state on: `async with lifespan()(app) as state: yield {**state, …}`.

    Raises, when the application starts:
        ConfigurationError: a setting is wrong; the application does not start.
    """

    @contextlib.asynccontextmanager
    async def context(_: Any) -> AsyncIterator[dict[str, Any]]:
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(make())
            state: dict[str, Any] = {CLIENT: client}
            if jobs is not None:
                opened = Jobs(client, jobs, **jobs_options)
                state[JOBS] = await stack.enter_async_context(opened)
            yield state

    return context


def install(
    app: Starlette, *, answer: Answerer | None = answer_to, cancel_abandoned: bool = True
) -> None:
    """Make an application respond to SDK errors, and cancel requests that a browser drops.

    `answer` converts an SDK error raised by a handler to a response; None disables this. Call
    this before the application starts.
    """
    if answer is not None:
        app.add_exception_handler(EnapterError, error_handler(answer))
    if cancel_abandoned:
        app.add_middleware(CancelAbandoned)


def client_of(connection: HTTPConnection) -> Client:
    """Return the application's client; call it with a request, or use it in `Depends`.

    Raises:
        ConfigurationError: the application's lifespan opened none.
    """
    found = getattr(connection.state, CLIENT, None)
    if not isinstance(found, Client):
        raise ConfigurationError(
            "this application has no client: pass it lifespan=starlette.lifespan()"
        )
    return found


def jobs_of(connection: HTTPConnection) -> Jobs:
    """Return the application's fleet jobs; call it with a request, or use it in `Depends`.

    Raises:
        ConfigurationError: the application's lifespan opened none.
    """
    found = getattr(connection.state, JOBS, None)
    if not isinstance(found, Jobs):
        raise ConfigurationError("this application has no jobs: open them with lifespan(jobs=…)")
    return found


def error_handler(answer: Answerer = answer_to) -> Callable[[Request, Exception], Response]:
    """Make an exception handler for `EnapterError` that responds as in `answers` and logs why."""

    async def handler(request: Request, error: Exception) -> Response:
        if not isinstance(error, EnapterError):
            raise error
        told = answer(error)
        log_answer(error, told.status, request.method, request.url.path)
        return Response(told.body, told.status, told.headers)

    # Starlette calls coroutine functions on the loop, and others on a thread.
    return handler  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # its types know both, by another name


def last_event_id(connection: HTTPConnection) -> str | None:
    """Return the id of the last event that a reconnecting browser received, for `Jobs.watch`."""
    return connection.headers.get(LAST_EVENT_ID)


class EventStream(StreamingResponse):
    """Sends events as server-sent events until they end or the browser disconnects."""

    def __init__(
        self, events: AsyncGenerator[StreamEvent, None], *, heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        self._chunks = encoded(events, heartbeat=heartbeat)
        super().__init__(self._chunks, headers=HEADERS)

    async def stream_response(self, send: Send) -> None:
        """Send the response, and then always close the events at once."""
        async with contextlib.aclosing(self._chunks):
            await super().stream_response(send)


class DownloadResponse(StreamingResponse):
    """Sends the report or the results of a job."""

    def __init__(self, download: Download) -> None:
        self._download = download
        super().__init__(download.pieces(), headers=download.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and then always close the file."""
        with self._download.file:
            await super().__call__(scope, receive, send)


class RefuseForeign:
    """ASGI middleware: answers 403 to requests started by a page of another site.

    Requests of the methods GET, HEAD and OPTIONS are passed on. `trusted` are additional origins,
    such as `https://pumps.example.com` if a proxy in front replaces the Host header; see `origins`.
    """

    def __init__(self, app: ASGIApp, trusted: Collection[str] = ()) -> None:
        self.app = app
        self.trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and is_foreign(
            scope["method"], Headers(scope=scope), self.trusted
        ):
            told = foreign_answer()
            await Response(told.body, told.status, told.headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class CancelAbandoned:
    """ASGI middleware: cancels a request's handler when its browser disconnects.

    By default Starlette lets the handler continue. The body is passed on message by message,
    with at most one read ahead, so that a large upload still waits for its handler; a browser's
    disconnect is noticed once the handler has read all of the body except its last part.
    Background tasks, which run after the response, are not cancelled.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Watched(receive, send)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI application runs in a task")
        before = task.cancelling()
        watcher = asyncio.ensure_future(request.watch(task))
        try:
            try:
                await self.app(scope, request.receive, request.send)
            finally:
                watcher.cancel()
                await asyncio.wait({watcher})
        except asyncio.CancelledError:
            # Only this middleware's cancellation ends here; one from outside is passed on.
            if not request.abandoned or task.uncancel() > before:
                raise
            await request.say_abandoned()


class _Watched:
    """The channel between the server and the application for one request."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._messages: asyncio.Queue[Message] = asyncio.Queue(maxsize=1)
        self._gone = asyncio.Event()
        self._begun = False
        self._answered = False
        self.abandoned = False

    async def watch(self, task: "asyncio.Task[Any]") -> None:
        """Receive messages; cancel the task if the browser disconnects before the response."""
        while True:
            message = await self._receive()
            if message["type"] == _DISCONNECT:
                break
            await self._messages.put(message)
        self._gone.set()
        if not self._answered:
            self.abandoned = True
            task.cancel()

    async def receive(self) -> Message:
        """Return the next message; after the last one, always return the disconnect."""
        if self._messages.empty() and self._gone.is_set():
            return {"type": _DISCONNECT}
        getting = asyncio.ensure_future(self._messages.get())
        leaving = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({getting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else {"type": _DISCONNECT}
        finally:
            getting.cancel()
            leaving.cancel()

    async def send(self, message: Message) -> None:
        """Pass on a message of the application's response."""
        self._begun = True
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._answered = True
        await self._send(message)

    async def say_abandoned(self) -> None:
        """Send a response that nobody reads; outer middleware treats a missing one as an error."""
        if not self._begun:
            with contextlib.suppress(OSError):
                start = {"type": "http.response.start", "status": ABANDONED, "headers": []}
                await self._send(start)
                await self._send({"type": "http.response.body", "body": b""})
