"""The soak's server, in its own process: mostly honest, with a log of what it did.

`python -m tests.soak.server SEED EFFECTS` prints its URL, serves until its input ends, and then
writes its effects to EFFECTS, one JSON object for each.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import attrs

from tests.support.kinds import APPLIED, FINAL, MAYBE, NINE_INTERIMS, REFUSED
from tests.support.late import MOMENTS
from tests.support.replies import drip, errors, half_head, hang, slowly, truncated
from tests.support.server import (
    HONEST,
    Connection,
    FaultServer,
    Reply,
    Step,
    applied,
    ignored,
    later,
)
from tests.support.world import World, device

FAULTY_SHARE = 0.1
RESET_SHARE = 0.01
RARE_SHARE = 0.02
"""How many of the faults are slow, or pause the whole client."""

NEW = "new-"
"""Addresses with this prefix are devices that come into existence at their first use."""

# Too many faults that ask the client to wait would leave little other traffic.
_MAYBE: list[Reply] = [
    reply
    for name, reply in MAYBE.items()
    if reply is not NINE_INTERIMS and not name.endswith("with-retry-after")
]
_APPLIED: list[Reply] = list(APPLIED.values())
_FINAL: list[Reply] = [
    reply for name, reply in FINAL.items() if name not in {"status-401", "status-404"}
]
_BRIEFLY_REFUSED: list[Reply] = [REFUSED["row21-425"]]
_SILENT: list[Reply] = [hang(), half_head("hang"), truncated("hang")]


class EndlessWorld(World):
    """A world with a device for each new address; deleted devices stay deleted."""

    def _find(self, address: str) -> dict[str, Any] | None:
        if address.startswith(NEW) and address not in self.past:
            self.devices[address] = device(address)
            self.past[address] = [None]
        return self.devices.get(address)


class TroubledServer(FaultServer):
    """Draws a step for each arrival and each connection, and keeps only the effects."""

    def __init__(self, seed: int) -> None:
        super().__init__(devices=tuple(f"dev-{number}" for number in range(1, 51)))
        self._chance = random.Random(seed)
        self.world = EndlessWorld(self.world.devices)
        self.late = type(self.late)(self.world)
        self.on_connect = self._greet
        self.arrived_in_all = 0

    async def _greet(self, connection: Connection) -> bool:
        self.connections.clear()
        if self._chance.random() < RESET_SHARE:
            connection.reset()
            return False
        return True

    def _next_step(self, method: str) -> Step:
        self.arrivals.clear()
        self.arrived_in_all += 1
        chance = self._chance
        if chance.random() >= FAULTY_SHARE:
            return HONEST
        if chance.random() < RARE_SHARE:
            return chance.choice(
                [
                    ignored(errors(429, ("Retry-After", "0"))),
                    applied(chance.choice(_SILENT)),
                    later(chance.choice(MOMENTS), hang()),
                    applied(drip(0.0005)),
                ]
            )
        return chance.choice(
            [
                applied(chance.choice(_APPLIED)),
                applied(chance.choice(_MAYBE)),
                ignored(chance.choice(_MAYBE)),
                later(chance.choice(MOMENTS), chance.choice(_MAYBE)),
                ignored(chance.choice([*_BRIEFLY_REFUSED, *_FINAL])),
                applied(slowly(0.01)),
            ]
        )


async def serve(seed: int, effects: Path) -> None:
    loop = asyncio.get_running_loop()
    async with TroubledServer(seed) as server:
        print(server.base_url, flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        server.late.land()
        with effects.open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps(attrs.asdict(effect)) + "\n" for effect in server.world.effects
            )
        print(server.arrived_in_all, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
