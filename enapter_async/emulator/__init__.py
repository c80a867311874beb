"""A server that behaves as the API page specifies, for demos and tests.

Names are imported on first use: pytest loads the plugin in this package in every run, and a
program that does not use the emulator should not have to import a web server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enapter_async.emulator.commands import Behaviour, Commands
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
    from enapter_async.emulator.provisioning import Provisioning
    from enapter_async.emulator.server import Emulator
    from enapter_async.emulator.state import Device, Refusal, Site
    from enapter_async.emulator.world import World

__all__ = [
    "ROUGH",
    "Arrival",
    "Behaviour",
    "Commands",
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
    "Provisioning",
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
    "Behaviour": "commands",
    "Commands": "commands",
    "Device": "state",
    "Effect": "log",
    "Emulator": "server",
    "FleetFileError": "fleetfile",
    "Provisioning": "provisioning",
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
