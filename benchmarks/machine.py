"""The machine behind the figures, and the cores for client and server."""

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
    """Describe in words who runs where."""
    if cores is None:
        return "not pinned: the ratios are less steady"
    return f"client on core {cores.client}, server on core {cores.server}"


def choose_cores() -> Cores | None:
    """Choose two of the cores that this process may use; return None if that is impossible."""
    if sys.platform != "linux":
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    # First and last, because neighbours may be two threads of one core.
    return Cores(client=allowed[0], server=allowed[-1])


@contextmanager
def children_on(core: int | None) -> Iterator[None]:
    """Let processes that are started inside run only on that core; None allows any."""
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
    """Return the facts about the machine that a reader needs to judge its figures."""
    return {
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str | None]:
    """Return the version of each package that matters; None if it is not installed."""
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
