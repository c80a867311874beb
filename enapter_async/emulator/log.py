"""The emulator's log: arrivals of requests and effects of operations."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import attrs


@attrs.frozen(kw_only=True)
class Arrival:
    """One request that reached the emulator, whatever its outcome.

    `sequence` counts arrivals and effects together, which shows their order. `device_id` is the
    device's id if the request addresses an existing device by id or slug, otherwise the text in its
    place. `fault` names the injected fault, or is None.
    """

    sequence: int
    method: str
    path: str
    device_id: str | None = None
    fault: str | None = None

    @property
    def faulted(self) -> bool:
        """Whether a fault was injected into the request."""
        return self.fault is not None


def cause_of(method: str, path: str, body: bytes) -> str:
    """Return a string by which equal requests are recognised; it does not reveal the body."""
    try:
        content = json.dumps(json.loads(body), sort_keys=True).encode() if body else b""
    except (ValueError, RecursionError):
        content = body
    return f"{method} {unquote(path)} {hashlib.sha256(content).hexdigest()}"


@attrs.frozen(kw_only=True)
class Effect:
    """One operation that was applied, even if it changed nothing.

    `operation` is `update`, `delete`, `generate_config` or `assign_blueprint`, and of another noun
    than devices begins with it, such as `site.create`; `device_id` is the id of the object. `set`
    holds the requested values, and never a credential. `cause` is the `cause_of` the request.
    """

    sequence: int
    operation: str
    device_id: str
    set: Mapping[str, Any] = attrs.field(factory=dict)
    cause: str = attrs.field(default="", eq=False, repr=False)


class Log:
    """Stores arrivals and effects in order, or with `keep_records=False` only counts them.

    If it only counts, its size does not depend on the number of requests; queries
    about one device then raise `LookupError`.
    """

    def __init__(self, *, keep_records: bool = True) -> None:
        self.keep_records = keep_records
        self.cause = ""
        """The `cause_of` the request that is being carried out."""
        self._sequence = 0
        self._effects: list[Effect] = []
        self._arrivals: list[Arrival] = []
        self._effects_by_device: dict[str, list[Effect]] = {}
        self._arrivals_by_device: dict[str | None, list[Arrival]] = {}
        self._effect_counts: Counter[str] = Counter()
        self._arrival_counts: Counter[str] = Counter()
        self._fault_counts: Counter[str] = Counter()

    def arrived(
        self, method: str, path: str, *, device_id: str | None = None, fault: str | None = None
    ) -> None:
        """Record that a request arrived."""
        self._sequence += 1
        self._arrival_counts[method] += 1
        if fault is not None:
            self._fault_counts[fault] += 1
        if self.keep_records:
            arrival = Arrival(
                sequence=self._sequence, method=method, path=path, device_id=device_id, fault=fault
            )
            self._arrivals.append(arrival)
            self._arrivals_by_device.setdefault(device_id, []).append(arrival)

    def applied(self, operation: str, device_id: str, values: Mapping[str, Any]) -> None:
        """Record that an operation was applied."""
        self._sequence += 1
        self._effect_counts[operation] += 1
        if self.keep_records:
            effect = Effect(
                sequence=self._sequence,
                operation=operation,
                device_id=device_id,
                set=values,
                cause=self.cause,
            )
            self._effects.append(effect)
            self._effects_by_device.setdefault(device_id, []).append(effect)

    def effects(
        self, device_id: str | None = None, operation: str | None = None
    ) -> tuple[Effect, ...]:
        """Return the effects in order, optionally only those on one device or of one operation."""
        self._need_records()
        known = self._effects if device_id is None else self._effects_by_device.get(device_id, [])
        return tuple(e for e in known if operation is None or e.operation == operation)

    def arrivals(
        self, device_id: str | None = None, method: str | None = None
    ) -> tuple[Arrival, ...]:
        """Return the arrivals in order, optionally only those for one device or of one method."""
        self._need_records()
        known = self._arrivals if device_id is None else self._arrivals_by_device.get(device_id, [])
        return tuple(a for a in known if method is None or a.method == method)

    def count(self, operation: str | None = None, *, device_id: str | None = None) -> int:
        """Count effects, optionally only those of one operation or on one device."""
        if device_id is not None:
            return len(self.effects(device_id, operation))
        return self._effect_counts.total() if operation is None else self._effect_counts[operation]

    def count_arrivals(self, method: str | None = None, *, device_id: str | None = None) -> int:
        """Count requests, optionally only those of one method or for one device."""
        if device_id is not None:
            return len(self.arrivals(device_id, method))
        return self._arrival_counts.total() if method is None else self._arrival_counts[method]

    def count_faults(self, fault: str | None = None) -> int:
        """Count the requests that got a fault: a given fault, or any fault."""
        return self._fault_counts.total() if fault is None else self._fault_counts[fault]

    def fault_counts(self) -> dict[str, int]:
        """Return how often each fault was injected, by its name."""
        return dict(self._fault_counts)

    def clear(self) -> None:
        """Remove all entries and counts; the sequence continues."""
        self._effects.clear()
        self._arrivals.clear()
        self._effects_by_device.clear()
        self._arrivals_by_device.clear()
        self._effect_counts.clear()
        self._arrival_counts.clear()
        self._fault_counts.clear()

    def _need_records(self) -> None:
        if not self.keep_records:
            raise LookupError("this log only counts; start it with keep_records=True")
