"""A web backend on aiohttp.web: it renames devices, and runs and shows fleet jobs.

    ENAPTER_HTTP_API_TOKEN=… python docs/examples/aiohttp_app.py

then open http://127.0.0.1:8000. To try it without an account, `enapter-async emulator` prints
the variables to set. This backend has no login: put one in front before others can reach it. If
that is a proxy which passes on the name of the user, USER_HEADER is the header that it sets.

JOBS is a folder for the jobs, or a PostgreSQL database for replicas on any machine; there,
CREDENTIALS is this replica's own folder for the configurations that it generates.
"""

import os
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from enapter_async import Client, fleet
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.integrations import aiohttp_web
from enapter_async.integrations.jobs import RESUME_OPTIONS

PAGE = Path(__file__).with_name("job.html")
FILES = ("text/csv", "application/x-ndjson")
# Small waves first; each starts once the one before it has passed.
CAREFULLY = fleet.Rollout(waves=(1, 10, "10%", "rest"))

routes = web.RouteTableDef()


@routes.get("/")
async def page(_: web.Request) -> web.StreamResponse:
    """Return the page that shows jobs; it loads nothing else."""
    return web.FileResponse(PAGE)


@routes.patch("/devices/{device}")
async def rename(request: web.Request) -> web.Response:
    """Rename one device; the body is `{"name": …}`."""
    client = aiohttp_web.client_of(request)
    wanted = await request.json()
    device = await client.devices.update(request.match_info["device"], name=wanted["name"])
    return web.json_response({"id": device.id, "name": device.name, "slug": device.slug})


def user_of(request: web.Request) -> str:
    """Return who asks, or "" without a login."""
    return request.headers.get(os.environ.get("USER_HEADER", ""), "")


@routes.post("/jobs")
async def start(request: web.Request) -> web.Response:
    """Start a job; the body is a file of operations, as for `enapter-async fleet apply`."""
    # A form of another site cannot send these types.
    if request.content_type not in FILES:
        raise web.HTTPUnsupportedMediaType(text=f"send one of {', '.join(FILES)}")
    operations = parse_operations(await request.read(), source="the file")
    source = request.query.get("source", "a file")
    job = await aiohttp_web.jobs_of(request).start(
        operations, source=source, started_by=user_of(request), rollout=CAREFULLY
    )
    return web.json_response(job.as_json(), status=201)


@routes.get("/jobs")
async def jobs(request: web.Request) -> web.Response:
    """List the latest jobs."""
    found = await aiohttp_web.jobs_of(request).list()
    return web.json_response([job.as_json() for job in found])


@routes.get("/jobs/{job}")
async def job(request: web.Request) -> web.Response:
    """Return the state of one job."""
    found = await aiohttp_web.jobs_of(request).get(request.match_info["job"])
    return web.json_response(found.as_json())


@routes.get("/jobs/{job}/events")
async def events(request: web.Request) -> web.StreamResponse:
    """Show a job live, as server-sent events."""
    after = aiohttp_web.last_event_id(request)
    watched = await aiohttp_web.jobs_of(request).watch(request.match_info["job"], after)
    return await aiohttp_web.stream(request, watched)


@routes.get("/jobs/{job}/report")
async def report(request: web.Request) -> web.StreamResponse:
    """Show the report of a job."""
    download = await aiohttp_web.jobs_of(request).report(request.match_info["job"])
    return await aiohttp_web.send(request, download)


@routes.get("/jobs/{job}/results.{form}")
async def results(request: web.Request) -> web.StreamResponse:
    """Download the outcome of each operation of a job, as csv or jsonl."""
    asked = request.match_info
    download = await aiohttp_web.jobs_of(request).results(asked["job"], asked["form"])
    return await aiohttp_web.send(request, download)


@routes.put("/jobs/{job}/stop")
async def stop(request: web.Request) -> web.Response:
    """Stop a job: it starts nothing more."""
    stopped = await aiohttp_web.jobs_of(request).stop(request.match_info["job"])
    return web.json_response(stopped.as_json())


@routes.put("/jobs/{job}/resume")
async def resume(request: web.Request) -> web.Response:
    """Resume a job; `step` is one of its `next_steps`."""
    step = request.query.get("step", "resume")
    if step not in RESUME_OPTIONS:
        raise web.HTTPBadRequest(text=f"step is one of {', '.join(RESUME_OPTIONS)}")
    jobs = aiohttp_web.jobs_of(request)
    again = await jobs.resume(request.match_info["job"], **RESUME_OPTIONS[step])
    return web.json_response(again.as_json())


def application(
    make: Callable[[], Client] = Client.from_env, jobs: str | None = None
) -> web.Application:
    """Make the application; it keeps its jobs in `jobs`, a folder or a database."""
    app = web.Application(client_max_size=16 * 2**20, middlewares=[aiohttp_web.refuse_foreign()])
    aiohttp_web.install(
        app,
        make,
        jobs=jobs or os.environ.get("JOBS", "jobs"),
        credentials=os.environ.get("CREDENTIALS"),
    )
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    web.run_app(application(), host="127.0.0.1", port=port, handler_cancellation=True)
