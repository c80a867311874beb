"""A server that behaves as the API page says, for demos and for tests.

Nothing is imported before it is asked for: pytest loads the plugin next door in every run,
and who does not use the emulator should not pay for a web server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enapter_async.emulator.faults import (
        ROUGH,
        Drop,
        Fault,
        FaultProfile,
        Faults,
        Hang,
        Latency,
        Reply,
        ServerFailure,
        TooManyRequests,
        Truncate,
        WrongJSON,
    )
    from enapter_async.emulator.fleetfile import FleetFileError
    from enapter_async.emulator.log import Arrival, Effect
    from enapter_async.emulator.server import Emulator
    from enapter_async.emulator.state import Device, Refusal, Site
    from enapter_async.emulator.world import World

__all__ = [
    "ROUGH",
    "Arrival",
    "Device",
    "Drop",
    "Effect",
    "Emulator",
    "Fault",
    "FaultProfile",
    "Faults",
    "FleetFileError",
    "Hang",
    "Latency",
    "Refusal",
    "Reply",
    "ServerFailure",
    "Site",
    "TooManyRequests",
    "Truncate",
    "World",
    "WrongJSON",
]

_HOMES = {
    "Arrival": "log",
    "Device": "state",
    "Effect": "log",
    "Emulator": "server",
    "FleetFileError": "fleetfile",
    "Refusal": "state",
    "Site": "state",
    "World": "world",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'faults')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
