"""The client in an aiohttp.web application: one for the process, opened and closed with it.

::

    app = web.Application()
    aiohttp_web.install(app)                    # Client.from_env(), and errors as answers

    async def rename(request: web.Request) -> web.Response:
        client = aiohttp_web.client_of(request)
        device = await client.devices.update(request.match_info["id"], name="Boiler")
        return web.json_response({"name": device.name})

    web.run_app(app, handler_cancellation=True)

`handler_cancellation=True` is an option of `run_app` and `AppRunner` (off by default in aiohttp).
With it, if the browser drops a request, the handler and its call are cancelled. The call's limiter
slot and its place in the write queue are released, and hooks receive `CallEnded(cancelled=True)`.
An attempt in flight may still have been done; for a write that must run to its end, use a job.
"""

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Final

from aiohttp import web

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

CLIENT: Final = web.AppKey("enapter_client", Client)
"""The application key of the client."""
JOBS: Final = web.AppKey("enapter_jobs", Jobs)
"""The application key of the fleet jobs, if there are any."""

CleanupContext = Callable[[web.Application], AsyncIterator[None]]


def install(
    app: web.Application,
    make: Callable[[], Client] = Client.from_env,
    *,
    jobs: str | os.PathLike[str] | None = None,
    answer: Answerer | None = answer_to,
    **jobs_options: Any,
) -> None:
    """Add a client to an application and, with `jobs` (a folder or a database), fleet jobs.

    `make` creates an unopened client when the application starts. `answer` converts an
    SDK error raised by a handler to a response; None disables this, and aiohttp responds with
    500. `jobs_options` are the options of `Jobs`.
    """
    if answer is not None:
        app.middlewares.append(error_answers(answer))
    app.cleanup_ctx.append(client_context(make))
    if jobs is not None:
        app.cleanup_ctx.append(jobs_context(jobs, **jobs_options))
        app.on_shutdown.append(_end_watches)


def client_context(make: Callable[[], Client] = Client.from_env) -> CleanupContext:
    """Make a `cleanup_ctx` that opens a client as `app[CLIENT]`, and closes it at the end.

    Raises, when the application starts:
        ConfigurationError: a setting is wrong; the application does not start.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with make() as client:
            app[CLIENT] = client
            yield

    return context


def jobs_context(place: str | os.PathLike[str], **options: Any) -> CleanupContext:
    """Make a `cleanup_ctx` that opens `Jobs` as `app[JOBS]`; add it after the client's.

    `place` and `options` are those of `Jobs`. When the application shuts down, jobs stop cleanly.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with Jobs(app[CLIENT], place, **options) as jobs:
            app[JOBS] = jobs
            yield

    return context


async def _end_watches(app: web.Application) -> None:
    """End the streams first: aiohttp waits for open requests before it cleans up."""
    app[JOBS].end_watches()


def client_of(request: web.Request) -> Client:
    """Return the application's client, also in a sub-application.

    Raises:
        ConfigurationError: the application has none.
    """
    try:
        return request.config_dict[CLIENT]
    except KeyError:
        raise ConfigurationError(
            "this application has no client: call aiohttp_web.install(app)"
        ) from None


def jobs_of(request: web.Request) -> Jobs:
    """Return the application's fleet jobs, also in a sub-application.

    Raises:
        ConfigurationError: the application has none.
    """
    try:
        return request.config_dict[JOBS]
    except KeyError:
        raise ConfigurationError(
            "this application has no jobs: call aiohttp_web.install(app, jobs=…)"
        ) from None


def error_answers(answer: Answerer = answer_to) -> Any:
    """Make a middleware that turns SDK errors into responses (see `answers`) and logs the details.

    An error after the start of the response is passed on, because it can no longer be answered.
    """

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except EnapterError as error:
            if request.writer.output_size:
                raise  # a second head would be written into the body of the first response
            told = answer(error)
            log_answer(error, told.status, request.method, request.path)
            return web.Response(status=told.status, headers=told.headers, body=told.body)

    return middleware


def refuse_foreign(trusted: Collection[str] = ()) -> Any:
    """Make a middleware that answers 403 to requests started by a page of another site.

    Requests of the methods GET, HEAD and OPTIONS are passed on. `trusted` are additional origins,
    such as `https://pumps.example.com` if a proxy in front replaces the Host header; see `origins`.
    """

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if is_foreign(request.method, request.headers, trusted):
            told = foreign_answer()
            return web.Response(status=told.status, headers=told.headers, body=told.body)
        return await handler(request)

    return middleware


def last_event_id(request: web.Request) -> str | None:
    """Return the id of the last event that a reconnecting browser received, for `Jobs.watch`."""
    return request.headers.get(LAST_EVENT_ID)


async def stream(
    request: web.Request,
    events: AsyncGenerator[StreamEvent, None],
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> web.StreamResponse:
    """Send events as server-sent events until they end or the browser disconnects."""
    response = web.StreamResponse(headers=HEADERS)
    # A browser that disconnects during a write is not an error.
    with contextlib.suppress(ConnectionResetError):
        async with contextlib.aclosing(encoded(events, heartbeat=heartbeat)) as chunks:
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
    return response


async def send(request: web.Request, download: Download) -> web.StreamResponse:
    """Send the report or the results of a job."""
    response = web.StreamResponse(headers=download.headers)
    async with contextlib.aclosing(download.pieces()) as pieces:
        with download.file, contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
    return response
