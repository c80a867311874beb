"""Divides the input of a job into partitions, each of which is a separate run.

A wave is divided into partitions, never a partition into waves. All items of one device, of one
unit, and of one chain (`after`) are in one partition, so that their order needs no coordination
between workers; such a group runs in the earliest wave in which it changes anything.
"""

from array import array
from collections.abc import Iterator
from typing import Any, Final, Literal

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.journal.resume import merged, repeated_things
from enapter_async.fleet.rollout.waves import Rollout, Waves

By = Literal["site"] | int

SIZE: Final = 2000
"""The number of operations in a partition, unless the job is divided by site."""
DEFAULT_QUEUE: Final = "default"
_NONE: Final = -1


@attrs.frozen(kw_only=True)
class Partition:
    """A part of a job: `size` items of one wave, for the workers of one queue.

    `first` is the position of its first item in the job, counting partition after partition.
    """

    no: int
    wave: int
    queue: str
    first: int
    size: int


def check_by(by: Any) -> By:
    """Return how to divide a job; refuse an invalid value.

    Raises:
        ConfigurationError: it is neither "site" nor a whole number of at least 1.
    """
    if by == "site" or (isinstance(by, int) and not isinstance(by, bool) and by >= 1):
        return by  # type: ignore[no-any-return]  # checked
    raise ConfigurationError(f"by is {by!r}; use 'site', or a number of operations of at least 1")


def queue_of(site: str) -> str:
    """Return the queue of a site's partitions; "" stands for items without a site."""
    return f"site:{site}" if site else DEFAULT_QUEUE


class Division:
    """An input divided into partitions; equal operations are merged. Keeps 18 bytes per item.

    Raises:
        InputConflictError: operations contradict each other.
        ConfigurationError: the input has no length, or `by` is invalid.
    """

    def __init__(self, given: Input, *, by: By = SIZE, rollout: Rollout | None = None) -> None:
        if not given.known:
            raise ConfigurationError(
                "a job for several workers needs an input with a length, such as a list or a plan"
            )
        self._input = given if rollout is None else Waves(given, rollout)
        self._left_out = merged(self._input)
        self.merged = len(self._left_out)
        """How many operations are left out as duplicates."""
        self._roots, self._waves = self._groups()
        self._part = array("i", [_NONE]) * len(self._roots)
        self.partitions = self._divided(check_by(by))
        self._local = array("i", [_NONE]) * len(self._roots)

    def items(self) -> Iterator[tuple[int, WorkItem]]:
        """Yield each item with its partition's number; items are renumbered in each partition.

        The items of one partition are in order, but partitions may be mixed. Each call starts from
        the beginning.
        """
        following = [0] * len(self.partitions)
        for item in self._input.items(self._left_out):
            no = self._part[item.seq]
            seq = self._local[item.seq] = following[no]
            following[no] += 1
            after = None if item.after is None else self._local[item.after]
            wave = self.partitions[no].wave
            # The item that it follows may have been merged with an earlier duplicate.
            yield no, item._replace(seq=seq, wave=wave, after=None if after == _NONE else after)

    def _groups(self) -> tuple["array[int]", "array[int]"]:
        """Return each item's group, identified by its first item, and each group's wave."""
        roots = array("q", range(len(self._input)))
        waves = array("h", [_NONE]) * len(roots)

        def root(seq: int) -> int:
            while roots[seq] != seq:
                roots[seq] = roots[roots[seq]]
                seq = roots[seq]
            return seq

        last = 0
        for seq, wave, other in self._links():
            last = max(last, wave)
            one, two = root(seq), root(other)
            roots[max(one, two)] = min(one, two)
        for item in self._input.items():
            first = roots[item.seq] = root(item.seq)
            if not item.unchanged and (waves[first] == _NONE or item.wave < waves[first]):
                waves[first] = item.wave
        for seq, wave in enumerate(waves):
            if wave == _NONE:
                waves[seq] = last
        return roots, waves

    def _links(self) -> Iterator[tuple[int, int, int]]:
        """Yield each item (seq, wave) with every item that it must stay with, including itself."""
        latest: dict[int, int] = {}
        units: dict[int, int] = {}
        repeated = repeated_things(self._input)
        for position, item in enumerate(self._input.items()):
            if item.seq != position:
                raise ConfigurationError(
                    f"operations[{position}] has the number {item.seq}; number the items of a job "
                    "from 0, in order"
                )
            yield item.seq, item.wave, item.seq
            if item.after is not None:
                yield item.seq, item.wave, item.after
            thing = item.operation.writes_to()
            if thing is not None and hash(thing) in repeated:
                yield item.seq, item.wave, latest.setdefault(hash(thing), item.seq)
            if item.unit is not None:
                yield item.seq, item.wave, units.setdefault(item.unit, item.seq)

    def _divided(self, by: By) -> tuple[Partition, ...]:
        """Assign each group to a partition of its wave, in the order of its first item."""
        open_: dict[tuple[int, str], int] = {}
        found: list[list[Any]] = []
        for item in self._input.items(self._left_out):
            first = self._roots[item.seq]
            no = self._part[first]
            if no == _NONE:
                wave = self._waves[first]
                queue = queue_of(item.group) if by == "site" else DEFAULT_QUEUE
                no = open_.get((wave, queue), _NONE)
                if no == _NONE or (by != "site" and found[no][2] >= by):
                    no = open_[wave, queue] = len(found)
                    found.append([wave, queue, 0])
                self._part[first] = no
            self._part[item.seq] = no
            found[no][2] += 1
        return self._numbered(found)

    def _numbered(self, found: list[list[Any]]) -> tuple[Partition, ...]:
        """Return the partitions in the order of their waves, and adapt the items' numbers."""
        order = sorted(range(len(found)), key=lambda no: (found[no][0], no))
        new = {old: no for no, old in enumerate(order)}
        for seq, no in enumerate(self._part):
            if no != _NONE:
                self._part[seq] = new[no]
        partitions: list[Partition] = []
        first = 0
        for no, old in enumerate(order):
            wave, queue, size = found[old]
            partitions.append(Partition(no=no, wave=wave, queue=queue, first=first, size=size))
            first += size
        return tuple(partitions)
