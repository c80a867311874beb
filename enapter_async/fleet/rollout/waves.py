"""Divides a run into waves: a few devices first, then more once these have succeeded."""

import json
import math
from array import array
from collections.abc import Container, Iterator
from typing import Any, Final, Self

import attrs

from enapter_async.errors import ConfigurationError, check_number
from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.operations.kinds import OLD_NOUN
from enapter_async.operations.nouns import Condition, noun_named

ROLLOUT: Final = "rollout"
"""The name of the journal fact that records how the run is divided into waves."""
REST: Final = "rest"
CAREFUL: Final = 2
"""How many waves are read back and must have no failures."""
MOST_WAVES: Final = 100
SAMPLE: Final = 200
"""The maximum number of devices of a wave that the health gate checks."""
LOOK_AHEAD: Final = 10
"""If `per_group` is set, the input is read ahead by this multiple of the concurrency."""


def _sizes(value: Any) -> tuple[int | str, ...]:
    sizes = (value,) if isinstance(value, int | str) else tuple(value)
    for each in sizes:
        _wanted(each, 0)
    if len(sizes) > MOST_WAVES:
        raise ConfigurationError(f"there are {len(sizes)} waves; the maximum is {MOST_WAVES}")
    if REST in sizes[:-1]:
        raise ConfigurationError(f"{REST!r} must be the last wave")
    return sizes


def _wanted(size: Any, total: int) -> int:
    """Return the number of items for a wave's size, or raise an error if it is not a valid size."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    if size == REST:
        return total
    if isinstance(size, str) and size.endswith("%"):
        try:
            percent = float(size[:-1])
        except ValueError:
            percent = math.nan
        if 0 < percent <= 100:
            # A rounding error of the float must not add a device.
            return math.ceil(round(percent / 100 * total, 6))
    raise ConfigurationError(
        f"{size!r} is not a wave size; use a number of at least 1, a percentage such as '10%', or "
        f"'rest'"
    )


@attrs.frozen(kw_only=True)
class HealthGate:
    """Compares which devices of a wave are online before it and after the hold.

    Checks at most `sample` devices of the wave. If more than `most_lost` percent of those that
    were online before are offline afterwards, no further wave starts.
    """

    most_lost: float = 5.0
    sample: int = SAMPLE

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.most_lost < 100:
            raise ConfigurationError(
                f"most_lost is {self.most_lost!r}; it must be a percentage from 0 to less than 100"
            )
        if isinstance(self.sample, bool) or not 1 <= self.sample <= SAMPLE:
            raise ConfigurationError(
                f"sample is {self.sample!r}; it must be from 1 to {SAMPLE} devices"
            )


@attrs.frozen(kw_only=True)
class Gate:
    """A condition that the devices of a wave must still meet after the hold.

    `condition` is "alerts" (none is raised), "alerts(error)" (none of at least this severity), a
    condition on a property, such as "status=ok", or one on the latest telemetry with the time for
    which it must hold after the wave, such as "power>0 for 5m".

    Checks at most `sample` devices of the wave: if more than `most_lost` percent of those that met
    it before no longer do, no further wave starts. Devices that are only not configured, as after a
    new blueprint, are counted separately. A device that does not say whether it raises alerts does
    not meet the condition.
    """

    condition: str
    most_lost: float = 5.0
    sample: int = SAMPLE

    def __attrs_post_init__(self) -> None:
        HealthGate(most_lost=self.most_lost, sample=self.sample)  # the same limits
        self.parsed()

    def is_exceeded(self, lost: int, of: int) -> bool:
        """Return whether this many lost devices are too many."""
        return lost * 100 > self.most_lost * of

    def parsed(self) -> Condition:
        """Return the condition itself."""
        return noun_named(OLD_NOUN).condition(self.condition)


def _gates(value: Any) -> tuple[Gate, ...]:
    given = (value,) if isinstance(value, str | Gate) else tuple(value)
    gates = tuple(each if isinstance(each, Gate) else Gate(condition=each) for each in given)
    named = [each.condition for each in gates]
    if len(set(named)) < len(named):
        raise ConfigurationError("two gates have the same condition; pass each one once")
    return gates


@attrs.frozen(kw_only=True)
class Rollout:
    """How a run is divided into waves, each of which starts when the previous one is finished.

    `waves` are sizes: numbers, percentages of all items ("10%", rounded up), or "rest"; items
    left after the last size form one more wave. The items of a wave are spread over groups
    (sites): one of each first, then in proportion. The first two waves are read back, and pass
    only if all their items are applied, unchanged or absent; for later waves the run's abort
    criteria decide. With a journal this holds across sessions: no wave starts before the previous
    one has passed, whichever session executed it. `hold` is the pause between two waves, in
    seconds. `per_group` limits how many items of one group are in flight at once. `health`
    checks after the hold whether devices are still online, and `gates` whether they still meet
    conditions: a `Gate`, or a string such as "alerts(error)", or several.
    """

    waves: tuple[int | str, ...] = attrs.field(default=(1, 10, "1%", "10%", REST), converter=_sizes)
    hold: float = 0.0
    per_group: int | None = None
    health: HealthGate | None = None
    gates: tuple[Gate, ...] = attrs.field(default=(), converter=_gates)

    def __attrs_post_init__(self) -> None:
        check_number("hold, in seconds,", self.hold)
        most = self.per_group
        if most is not None and (isinstance(most, bool) or most < 1):
            raise ConfigurationError(
                f"per_group is {most!r}; it must be a whole number of at least 1"
            )

    def sizes(self, total: int) -> tuple[int, ...]:
        """Return the number of items in each wave, for `total` items; no wave is empty."""
        found: list[int] = []
        left = total
        for each in (*self.waves, REST):
            size = min(left, _wanted(each, total))
            if size:
                found.append(size)
                left -= size
        return tuple(found)

    def as_text(self) -> str:
        """Return the rollout as JSON, which `from_text` reads."""
        told = attrs.asdict(self)
        if not self.gates:
            del told["gates"]  # so that it is the text that older versions wrote
        return json.dumps(told)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse the text that `as_text` returned.

        Raises:
            RunRefusedError: it is damaged, or was written by another version.
        """
        try:
            told = json.loads(text)
            health = told.pop("health")
            gates = tuple(Gate(**each) for each in told.pop("gates", ()))
            return cls(**told, health=None if health is None else HealthGate(**health), gates=gates)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise RunRefusedError(
                "the run's rollout is corrupt, or was written by another version; it cannot be "
                f"resumed ({type(error).__name__})"
            ) from None


