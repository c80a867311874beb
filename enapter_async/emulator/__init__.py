"""A server that behaves as the API page specifies, for demos and tests.

Names are imported on first use: pytest loads the plugin in this package in every run, and a
program that does not use the emulator should not have to import a web server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enapter_async.emulator.commands import Behaviour as Behaviour
    from enapter_async.emulator.commands import Commands as Commands
    from enapter_async.emulator.faults import ROUGH as ROUGH
    from enapter_async.emulator.faults import Drop as Drop
    from enapter_async.emulator.faults import Fault as Fault
    from enapter_async.emulator.faults import FaultProfile as FaultProfile
    from enapter_async.emulator.faults import Faults as Faults
    from enapter_async.emulator.faults import Hang as Hang
    from enapter_async.emulator.faults import Latency as Latency
    from enapter_async.emulator.faults import Reply as Reply
    from enapter_async.emulator.faults import ServerFailure as ServerFailure
    from enapter_async.emulator.faults import TooManyRequests as TooManyRequests
    from enapter_async.emulator.faults import Truncate as Truncate
    from enapter_async.emulator.faults import WrongJSON as WrongJSON
    from enapter_async.emulator.fleetfile import FleetFileError as FleetFileError
    from enapter_async.emulator.log import Arrival as Arrival
    from enapter_async.emulator.log import Effect as Effect
    from enapter_async.emulator.provisioning import Provisioning as Provisioning
    from enapter_async.emulator.server import Emulator as Emulator
    from enapter_async.emulator.state import Device as Device
    from enapter_async.emulator.state import Refusal as Refusal
    from enapter_async.emulator.state import Site as Site
    from enapter_async.emulator.world import World as World

_HOMES = {
    "commands": "Behaviour Commands",
    "faults": (
        "Drop Fault FaultProfile Faults Hang Latency ROUGH Reply ServerFailure TooManyRequests "
        "Truncate WrongJSON"
    ),
    "fleetfile": "FleetFileError",
    "log": "Arrival Effect",
    "provisioning": "Provisioning",
    "server": "Emulator",
    "state": "Device Refusal Site",
    "world": "World",
}

if not TYPE_CHECKING:
    __all__ = [name for names in _HOMES.values() for name in names.split()]

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names.split():
                return getattr(import_module(f"{__name__}.{home}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
