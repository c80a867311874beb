"""Small backends on each framework, served over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Literal

import uvicorn
from aiohttp import web
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from enapter_async.client import Client
from enapter_async.integrations import aiohttp_web, starlette
from enapter_async.integrations.answers import Answerer, answer_to
from enapter_async.integrations.folder_jobs import FolderJobs
from enapter_async.integrations.job_session import Session
from enapter_async.integrations.jobs import Jobs
from tests.support.ports import bound_socket

Kind = Literal["aiohttp", "starlette", "fastapi"]
KINDS: tuple[Kind, ...] = ("aiohttp", "starlette", "fastapi")
Act = Callable[[Client], Awaitable[Any]]


def sessions_of(jobs: Jobs) -> dict[str, Session]:
    """Return the sessions in this process, by the names of their jobs."""
    assert isinstance(jobs._jobs, FolderJobs)
    return jobs._jobs._live


@contextlib.asynccontextmanager
async def serving_aiohttp(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, bound_socket()).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def serving_asgi(app: Any, grace: int = 1) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=grace
    )
    server, bound = uvicorn.Server(config), bound_socket()
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        async with asyncio.timeout(60):
            while not server.started and not task.done():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(60):
            await task


def aiohttp_app(
    make: Callable[[], Client], act: Act, answer: Answerer | None = answer_to
) -> web.Application:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"done": str(await act(aiohttp_web.client_of(request)))})

    below = web.Application()
    below.router.add_post("/act", handler)
    app = web.Application()
    aiohttp_web.install(app, make, answer=answer)
    app.router.add_post("/act", handler)
    app.add_subapp("/below", below)
    return app


def starlette_app(
    make: Callable[[], Client], act: Act, answer: Answerer | None = answer_to
) -> Starlette:
    async def handler(request: Request) -> Response:
        return JSONResponse({"done": str(await act(starlette.client_of(request)))})

    route = Route("/act", handler, methods=["POST"])
    below = Starlette(routes=[route])
    app = Starlette(routes=[route, Mount("/below", below)], lifespan=starlette.lifespan(make))
    starlette.install(app, answer=answer)
    return app


def fastapi_app(
    make: Callable[[], Client], act: Act, answer: Answerer | None = answer_to
) -> FastAPI:
    async def handler(client: Annotated[Client, Depends(starlette.client_of)]) -> dict[str, str]:
        return {"done": str(await act(client))}

    below = FastAPI()
    below.post("/act")(handler)
    app = FastAPI(lifespan=starlette.lifespan(make))
    starlette.install(app, answer=answer)
    app.post("/act")(handler)
    app.mount("/below", below)
    return app


@contextlib.asynccontextmanager
async def backend(
    kind: Kind, make: Callable[[], Client], act: Act, answer: Answerer | None = answer_to
) -> AsyncIterator[str]:
    """Serve a backend whose `POST /act` does something with its client."""
    if kind == "aiohttp":
        async with serving_aiohttp(aiohttp_app(make, act, answer)) as url:
            yield url
    else:
        app = (starlette_app if kind == "starlette" else fastapi_app)(make, act, answer)
        async with serving_asgi(app) as url:
            yield url
