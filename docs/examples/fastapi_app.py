"""A web backend on FastAPI: it renames devices, and runs and shows fleet jobs.

    ENAPTER_HTTP_API_TOKEN=… python docs/examples/fastapi_app.py

then open http://127.0.0.1:8000. To try it without an account, `enapter-async emulator` prints
the variables to set. This backend has no login: put one in front before others can reach it. If
that is a proxy which passes on the name of the user, USER_HEADER is the header that it sets.

JOBS is a folder for the jobs, or a PostgreSQL database for replicas on any machine; there,
CREDENTIALS is this replica's own folder for the configurations that it generates.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse

from enapter_async import Client, fleet
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.integrations import starlette
from enapter_async.integrations.jobs import RESUME_OPTIONS, Jobs

PAGE = Path(__file__).with_name("job.html")
FILES = ("text/csv", "application/x-ndjson")
MOST_BYTES = 16 * 2**20
# Small waves first; each starts once the one before it has passed.
CAREFULLY = fleet.Rollout(waves=(1, 10, "10%", "rest"))

TheClient = Annotated[Client, Depends(starlette.client_of)]
TheJobs = Annotated[Jobs, Depends(starlette.jobs_of)]


async def page() -> FileResponse:
    """Return the page that shows jobs; it loads nothing else."""
    return FileResponse(PAGE)


async def rename(
    device: str, name: Annotated[str, Body(embed=True)], client: TheClient
) -> dict[str, str | None]:
    """Rename one device; the body is `{"name": …}`."""
    renamed = await client.devices.update(device, name=name)
    return {"id": renamed.id, "name": renamed.name, "slug": renamed.slug}


def user_of(request: Request) -> str:
    """Return who asks, or "" without a login."""
    return request.headers.get(os.environ.get("USER_HEADER", ""), "")


async def start(request: Request, jobs: TheJobs, source: str = "a file") -> dict[str, Any]:
    """Start a job; the body is a file of operations, as for `enapter-async fleet apply`."""
    # A form of another site cannot send these types.
    if request.headers.get("content-type", "").partition(";")[0] not in FILES:
        raise HTTPException(415, f"send one of {', '.join(FILES)}")
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"a file has at most {MOST_BYTES} bytes")
    operations = parse_operations(bytes(data), source="the file")
    job = await jobs.start(
        operations, source=source, started_by=user_of(request), rollout=CAREFULLY
    )
    return job.as_json()


async def list_jobs(jobs: TheJobs) -> list[dict[str, Any]]:
    """List the latest jobs."""
    return [job.as_json() for job in await jobs.list()]


async def get_job(job: str, jobs: TheJobs) -> dict[str, Any]:
    """Return the state of one job."""
    return (await jobs.get(job)).as_json()


async def events(job: str, request: Request, jobs: TheJobs) -> starlette.EventStream:
    """Show a job live, as server-sent events."""
    return starlette.EventStream(await jobs.watch(job, starlette.last_event_id(request)))


async def report(job: str, jobs: TheJobs) -> starlette.DownloadResponse:
    """Show the report of a job."""
    return starlette.DownloadResponse(await jobs.report(job))


async def results(job: str, form: str, jobs: TheJobs) -> starlette.DownloadResponse:
    """Download the outcome of each operation of a job, as csv or jsonl."""
    return starlette.DownloadResponse(await jobs.results(job, form))


async def stop(job: str, jobs: TheJobs) -> dict[str, Any]:
    """Stop a job: it starts nothing more."""
    return (await jobs.stop(job)).as_json()


async def resume(job: str, jobs: TheJobs, step: str = "resume") -> dict[str, Any]:
    """Resume a job; `step` is one of its `next_steps`."""
    if step not in RESUME_OPTIONS:
        raise HTTPException(400, f"step is one of {', '.join(RESUME_OPTIONS)}")
    return (await jobs.resume(job, **RESUME_OPTIONS[step])).as_json()


def application(make: Callable[[], Client] = Client.from_env, jobs: str | None = None) -> FastAPI:
    """Make the application; it keeps its jobs in `jobs`, a folder or a database."""
    lifespan = starlette.lifespan(
        make,
        jobs=jobs or os.environ.get("JOBS", "jobs"),
        credentials=os.environ.get("CREDENTIALS"),
    )
    # FastAPI's own documentation pages load files from other hosts.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
    starlette.install(app)
    app.add_middleware(starlette.RefuseForeign)
    app.get("/", include_in_schema=False)(page)
    app.patch("/devices/{device}")(rename)
    app.post("/jobs", status_code=201)(start)
    app.get("/jobs")(list_jobs)
    app.get("/jobs/{job}")(get_job)
    app.get("/jobs/{job}/events", response_model=None)(events)
    app.get("/jobs/{job}/report", response_model=None)(report)
    app.get("/jobs/{job}/results.{form}", response_model=None)(results)
    app.put("/jobs/{job}/stop")(stop)
    app.put("/jobs/{job}/resume")(resume)
    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    # Without the last setting, open streams would delay the application's shutdown.
    uvicorn.run(application(), host="127.0.0.1", port=port, timeout_graceful_shutdown=2)
