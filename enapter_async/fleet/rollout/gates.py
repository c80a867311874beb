"""Gates: conditions that the devices of a wave must still meet after it, as they did before.

Devices are read through the pages of their sites, 50 in one request, as long as that takes at most
half as many requests as reading them one by one.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async._http.call import CallRecord
from enapter_async.clock import Clock
from enapter_async.errors import EnapterError
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.patience import read_each
from enapter_async.fleet.planning.paging import read_pages
from enapter_async.fleet.reading import Caller
from enapter_async.fleet.rollout.waves import Gate
from enapter_async.operations.kinds import OLD_NOUN
from enapter_async.operations.nouns import Condition, noun_named

BETWEEN_LOOKS: Final = 30.0
"""Seconds between two checks of a condition that must stay met."""


@attrs.frozen(kw_only=True)
class Judgement:
    """What gates found after a wave: why it did not pass, or "", and how many count separately."""

    why: str = ""
    apart: int = 0

    @property
    def apart_text(self) -> str:
        """The number of those that count separately, after a semicolon; "" if there are none."""
        return f"; {self.apart} devices are not configured" if self.apart else ""


@attrs.frozen
class Gates:
    """Checks the gates of a run. Devices are named by id or slug, each with its site, or ""."""

    client: Caller
    gates: tuple[Gate, ...]
    clock: Clock = Clock()

    async def before(self, devices: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Return, for each gate, the devices that meet its condition before a wave."""
        states = await self._read(devices)
        found = {}
        for gate, condition in self._conditions():
            said = await self._said(condition, list(devices)[: gate.sample], states)
            found[gate.condition] = tuple(name for name, met in said.items() if met)
        return found

    async def after(self, met: Mapping[str, Sequence[str]], sites: Mapping[str, str]) -> Judgement:
        """Return the judgement on the devices that met the conditions before.

        A device that cannot be read, or does not report the value, no longer meets a condition. A
        condition that must stay met is read repeatedly; only the last read must then report a
        value.
        """
        names = dict.fromkeys(name for each in met.values() for name in each)
        states = await self._read({name: sites.get(name, "") for name in names})
        apart = {
            name
            for _, condition in self._conditions()
            for name, state in states.items()
            if condition.stands_apart(state)
        }
        for gate, condition in self._conditions():
            were = met.get(gate.condition, ())
            said = await self._said(condition, were, states)
            end = self.clock.monotonic() + condition.lasting
            while were and not gate.is_exceeded(list(said.values()).count(False), len(were)):
                left = end - self.clock.monotonic()
                if left <= 0:
                    break
                await self.clock.sleep(min(BETWEEN_LOOKS, left))
                now = await self._said(condition, were, states)
                said = {name: said[name] if said[name] is False else now[name] for name in were}
            lost = len(said) - list(said.values()).count(True)
            if gate.is_exceeded(lost, len(were)):
                unknown = list(said.values()).count(None)
                silent = (
                    f" ({unknown} of them cannot be read or do not report it)" if unknown else ""
                )
                why = (
                    f"{lost} of {len(were)} devices that met '{gate.condition}' before it no "
                    f"longer do{silent}; the limit is {gate.most_lost:g} %"
                )
                return Judgement(why=why, apart=len(apart))
        return Judgement(apart=len(apart))

    async def _said(
        self, condition: Condition, names: Sequence[str], states: Mapping[str, Any]
    ) -> dict[str, bool | None]:
        """Return for each device whether it meets a condition; None if that is unknown."""
        found: dict[str, Any] = {}
        own = False
        for reading in condition.reads(names):
            own = True
            # A device of which nothing can be read does not count as healthy.
            with _unreadable():
                found |= await self.client.call(reading, record=CallRecord(), patient=True)
        known = found if own else states
        return {name: condition.is_met(known[name]) if name in known else None for name in names}

    def _conditions(self) -> list[tuple[Gate, Condition]]:
        return [(gate, gate.parsed()) for gate in self.gates]

    async def _read(self, devices: Mapping[str, str]) -> dict[str, Any]:
        """Return the states of those devices that can be read, by the names given."""
        expand = dict.fromkeys(name for _, each in self._conditions() for name in each.expand)
        if not expand:
            return {}
        found: dict[str, Any] = {}
        by_site: dict[str, set[str]] = {}
        for name, site in devices.items():
            by_site.setdefault(site, set()).add(name)
        for site, names in by_site.items():
            await self._read_pages(site, names, tuple(expand), found)
        left = [name for name in devices if name not in found]
        await read_each(lambda name: self._read_one(name, tuple(expand), found), left)
        return found

    async def _read_pages(
        self, site: str, names: set[str], expand: tuple[str, ...], found: dict[str, Any]
    ) -> None:
        noun = noun_named(OLD_NOUN)
        most = len(names) // 2
        wanted, read = set(names), 0
        if not most:
            return
        pages = read_pages(self.client, noun, site_id=site or None, expand=expand)
        # Whatever is not found here is read by itself, and then its error counts.
        with _unreadable():
            async with contextlib.aclosing(pages):
                async for page in pages:
                    read += 1
                    for state in page:
                        facts = noun.facts(state)
                        for name in wanted & {facts.id, facts.slug}:
                            found[name] = state
                            wanted.discard(name)
                    if not wanted or read >= most:
                        return

    async def _read_one(self, name: str, expand: tuple[str, ...], found: dict[str, Any]) -> None:
        reading = noun_named(OLD_NOUN).get(name, expand)
        if reading is None:
            return
        # As for the health gate: a device that cannot be read does not count as healthy.
        with _unreadable():
            found[name] = await self.client.call(reading, record=CallRecord(), patient=True)


@contextlib.contextmanager
def _unreadable() -> Iterator[None]:
    """Skip what cannot be read, unless the server is unavailable to everything."""
    try:
        yield
    except PausedTooLongError:
        raise
    except EnapterError:
        return
