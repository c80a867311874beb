"""The example applications work unchanged, in their own processes, even if killed."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from enapter_async.emulator import Emulator, Latency, World
from tests.distributed.jobs import slow_from
from tests.fleet.fleets import fleet_of, uuid
from tests.support.forks.starting import programs
from tests.support.ports import free_port

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
APPS = ("aiohttp_app.py", "fastapi_app.py")
DEVICES = 160
IMPORTED = ("fastapi", "uvicorn", "aiohttp.web", "enapter_async.integrations.starlette")


class Reachable(Protocol):
    """The API that a backend uses: an emulator, or a server in front of one."""

    @property
    def token(self) -> str: ...

    @property
    def base_url(self) -> str: ...


@contextlib.asynccontextmanager
async def backend(
    app: str,
    server: Reachable,
    jobs: Path | str,
    *,
    token: str | None = None,
    errors: Any = None,
    forked: bool = True,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start an example, and make sure that it has ended afterwards.

    It is a fork of an imported Python (see `tests.support.forks`), unless its pid matters.
    """
    port = free_port()
    environment = {
        **os.environ,
        "ENAPTER_HTTP_API_TOKEN": token or server.token,
        "ENAPTER_HTTP_API_BASE_URL": server.base_url,
        "JOBS": str(jobs),
        "PORT": str(port),
        "USER_HEADER": "X-User",
    }
    program = programs(environment, *IMPORTED) / "python" if forked else sys.executable
    process = await asyncio.create_subprocess_exec(
        program,
        str(EXAMPLES / app),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=errors or subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    await (await session.get(f"{url}/jobs")).read()
                    break
                await asyncio.sleep(0.05)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def operations() -> bytes:
    """Half are renamed, half get a new configuration, which must be generated only once."""
    lines = ["operation,device_id,name,protocol"]
    for number in range(DEVICES):
        mint = f"generate_config,{uuid(number)},,MQTT"
        lines.append(mint if number % 2 else f"update,{uuid(number)},New {number},")
    return "\n".join(lines).encode()


async def begun(session: aiohttp.ClientSession, url: str) -> str:
    headers = {"Content-Type": "text/csv"}
    where = f"{url}/jobs?source=new.csv"
    async with session.post(where, data=operations(), headers=headers) as response:
        assert response.status == 201, await response.text()
        return str((await response.json())["id"])


async def events_of(session: aiohttp.ClientSession, url: str, job: str) -> list[tuple[str, Any]]:
    """Watch a job until its stream ends."""
    found = []
    async with session.get(f"{url}/jobs/{job}/events") as response:
        assert response.status == 200
        kind = ""
        with contextlib.suppress(aiohttp.ClientError):
            async for line in response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                kind = value if name == "event" else kind
                if name == "data":
                    found.append((kind, json.loads(value)))
    return found


async def until_effects(emulator: Emulator, number: int) -> None:
    async with asyncio.timeout(60):
        while emulator.world.log.count() < number:  # noqa: ASYNC110 - another's log
            await asyncio.sleep(0.005)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(world=World(fleet_of(DEVICES))) as running:
        # 8 at once, 10 ms each, growing: about a second in all.
        running.faults.add(Latency(seconds=0.01), times=None, when=lambda it: it.method != "GET")
        yield running


def check_the_log(emulator: Emulator) -> None:
    """No once-only operation was done twice, and others only if in flight at the kill."""
    log = emulator.world.log
    minted = Counter(effect.device_id for effect in log.effects(operation="generate_config"))
    assert max(minted.values()) == 1
    renamed = Counter(effect.device_id for effect in log.effects(operation="update"))
    assert len(renamed) == DEVICES / 2
    assert max(renamed.values()) <= 2
    assert sum(number - 1 for number in renamed.values()) <= 64, "no more than were in flight"


async def test_a_killed_backend_continues_its_job(emulator: Emulator, tmp_path: Path) -> None:
    """The next test restarts a backend on either framework."""
    app = APPS[1]
    async with aiohttp.ClientSession() as session:
        async with backend(app, emulator, tmp_path / "jobs") as (process, url):
            emulator.faults.clear()
            slow_from(emulator, DEVICES // 3 + 1)
            job = await begun(session, url)
            await until_effects(emulator, DEVICES // 3)
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
        before = emulator.world.log.count()
        assert before < DEVICES
        emulator.faults.clear()
        async with backend(app, emulator, tmp_path / "jobs") as (_, url):
            kind, told = (await events_of(session, url, job))[-1]
        assert (kind, told["phase"], told["total"]) == ("end", "ended", DEVICES)
        counts = told["counts"]
        # Configurations being generated at the kill are unknown, and not generated again.
        assert counts["applied"] + counts["unknown"] == DEVICES
        assert counts["unknown"] <= 64
    check_the_log(emulator)


@pytest.mark.parametrize("app", APPS)
async def test_a_terminated_backend_ends_despite_watchers(
    app: str, emulator: Emulator, tmp_path: Path
) -> None:
    # Otherwise it would take far longer than a backend may take to end.
    emulator.faults.clear()
    emulator.faults.add(Latency(seconds=0.5), times=None, when=lambda it: it.method != "GET")
    async with aiohttp.ClientSession() as session:
        async with backend(app, emulator, tmp_path / "jobs") as (process, url):
            job = await begun(session, url)
            watching = asyncio.ensure_future(events_of(session, url, job))
            await until_effects(emulator, 1)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                await process.wait()
            seen = await watching
        assert seen[0][0] == "job"
        assert emulator.world.log.count() < DEVICES
        emulator.faults.clear()
        async with backend(app, emulator, tmp_path / "jobs") as (_, url):
            kind, told = (await events_of(session, url, job))[-1]
        assert (kind, told["phase"], told["counts"]["applied"]) == ("end", "ended", DEVICES)
    check_the_log(emulator)
    assert emulator.world.log.count() == DEVICES, "a clean shutdown repeats nothing"


@pytest.mark.parametrize("app", APPS)
async def test_an_example_answers_as_documented(
    app: str, emulator: Emulator, tmp_path: Path
) -> None:
    async with (
        backend(app, emulator, tmp_path / "jobs") as (_, url),
        aiohttp.ClientSession() as session,
    ):

        async def ask(method: str, path: str, **more: Any) -> tuple[int, Any]:
            async with session.request(method, url + path, **more) as response:
                body = await response.read()
                is_json = response.content_type.endswith("json")
                return response.status, json.loads(body) if is_json else body

        wanted = {"id": uuid(1), "name": "Boiler", "slug": "device-1"}
        assert await ask("PATCH", "/devices/device-1", json={"name": "Boiler"}) == (200, wanted)
        status, told = await ask("PATCH", "/devices/nobody", json={"name": "Boiler"})
        assert (status, told["codes"]) == (404, ["not_found"])
        status, told = await ask("GET", "/jobs/20250101T000000Z-abcd")
        assert (status, told["type"].rpartition(":")[2]) == (404, "no-such-job")
        for path in ("/jobs/..%2f..%2fetc/events", "/jobs/last"):
            assert (await ask("GET", path))[0] == 404
        csv = {"Content-Type": "text/csv"}
        status, told = await ask("POST", "/jobs", data=b"operation,device_id\nfly,x\n", headers=csv)
        assert (status, len(told["problems"])) == (422, 1)
        form = {"Content-Type": "text/plain"}
        assert (await ask("POST", "/jobs", data=b"x", headers=form))[0] == 415
        taken = b"operation,device_id,slug\nupdate,device-2,device-3\n"
        status, job = await ask("POST", "/jobs", data=taken, headers=csv | {"X-User": "ann"})
        assert (status, job["started_by"]) == (201, "ann")
        assert (await events_of(session, url, job["id"]))[-1][1]["next_steps"] == ["retry_failed"]
        again = f"/jobs/{job['id']}/resume?step="
        assert (await ask("PUT", f"{again}somehow"))[0] == 400
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            status, told = await ask("PUT", f"{again}retry_failed", headers=foreign)
            assert (status, told["type"].rpartition(":")[2]) == (403, "foreign-request")
        ours = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
        assert (await ask("PUT", f"{again}retry_failed", headers=ours))[0] == 200
        assert (await events_of(session, url, job["id"]))[-1][1]["counts"]["failed"] == 1
        status, table = await ask("GET", f"/jobs/{job['id']}/results.csv")
        assert (status, b"already_exists" in table) == (200, True)
        assert (await ask("GET", f"/jobs/{job['id']}/results.xlsx"))[0] == 400
        status, rows = await ask("GET", f"/jobs/{job['id']}/results.jsonl")
        assert (status, rows["code"]) == (200, "already_exists")
        status, shown = await ask("GET", f"/jobs/{job['id']}/report")
        assert (status, b"already_exists" in shown) == (200, True)
        assert (await ask("GET", "/jobs/20250101T000000Z-abcd/report"))[0] == 404
        status, page = await ask("GET", "/")
        assert (status, page) == (200, (EXAMPLES / "job.html").read_bytes())
        status, listed = await ask("GET", "/jobs")
        assert (status, [each["id"] for each in listed]) == (200, [job["id"]])


@pytest.mark.parametrize("app", APPS)
async def test_a_backend_that_set_up_no_logging_says_why_it_failed(
    app: str, emulator: Emulator, tmp_path: Path
) -> None:
    with (tmp_path / "errors").open("w+b") as errors:
        async with (
            backend(app, emulator, tmp_path / "jobs", token="wrong", errors=errors) as (_, url),
            aiohttp.ClientSession() as session,
            session.patch(f"{url}/devices/device-1", json={"name": "x"}) as response,
        ):
            assert response.status == 500
            assert "token" not in await response.text()
        errors.seek(0)
        said = errors.read().decode()
    assert "PATCH /devices/device-1 was answered 500: PermissionDeniedError: HTTP 403" in said
    assert "Traceback" in said


def test_the_page_loads_nothing_and_writes_no_markup() -> None:
    page = (EXAMPLES / "job.html").read_text("utf-8")
    assert "default-src 'none'" in page
    for sign in ("http://", "https://", "innerHTML", "insertAdjacentHTML", "document.write"):
        assert sign not in page.replace("http://www.w3.org/2000/svg", "")
