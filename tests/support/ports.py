"""Ports for servers that are down for a while, or that another program opens later."""

import random
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LEAST: Final = 10_000
_CHOSEN_BY_THE_SYSTEM: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES: Final = 1000
_CHANCE: Final = random.SystemRandom()
"""Hypothesis seeds the usual one, so that all processes of a run would draw the same ports."""


def bound_socket(port: int = 0) -> socket.socket:
    """Return a socket bound to a port of 127.0.0.1, which refuses connections and is nobody else's.

    When it listens, the port is open.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def free_port() -> int:
    """Return a port of 127.0.0.1 that no other test uses until this process ends.

    It is outside the range from which the system chooses ports: one of those is free while its
    server is down, so a server of another test may get it, or a connection to it may reach itself.
    """
    low, high = map(int, _CHOSEN_BY_THE_SYSTEM.read_text().split())
    outside: Sequence[int] = [*range(LEAST, low), *range(high + 1, 2**16)] or range(LEAST, 2**16)
    for _ in range(_TRIES):
        port = _CHANCE.choice(outside)
        # A name of the abstract namespace is free again when its process ends, however it ends.
        with socket.socket(socket.AF_UNIX) as taken, socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(f"\0enapter-async-port-{port}")
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken.detach()
            return port
    raise AssertionError(f"none of {_TRIES} ports was free")
