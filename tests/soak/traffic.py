"""The traffic of the soak: every kind of call over one client, and what is left after each window.

`python -m tests.soak.traffic URL SECONDS SEED FOLDER` writes each call's report to
`FOLDER/told.jsonl`, and a sample of the process after each window to `FOLDER/samples.jsonl`.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import os
import random
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import AmbiguousOutcomeError, EnapterError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.limits.pacing import Pacing
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    UpdateDevice,
)
from tests.soak.server import NEW
from tests.support.rig import TOKEN, connector_of, in_use

WINDOWS = 16
WORKERS = 16
JOB_SIZE = 30
RETRY = RetryPolicy(attempts=3, base_delay=0.005, max_delay=0.05, deadline=3.0)
TIMEOUTS = Timeouts(connect=1.0, read=0.5)
PACING = Pacing(max_in_flight=24, max_rate=500.0)
KINDS = {
    UpdateDevice: "update",
    DeleteDevice: "delete",
    AssignBlueprint: "assign_blueprint",
    GenerateConfig: "generate_config",
}


class Traffic:
    """All traffic over one client."""

    def __init__(self, client: Client, folder: Path, told: TextIO, chance: random.Random) -> None:
        self._client = client
        self._folder = folder
        self._told = told
        self._chance = chance
        self._numbers = itertools.count(1)
        self._until = 0.0
        self.calls = 0

    async def window(self, seconds: float) -> None:
        """Keep every kind of traffic going for that long, and then let it finish."""
        self._until = time.monotonic() + seconds
        kinds: list[Callable[[], Awaitable[None]]] = [self._call] * WORKERS
        kinds += [self._list, self._job, self._journalled_job]
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                group.create_task(self._again(kind))

    async def _again(self, kind: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() < self._until:
            await kind()

    def _write(self, *, alone: bool = False) -> tuple[int, Operation[Any]]:
        """Draw an operation whose effects cannot be confused with another call's.

        With `alone`, no other operation uses its device.
        """
        number = next(self._numbers)
        device_id = f"{NEW}{number}" if alone else f"dev-{self._chance.randint(1, 50)}"
        operations: list[Operation[Any]] = [
            UpdateDevice(device_id=device_id, name=f"name-{number}"),
            UpdateDevice(device_id=f"{NEW}{number}", slug=f"slug-{number}"),
            UpdateDevice(device_id=f"{NEW}{number}", name=f"name-{number}", slug=f"slug-{number}"),
            AssignBlueprint(device_id=device_id, blueprint_id=f"bp-{number}"),
            DeleteDevice(device_id=f"{NEW}{number}"),
            GenerateConfig(
                device_id=f"{NEW}{number}", protocol=self._chance.choice(["MQTT", "MQTTS"])
            ),
        ]
        return number, self._chance.choice(operations)

    def _tell(
        self, number: int, operation: Operation[Any], word: str, error: object = None
    ) -> None:
        self.calls += 1
        said = "" if error is None else str(error)
        row = {"call": number, "kind": KINDS[type(operation)], "told": word, "error": said}
        self._told.write(json.dumps(row) + "\n")

    async def _call(self) -> None:
        """Make one call: plain, with its own options, or cancelled at any moment."""
        chance = self._chance
        if chance.random() < 0.3:
            self.calls += 1
            with contextlib.suppress(EnapterError):
                await self._client.execute(GetDevice(device_id=f"dev-{chance.randint(1, 50)}"))
            return
        number, operation = self._write()
        client = self._client
        if chance.random() < 0.2:
            client = client.with_options(
                retry=RetryPolicy(attempts=1, deadline=chance.uniform(0.05, 2.0)),
                timeouts=Timeouts(connect=1.0, read=0.2),
            )
        call = asyncio.ensure_future(client.execute(operation))
        if chance.random() < 0.15:
            await asyncio.wait({call}, timeout=chance.uniform(0.0, 0.02))
            call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            self._tell(number, operation, "cancelled")
        except AmbiguousOutcomeError as error:
            self._tell(number, operation, "ambiguous", error)
        except EnapterError as error:
            self._tell(number, operation, "not-done", error)
        else:
            self._tell(number, operation, "ok")

    async def _list(self) -> None:
        self.calls += 1
        with contextlib.suppress(EnapterError):
            async for device in self._client.devices.list():
                assert device.id

    async def _job(self) -> None:
        """Run a job without a journal, until it is done or the window is over."""
        works = [self._write(alone=True) for _ in range(JOB_SIZE)]
        numbers = {operation: number for number, operation in works}
        async with fleet.Run(self._client, list(numbers), **self._options()) as run:
            timer = self._stop_in_time(run)
            async for outcome in run:
                word = _of_run(str(outcome.state))
                self._tell(numbers[outcome.operation], outcome.operation, word, outcome.error)
            timer.cancel()

    async def _journalled_job(self) -> None:
        """Run a job, cut it off at any moment, and resume it as `_job` does."""
        journal = self._folder / "job.db"
        works = [self._write(alone=True) for _ in range(JOB_SIZE)]
        operations = [operation for _, operation in works]
        options = self._options()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._chance.uniform(0.0, 0.3)):
                await fleet.apply(self._client, operations, journal=journal, **options)
        async with fleet.Run(self._client, operations, journal=journal, **options) as run:
            timer = self._stop_in_time(run)
            async for _ in run:
                pass
            timer.cancel()
        opened = read_journal(journal)
        try:
            rows = list(result_rows(opened))
        finally:
            opened.close()
        for row in rows:
            number, operation = works[row["item"]]
            error = f"{row['error_type']}: {row['error']}, {row['attempts']} attempts"
            self._tell(number, operation, _of_run(row["state"]), error)
        for path in self._folder.glob("job.db*"):
            path.unlink()

    def _stop_in_time(self, run: "fleet.Run[Any]") -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(max(0.0, self._until - time.monotonic()), run.stop)

    def _options(self) -> dict[str, Any]:
        return {"concurrency": 8, "abort": None, "credentials": _kept}


def _of_run(word: str) -> str:
    # The device of this deletion was gone because an earlier, cancelled attempt had deleted it.
    return "unknown" if word == "absent" else word


async def _kept(_operation: Operation[Any], result: Any) -> None:
    assert result.mqtt_credentials


def sample(client: Client, calls: int) -> dict[str, float]:
    """Return what the process holds while nothing is in flight."""
    gc.collect()
    connector = connector_of(client)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    pipeline = client._open_pipeline()
    assert not in_use(client, connector), "a connection was not released"
    assert isinstance(pipeline.limiter, AdaptiveLimiter)
    assert pipeline.limiter.in_flight == 0, "a permit was not released"
    assert not pipeline.turns._waiting, "a writer's turn was not released"
    return {
        "calls": calls,
        "rss_kib": pages * os.sysconf("SC_PAGE_SIZE") / 1024,
        "traced_kib": tracemalloc.get_traced_memory()[0] / 1024,
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "connections": len(connector._acquired)
        + sum(len(each) for each in connector._conns.values()),
        "tasks": len(asyncio.all_tasks()),
    }


def windows(seconds: float) -> Iterator[float]:
    for _ in range(WINDOWS):
        yield seconds / WINDOWS


async def run(url: str, seconds: float, seed: int, folder: Path) -> None:
    # On a shared machine, a slow callback is nobody's fault.
    asyncio.get_running_loop().slow_callback_duration = 30.0
    tracemalloc.start(1)
    with (
        (folder / "told.jsonl").open("w", encoding="utf-8") as told,
        (folder / "samples.jsonl").open("w", encoding="utf-8") as samples,
    ):
        async with Client(
            TOKEN, base_url=url, retry=RETRY, timeouts=TIMEOUTS, pacing=PACING
        ) as client:
            traffic = Traffic(client, folder, told, random.Random(seed))
            for window in windows(seconds):
                await traffic.window(window)
                samples.write(json.dumps(sample(client, traffic.calls)) + "\n")
                samples.flush()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left over"


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