class Waves(Input):
    """An input arranged in waves: each item occurs once, renumbered in the order of the waves.

    Within a wave the order is that of the input. An item is never in an earlier wave than a
    previous item for the same device, or than the item it follows. The items of a unit are in one
    wave, even if this makes the wave larger. Unchanged items come in the last wave. The input is
    read once per wave; only three numbers per item are kept.
    """

    def __init__(self, given: Input, rollout: Rollout) -> None:
        if not given.known:
            raise ConfigurationError("waves need an input with a length, such as a list")
        self._given = given
        self.known, self.waits = True, False
        self.planned, self.plan = given.planned, given.plan
        self._wave_of = _assign(given, rollout)
        self._seq_of = array("q", bytes(8 * len(self._wave_of)))
        self.sizes = [0] * (max(self._wave_of, default=-1) + 1)
        for wave in self._wave_of:
            self.sizes[wave] += 1
        following = [sum(self.sizes[:wave]) for wave in range(len(self.sizes))]
        for position, wave in enumerate(self._wave_of):
            self._seq_of[position] = following[wave]
            following[wave] += 1

    def __len__(self) -> int:
        return len(self._wave_of)

    def items(self, without: Container[int] = ()) -> Iterator[WorkItem]:
        """Yield the items, except those in `without`, in wave order; each call starts again."""
        for wave in range(len(self.sizes)):
            for position, item in enumerate(self._given.items()):
                seq = self._seq_of[position]
                if self._wave_of[position] == wave and seq not in without:
                    after = None if item.after is None else self._seq_of[item.after]
                    yield item._replace(seq=seq, wave=wave, after=after)


def _assign(given: Input, rollout: Rollout) -> "array[int]":
    """Return the wave of each item, by its position in the input."""
    links = _Links(given)
    sizes = rollout.sizes(sum(links.changes))
    last = max(0, len(sizes) - 1)
    waves = array("h", [-1]) * len(links.ranks)
    wave, room = -1, 0
    for position in sorted(range(len(waves)), key=links.ranks.__getitem__):
        if not links.changes[position]:
            continue
        while room <= 0 and wave < last:
            wave += 1
            room += sizes[wave]
        room -= links.place(position, wave, waves)
    for position, assigned in enumerate(waves):
        if assigned < 0:
            waves[position] = last
    return waves


class _Links:
    """The ordering constraints between an input's items, by position. The input is read once."""

    def __init__(self, given: Input) -> None:
        self.changes = bytearray()
        self._after = array("q")
        self._same_thing = array("q")
        self._mates: dict[int, list[int]] = {}
        latest: dict[tuple[str, str], int] = {}
        units: dict[int, list[int]] = {}
        created: dict[tuple[str, str], list[int]] = {}
        groups: dict[str, int] = {}
        sizes: list[int] = []
        named, places = array("l"), array("l")
        for position, item in enumerate(given.items()):
            if item.seq != position:
                raise ConfigurationError(
                    f"items[{position}] has the number {item.seq}; waves need items in order"
                )
            self.changes.append(not item.unchanged)
            self._after.append(-1 if item.after is None else item.after)
            thing = item.operation.writes_to()
            self._same_thing.append(-1 if thing is None else latest.get(thing, -1))
            if thing is not None:
                latest[thing] = position
                if item.operation.makes() is not None:
                    created[thing] = []
                if thing in created:
                    self._mates[position] = created[thing]
                    self._mates[position].append(position)
            if item.unit is not None:
                self._mates[position] = units.setdefault(item.unit, [])
                self._mates[position].append(position)
            group = groups.setdefault(item.group, len(groups))
            if group == len(sizes):
                sizes.append(0)
            named.append(group)
            # Unchanged items do not count toward a wave's size, so they do not affect its spread.
            places.append(sizes[group])
            sizes[group] += not item.unchanged
        self.ranks = array(
            "d",
            (
                # One of each group first, in input order; then in proportion.
                group - len(sizes) if place == 0 else (place + 0.5) / sizes[group]
                for group, place in zip(named, places, strict=True)
            ),
        )

    def place(self, position: int, wave: int, waves: "array[int]") -> int:
        """Put an item, and all that must not come later, into a wave; return how many change."""
        placed = 0
        waiting = [position]
        while waiting:
            each = waiting.pop()
            if waves[each] >= 0:
                continue
            waves[each] = wave
            placed += self.changes[each]
            waiting.extend(
                link for link in (self._after[each], self._same_thing[each]) if link >= 0
            )
            waiting.extend(self._mates.get(each, ()))
        return placed
