"""What the figures were made on, and which core is whose."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import attrs

PACKAGES: Final = (
    *("enapter-async", "aiohttp", "attrs", "cattrs", "tenacity", "yarl", "multidict"),
    *("orjson", "uvloop", "msgspec", "enapter", "httpx", "httpcore", "anyio", "sniffio"),
)


@attrs.frozen(kw_only=True)
class Cores:
    """One core for the client, another for the server."""

    client: int
    server: int


def pinning(cores: Cores | None) -> str:
    """Say in words who runs where."""
    if cores is None:
        return "not pinned: the ratios are less steady"
    return f"client on core {cores.client}, server on core {cores.server}"


def choose_cores() -> Cores | None:
    """Choose two cores of those that this process may use; None where that cannot be done."""
    if sys.platform != "linux":
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    # First and last, because neighbours may be two threads of one core.
    return Cores(client=allowed[0], server=allowed[-1])


@contextmanager
def children_on(core: int | None) -> Iterator[None]:
    """Let processes that are started inside run on that core only; None leaves it open."""
    if sys.platform != "linux" or core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def facts() -> dict[str, Any]:
    """Tell what a reader must know of the machine to judge figures made on it."""
    return {
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str | None]:
    """Tell the version of each package that matters; None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
