"""Makes the demo's fleet and its input file, which includes mistakes as a real file would."""

import csv
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from enapter_async.emulator.state import RUNS_ON_UPSTREAM, Device
from enapter_async.emulator.world import World
from enapter_async.fleet.operation_files import COLUMNS

Row = dict[str, str]

BLUEPRINT: Final = "0b1ue000-0000-4000-8000-000000000002"
# Shares of the devices; the others are renamed.
_DELETED: Final = 0.08
_CONFIGURED: Final = 0.15
_REASSIGNED: Final = 0.20
# Shares of mistakes, and of repeated changes, as in a real file.
_MISTAKES: Final = 0.006
_CHANGED_TWICE: Final = 0.02


def make_world(devices: int, seed: int) -> World:
    """Make a fleet in which the caller may change nearly every device, but not all."""
    world = World.seeded(devices, seed, role="OWNER")
    for device in world.devices[:: int(1 / _MISTAKES)]:
        world.change(device.id, authorized_role="READONLY")
    return world


def write_plan(world: World, path: Path, seed: int) -> None:
    """Write a CSV file of operations on a world's devices; the same seed gives the same file."""
    # Use a separate seed, because the world has generated its devices' ids from `seed` itself.
    chance = Random(f"plan/{seed}")  # noqa: S311 - a repeatable plan, not cryptography
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(plan(world, chance))


def plan(world: World, chance: Random) -> Iterator[Row]:
    """Yield the rows; no device has two operations of one kind, so each can be checked."""
    devices = list(world.devices)
    chance.shuffle(devices)
    count = len(devices)
    mistakes = int(count * _MISTAKES)
    deleted, devices = _pick(
        devices, int(count * _DELETED), mistakes, lambda each: not world.below(each.id)
    )
    configured, devices = _pick(
        devices,
        int(count * _CONFIGURED),
        mistakes,
        lambda each: each.communication_type not in RUNS_ON_UPSTREAM,
    )
    reassigned, renamed = _pick(devices, int(count * _REASSIGNED), 0, lambda _: True)
    rows = [{"operation": "delete", "device_id": each.id} for each in deleted]
    rows += [_row("delete", str(_uuid(chance))) for _ in range(mistakes)]
    rows += [_row("generate_config", each.id, protocol=_protocol(each)) for each in configured]
    rows += [_row("assign_blueprint", each.id, blueprint_id=BLUEPRINT) for each in reassigned]
    for number, each in enumerate(renamed):
        # The next device keeps its slug, so this device cannot take it.
        taken = renamed[number + 1].slug if number < min(mistakes, len(renamed) - 1) else ""
        rows.append(_row("update", each.id, name=f"{each.name} (2026)", slug=taken))
    chance.shuffle(rows)
    rows += [
        _row("assign_blueprint", each.id, blueprint_id=BLUEPRINT)
        for each in renamed[: int(count * _CHANGED_TWICE)]
    ]
    yield from rows


def _row(operation: str, device_id: str, **cells: str) -> Row:
    return {"operation": operation, "device_id": device_id, **cells}


def _pick(
    devices: list[Device], number: int, mistakes: int, is_right: Callable[[Device], bool]
) -> tuple[list[Device], list[Device]]:
    """Pick `number` devices, of which `mistakes` are unsuitable; return them and the others."""
    right = [each for each in devices if is_right(each)][: number - mistakes]
    wrong = [each for each in devices if not is_right(each)][:mistakes]
    taken = {each.id for each in (*right, *wrong)}
    return [*right, *wrong], [each for each in devices if each.id not in taken]


def _protocol(device: Device) -> str:
    return "MQTT" if device.communication_type == "MQTT_V1_PLAINTEXT" else "MQTTS"


def _uuid(chance: Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128), version=4)
