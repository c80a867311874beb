"""One cell of wrk: the result of a client in C against the same server, as the limit.

It prints the same line of JSON as `benchmarks.worker`; `cpu_us_per_request` is wrk's own. wrk
checks neither certificates nor anything in the answers but their status.
"""

import argparse
import json
import re
import resource
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.drivers import NAME, TOKEN

_SCRIPT: Final = f"""\
local number = 0
wrk.method = "PATCH"
wrk.body = '{{"name":"{NAME}"}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Enapter-Auth-Token"] = "{TOKEN}"
request = function()
    number = number + 1
    return wrk.format(nil, string.format("/v3/devices/5eba0000-45f2-4e9e-a6f0-%012x", number))
end
"""
"""Requests a different device each time, as all contenders do."""

_DONE: Final = re.compile(r"(\d+) requests in ([\d.]+)(us|ms|s|m),")
_WRONG: Final = re.compile(r"(Non-2xx or 3xx responses|Socket errors): .*")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def read(said: str) -> tuple[int, float]:
    """Parse requests and seconds from wrk's output.

    Raises: ValueError: There were errors, or it printed something else.
    """
    if wrong := _WRONG.search(said):
        raise ValueError(wrong[0])
    if not (found := _DONE.search(said)):
        raise ValueError(f"wrk said {said[-300:]!r}")
    return int(found[1]), float(found[2]) * _SECONDS[found[3]]


def cell(base_url: str, *, concurrency: int, seconds: int) -> dict[str, Any]:
    """Run wrk on one thread for that many seconds."""
    with tempfile.TemporaryDirectory(prefix="enapter-benchmarks-") as folder:
        script = Path(folder) / "device.lua"
        script.write_text(_SCRIPT, "utf-8")
        done = subprocess.run(
            ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "-s", str(script), base_url],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 30,
        )
    requests, took = read(done.stdout)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "requests": requests,
        "seconds": took,
        "requests_per_second": requests / took,
        "cpu_us_per_request": 1e6 * (used.ru_utime + used.ru_stime) / requests,
        # Not ru_maxrss: on Linux it begins with this process's value.
        "peak_rss_bytes": None,
    }


def main() -> None:
    """Measure one cell and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wrk", description=__doc__)
    parser.add_argument("--base-url", required=True, help="http://127.0.0.1:PORT")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=1, help="whole ones")
    options = parser.parse_args()
    print(
        json.dumps(cell(options.base_url, concurrency=options.concurrency, seconds=options.seconds))
    )


if __name__ == "__main__":
    main()
