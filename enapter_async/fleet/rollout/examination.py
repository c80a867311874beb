"""Examines the devices of a wave before and after it: whether they are online, and all gates."""

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from itertools import compress
from typing import Any

import attrs

from enapter_async.clock import Clock
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.waves import Seen
from enapter_async.fleet.patience import read_each
from enapter_async.fleet.reading import Caller, health_name, is_online
from enapter_async.fleet.rollout.gates import Gates, Judgement
from enapter_async.fleet.rollout.waves import Rollout

Sample = tuple[list[str], dict[str, str]]
"""Names of a wave's objects for the health gate, and devices with their sites for other gates."""


def sampled(rollout: Rollout, items: Iterable[WorkItem]) -> Sample:
    """Return the first objects that the items of a wave change, as many as a rollout examines."""
    for_health = 0 if rollout.health is None else rollout.health.sample
    for_gates = max((each.sample for each in rollout.gates), default=0)
    named: dict[str, None] = {}
    sites: dict[str, str] = {}
    for item in items if for_health or for_gates else ():
        # A device to be deleted is not expected online afterwards.
        if item.unchanged or item.operation.holds(None):
            continue
        name = health_name(item.operation.target())
        if name is None:
            continue
        if len(named) < for_health:
            named[name] = None
        if len(sites) < for_gates and ":" not in name:  # gates are about devices
            sites[name] = item.group
        if len(named) >= for_health and len(sites) >= for_gates:
            break
    return list(named), sites


@attrs.frozen
class Examination:
    """Examines the devices of a run's waves; `waiting` is entered with a text while it reads.

    Raises:
        PausedTooLongError: the server was unavailable for longer than these reads wait.
    """

    client: Caller
    clock: Clock
    rollout: Rollout
    waiting: Callable[[str], AbstractContextManager[Any]] = contextlib.nullcontext

    async def before(self, wave: int, sample: Sample) -> Seen:
        """Return what a sample of a wave shows before it; `wave` counts from 0."""
        named, sites = sample
        online: tuple[str, ...] = ()
        met: dict[str, tuple[str, ...]] = {}
        if named:
            with self.waiting(f"checking {devices(len(named))} of wave {wave + 1}"):
                online = tuple(compress(named, await self._are_online(named)))
        if sites:
            with self.waiting("checking the gates before the next wave"):
                met = await self._gates.before(sites)
        kept = {name for names in met.values() for name in names}
        known = {name: site for name, site in sites.items() if site and name in kept}
        return Seen(online=online, met=met, sites=known)

    async def after(self, wave: int, seen: Seen | None) -> Judgement:
        """Return whether the devices of a wave are as they were before it."""
        gate, were = self.rollout.health, () if seen is None else seen.online
        if gate is not None and were:
            still = f"{devices(len(were))} of wave {wave + 1} {'is' if len(were) == 1 else 'are'}"
            with self.waiting(f"checking whether {still} still online"):
                lost = (await self._are_online(were)).count(False)
            if lost * 100 > gate.most_lost * len(were):
                return Judgement(
                    why=f"{lost} of {len(were)} devices that were online before it are no longer "
                    f"online; the limit is {gate.most_lost:g} %"
                )
        if seen is None or not any(seen.met.values()):
            return Judgement()
        with self.waiting("checking the gates after the last wave"):
            return await self._gates.after(seen.met, seen.sites)

    @property
    def _gates(self) -> Gates:
        return Gates(self.client, self.rollout.gates, self.clock)

    async def _are_online(self, names: Iterable[str]) -> list[bool]:
        """Return which objects are online, in order."""
        return await read_each(partial(is_online, self.client), tuple(names))


def devices(number: int) -> str:
    """Return a number of devices as text."""
    return f"{number:,} device{'' if number == 1 else 's'}"
