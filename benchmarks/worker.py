"""One cell: one contender at one concurrency, in its own process.

It prints one line of JSON: `requests`, `seconds`, `requests_per_second`, `cpu_us_per_request` (user
and system), `peak_rss_bytes` (null if the system does not report it). It can be run by hand, for
example under a profiler; see `python -m benchmarks.worker --help`.
"""

import argparse
import asyncio
import gc
import importlib
import json
import math
import re
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self, cast

if sys.platform != "win32":
    import resource

_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class DeviceIds:
    """Yields a different device id each time, until `limit` have been yielded or time is up.

    The time counts only once `least` have been yielded.

    They are UUIDs, because an SDK may check an answer's id only if a UUID was requested.
    """

    def __init__(self, *, first: int, limit: int, least: int = 0, until: float = math.inf) -> None:
        self.given = 0
        self._first = first
        self._least = least
        self._limit = limit
        self._until = until

    def __iter__(self) -> Self:
        """Return itself: tasks share it."""
        return self

    def __next__(self) -> str:
        """Return the next id."""
        if self.given >= self._limit:
            raise StopIteration
        if self.given >= self._least and time.perf_counter() >= self._until:
            raise StopIteration
        number = self._first + self.given
        self.given += 1
        return f"5eba0000-45f2-4e9e-a6f0-{number:012x}"


async def measure(driver: ModuleType, options: argparse.Namespace) -> dict[str, Any]:
    """Open the driver, warm it up, and measure one load."""
    tls = None if options.ca is None else ssl.create_default_context(cafile=options.ca)
    async with driver.opened(
        options.base_url, concurrency=options.concurrency, way=options.way, tls=tls
    ) as load:
        await load(DeviceIds(first=0, limit=options.warm_up))
        gc.collect()
        cpu_began, began = time.process_time(), time.perf_counter()
        device_ids = DeviceIds(
            first=options.warm_up,
            limit=options.limit,
            # At the end fewer and fewer calls are in flight, which favours contenders that are slow
            # with many: this phase must not dominate the measurement.
            least=4 * options.concurrency,
            until=began + options.seconds,
        )
        await load(device_ids)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return {
        "requests": device_ids.given,
        "seconds": seconds,
        "requests_per_second": device_ids.given / seconds,
        "cpu_us_per_request": 1e6 * cpu / device_ids.given,
        "peak_rss_bytes": peak_rss_bytes(),
    }


def peak_rss_bytes() -> int | None:
    """Return the peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.exists() and (found := _PEAK.search(status.read_text("ascii", "replace"))):
        # Not ru_maxrss: on Linux it begins with the parent's value.
        return int(found[1]) * 1024
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("--driver", required=True, help="a module of benchmarks.drivers")
    parser.add_argument("--way", default="", help="the driver's variant")
    parser.add_argument("--base-url", required=True, help="http://127.0.0.1:PORT")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure")
    parser.add_argument("--limit", type=int, default=200_000, help="calls at most")
    parser.add_argument("--warm-up", type=int, default=256, help="calls before measuring")
    parser.add_argument("--ca", metavar="FILE", help="authority to trust, for https")
    parser.add_argument("--orjson", action="store_true", help="default: it is hidden")
    parser.add_argument("--uvloop", action="store_true", help="default: asyncio's own loop")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure one cell and print it."""
    options = parse()
    if not options.orjson:
        # Python itself does this for a name that must not be found; it must precede any import of
        # that name.
        cast("dict[str, ModuleType | None]", sys.modules)["orjson"] = None
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if options.uvloop:
        loop_factory = importlib.import_module("uvloop").new_event_loop
    driver = importlib.import_module(f"benchmarks.drivers.{options.driver}")
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        print(json.dumps(runner.run(measure(driver, options))))


if __name__ == "__main__":
    main()
