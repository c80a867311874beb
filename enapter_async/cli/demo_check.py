"""Compares what was told with what was done: outcomes against the emulator's own log."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from enapter_async.converter import operation_to_json
from enapter_async.emulator.log import Effect
from enapter_async.emulator.world import World
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.operation import Operation, Repeat


def lies(
    world: World,
    operations: Sequence[Operation[Any]],
    outcomes: Iterable[Outcome[Any]],
    credentials: Path,
) -> Iterator[str]:
    """Yield everything that was told and is not so; nothing, if all of it is true.

    Each operation has one outcome. Applied: the effect is there, as asked for; where it was
    settled by looking, the device is as asked for. Failed, held, absent: there is no effect.
    Once-only operations took effect at most once, whatever was told. The file of
    credentials holds those of each applied configuration, once.
    `operations` must have no device with two operations of one kind.
    """
    told = Counter(_key(operation) for operation in operations)
    minted: Counter[str] = Counter()
    for outcome in outcomes:
        told[_key(outcome.operation)] -= 1
        row = operation_to_json(outcome.operation)
        effects = world.log.effects(row["device_id"], row["operation"].partition(".")[2])
        problem = _problem(outcome, row, effects, _shown(world, row["device_id"]))
        if problem:
            yield f"{row['operation']} of {row['device_id']} was told {outcome.state}: {problem}"
        done = outcome.state in (State.APPLIED, State.DIFFERS)
        if done and outcome.operation.answer.secret:
            minted[row["device_id"]] += 1
    for (kind, device_id), missing in told.items():
        if missing:
            yield f"{kind} of {device_id}: {'no outcome' if missing > 0 else 'two outcomes'}"
    if kept(credentials) != minted:
        yield "the file of credentials does not hold each applied configuration once"


def kept(credentials: Path) -> Counter[str]:
    """Count the lines for each device in a file of credentials."""
    with credentials.open(encoding="utf-8") as lines:
        return Counter(json.loads(line)["device_id"] for line in lines)


def _key(operation: Operation[Any]) -> tuple[str, str]:
    return type(operation).__name__, str(operation.subject())


def _shown(world: World, device_id: str) -> dict[str, Any] | None:
    return world.device(device_id).to_json() if device_id in world else None


def _problem(
    outcome: Outcome[Any],
    row: dict[str, Any],
    effects: Sequence[Effect],
    device: dict[str, Any] | None,
) -> str:
    if outcome.operation.repeat is Repeat.ONCE and len(effects) > 1:
        return f"it was done {len(effects)} times, and may be done once only"
    if outcome.state is State.APPLIED:
        wanted = {key: value for key, value in row.items() if key not in ("operation", "device_id")}
        if outcome.settled:
            return "" if _is_so(wanted, device) else "the device is not so"
        if not effects:
            return "it was not done"
        return "" if effects[-1].set == wanted else "something else was done"
    if outcome.state is State.ABSENT and device is not None:
        return "the device is there"
    return "it was done" if effects and outcome.state is not State.UNKNOWN else ""


def _is_so(wanted: dict[str, Any], device: dict[str, Any] | None) -> bool:
    if device is None or not wanted:
        return device is None and not wanted
    return all(device[key] == value for key, value in wanted.items())
