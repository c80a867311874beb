"""If a backend lacks a package, the error says so where the package is needed."""

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from enapter_async.client import Client
from enapter_async.errors import ConfigurationError
from enapter_async.integrations import aiohttp_web, starlette
from tests.integrations.backends import serving_aiohttp, serving_asgi

TOKEN = "tok-2f6a1b"


async def read(url: str) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        found: dict[str, str] = await response.json()
        return found


def said(ask: object, request: object) -> str:
    assert callable(ask)
    with pytest.raises(ConfigurationError) as caught:
        ask(request)
    return str(caught.value)


async def test_an_aiohttp_application_without_client_and_jobs_says_so() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "client": said(aiohttp_web.client_of, request),
                "jobs": said(aiohttp_web.jobs_of, request),
            }
        )

    app = web.Application()
    app.router.add_get("/", handle)
    async with serving_aiohttp(app) as url:
        found = await read(url)
    assert "call aiohttp_web.install(app)" in found["client"]
    assert "jobs=" in found["jobs"]


async def test_a_starlette_application_without_client_and_jobs_says_so() -> None:
    async def handle(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "client": said(starlette.client_of, request),
                "jobs": said(starlette.jobs_of, request),
            }
        )

    async with serving_asgi(Starlette(routes=[Route("/", handle)])) as url:
        found = await read(url)
    assert "starlette.lifespan()" in found["client"]
    assert "jobs=" in found["jobs"]


async def test_a_starlette_application_has_the_jobs_that_its_lifespan_opens(
    tmp_path: Path,
) -> None:
    async def handle(request: Request) -> JSONResponse:
        jobs = starlette.jobs_of(request)
        found = [each.id for each in await jobs.list()]
        heard = starlette.last_event_id(request)
        return JSONResponse({"jobs": str(len(found)), "heard": str(heard)})

    lifespan = starlette.lifespan(lambda: Client(TOKEN), jobs=tmp_path / "jobs")
    app = Starlette(routes=[Route("/", handle)], lifespan=lifespan)
    async with serving_asgi(app) as url:
        assert await read(url) == {"jobs": "0", "heard": "None"}
