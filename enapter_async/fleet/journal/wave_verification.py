"""Collects the data to verify a wave: its first bad item, and the values devices must show."""

from typing import Any

from enapter_async.fleet.outcomes import State
from enapter_async.operation import Operation, Repeat, described


class WaveVerification:
    """Collects the outcomes of a wave's items, in order for each device.

    `number` counts from 0. `bad` names the first item that ended badly, or is "". `online` contains
    the devices that were online before the wave, or is None if this was not checked; `met` those
    that met the condition of each gate.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.bad = ""
        self.online: tuple[str, ...] | None = None
        self.met: dict[str, tuple[str, ...]] = {}
        self._set: dict[Any, list[Operation[Any]]] = {}

    def take(self, operation: Operation[Any], state: State) -> None:
        """Record the outcome of an item."""
        if not state.done:
            self.bad = self.bad or f"{described(operation)} ended as '{state}'"
            return
        self.outdo(operation)
        if state is State.APPLIED and operation.repeat is Repeat.CONVERGENT:
            self._set.setdefault(operation.writes_to(), []).append(operation)

    def outdo(self, operation: Operation[Any]) -> None:
        """Record a later operation; values that it overwrites or deletes are not verified."""
        thing = operation.writes_to()
        if thing not in self._set:
            return
        fields = operation.changes().keys()
        self._set[thing] = [
            each
            for each in self._set[thing]
            if not operation.holds(None) and each.changes().keys() - fields
        ]

    def shown(self) -> list[Operation[Any]]:
        """Return the operations whose effects must be visible now."""
        return [each for done in self._set.values() for each in done]
