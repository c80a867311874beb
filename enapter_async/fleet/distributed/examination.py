"""Examines the devices of a wave of a job, whichever partitions they are in: health and gates.

Before a wave it finds out which devices are online and which meet each gate's condition; after it,
whether they still do. What was found before is kept with the job, so that any worker can compare.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Self

import attrs

from enapter_async.clock import Clock
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.patience import read_each
from enapter_async.fleet.reading import Caller, health_name, is_online
from enapter_async.fleet.rollout.gates import Gates, Judgement
from enapter_async.fleet.rollout.waves import HealthGate, Rollout


@attrs.frozen(kw_only=True)
class Seen:
    """The devices of a wave before it: those online, and those that met each gate's condition.

    `sites` has the sites of the latter, as far as they are known.
    """

    online: tuple[str, ...] = ()
    met: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    sites: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return what `as_text` wrote."""
        found = json.loads(text)
        met = {gate: tuple(names) for gate, names in found["met"].items()}
        return cls(online=tuple(found["online"]), met=met, sites=found["sites"])

    def as_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(attrs.asdict(self))


def is_examined(rollout: Rollout) -> bool:
    """Return whether a rollout has a health gate or other gates."""
    return rollout.health is not None or bool(rollout.gates)


@attrs.frozen
class Examination:
    """Examines the devices of a job's waves by the reads of a worker.

    Raises:
        PausedTooLongError: the server was unavailable for longer than these reads wait.
    """

    client: Caller
    clock: Clock
    rollout: Rollout

    async def before(self, journals: Sequence[str]) -> Seen:
        """Return what the devices of a wave show before it; `journals` are its partitions'."""
        health = self.rollout.health
        most = 0 if health is None else health.sample
        named, sites = await asyncio.to_thread(_sample, journals, most, self._gates.sample)
        online = tuple(compress(named, await self._are_online(named)))
        met = await self._gates.before(sites) if sites else {}
        kept = {name for names in met.values() for name in names}
        known = {name: site for name, site in sites.items() if site and name in kept}
        return Seen(online=online, met=met, sites=known)

    async def after(self, seen: Seen) -> Judgement:
        """Return whether the devices of a wave are as they were before it."""
        gate = self.rollout.health
        if gate is not None and (why := await self._lost(gate, seen.online)):
            return Judgement(why=why)
        if not any(seen.met.values()):
            return Judgement()
        return await self._gates.after(seen.met, seen.sites)

    @property
    def _gates(self) -> Gates:
        return Gates(self.client, self.rollout.gates, self.clock)

    async def _lost(self, gate: HealthGate, were: Sequence[str]) -> str:
        lost = (await self._are_online(were)).count(False)
        if lost * 100 <= gate.most_lost * len(were):
            return ""
        return (
            f"{lost} of {len(were)} devices that were online before it are no longer online; the "
            f"limit is {gate.most_lost:g} %"
        )

    async def _are_online(self, names: Sequence[str]) -> list[bool]:
        """Return which objects are online, in order."""
        return await read_each(partial(is_online, self.client), names)


def _sample(
    journals: Sequence[str], for_health: int, for_gates: int
) -> tuple[list[str], dict[str, str]]:
    """Return the first names for the health gate, and the first devices for gates, with sites."""
    named: dict[str, None] = {}
    sites: dict[str, str] = {}
    for name, site in _named(journals):
        if len(named) < for_health:
            named[name] = None
        if len(sites) < for_gates and ":" not in name:  # gates are about devices
            sites[name] = site
        if len(named) >= for_health and len(sites) >= for_gates:
            break
    return list(named), sites


def _named(journals: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the site of each object that these partitions change."""
    for each in journals:
        with contextlib.closing(read_journal(each)) as journal:
            for item in journal.items():
                # A device to be deleted is not expected online afterwards.
                if item.unchanged or item.operation.holds(None):
                    continue
                name = health_name(item.operation.target())
                if name is not None:
                    yield name, item.group
