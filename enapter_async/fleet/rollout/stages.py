"""What happens between two waves: reading back, the hold, the health gate, the guard's look."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from enapter_async._http.call import CallRecord
from enapter_async.clock import Clock
from enapter_async.errors import EnapterError, NotFoundError
from enapter_async.fleet.events import OnEvent, RunGoesOn, RunWaiting, WaveBegan, WavePassed
from enapter_async.fleet.item import Caller
from enapter_async.fleet.pacing.pace import Reason, Wait
from enapter_async.fleet.planning.guard import Guard
from enapter_async.fleet.report import Outcome, State
from enapter_async.fleet.rollout.health import is_online
from enapter_async.fleet.rollout.waves import CAREFUL, HealthGate, Rollout, WaveNotPassedError
from enapter_async.fleet.work import Work
from enapter_async.operation import Operation, Repeat

AT_ONCE: Final = 8
"""How many reads are under way at once."""
LOOKS: Final = (0.0, 1.0, 3.0)
"""Seconds before each look at a device: a copy that is read may lag behind."""
EVERYTHING: Final = Rollout(waves=("rest",))


class Stages:
    """Takes a run from wave to wave. `works_of` begins anew to give the works of a wave.

    Without a `rollout` everything is one wave, which is not read back.
    """

    def __init__(
        self,
        rollout: Rollout | None,
        client: Caller,
        clock: Clock,
        *,
        sizes: list[int] | None,
        works_of: Callable[[int], Iterator[Work]],
        guard: Guard | None,
        on_event: OnEvent,
    ) -> None:
        self._staged = rollout is not None
        self._rollout = rollout or EVERYTHING
        self._client = client
        self._clock = clock
        self._sizes = sizes
        self._works_of = works_of
        self._guard = guard
        self._on_event = on_event
        self._done: dict[str, list[Operation[Any]]] = {}
        self._bad: str = ""
        self._were_online: list[Operation[Any]] = []
        self.wave: int | None = None

    def ended(self, outcome: Outcome[Any]) -> None:
        """Take note of an outcome of the present wave."""
        if not self._careful:
            return
        operation = outcome.operation
        subject = operation.subject() or ""
        if not outcome.state.done:
            self._bad = self._bad or f"{type(operation).__name__} of {subject} is {outcome.state}"
        elif outcome.state is State.APPLIED and operation.repeat is Repeat.CONVERGENT:
            fields = (operation.request().body or {}).keys()
            # What a later operation sets anew, or deletes, need not hold any more.
            self._done[subject] = [
                each
                for each in self._done.get(subject, [])
                if not operation.holds(None) and (each.request().body or {}).keys() - fields
            ] + [operation]

    async def turn_to(self, wave: int) -> None:
        """End the present wave, if there is one, and begin another; nothing is under way.

        Raises:
            WaveNotPassedError: the present wave did not go as it must.
            EnapterError: the devices could not be read.
        """
        if self.wave is not None:
            await self.finish(last=False)
            await self._hold()
            await self._check_health()
        self.wave = wave
        self._done.clear()
        self._bad = ""
        await self._look_before(wave)
        if self._guard is not None:
            await self._guard.before_wave(wave, lambda: self._works_of(wave))
        if self._staged:
            size = self._sizes[wave] if self._sizes else None
            waves = len(self._sizes) if self._sizes else None
            self._on_event(WaveBegan(number=wave + 1, size=size, waves=waves))

    async def finish(self, *, last: bool) -> None:
        """See whether the present wave went as it must.

        What failed in the last wave is told by its outcome, and stops nothing any more.

        Raises:
            WaveNotPassedError: it did not.
        """
        if self.wave is None or not self._staged:
            return
        if self._bad and not last:
            raise WaveNotPassedError(f"wave {self.wave + 1} did not pass: {self._bad}")
        wanted = [each for done in self._done.values() for each in done]
        self._done.clear()
        if wanted:
            detail = f"wave {self.wave + 1} is read back"
            self._wait(Wait(reason=Reason.READ_BACK, since=self._now(), detail=detail))
            differing = [each for each in await self._each(self._shows, wanted) if each]
            self._on_event(RunGoesOn())
            if differing:
                raise WaveNotPassedError(
                    f"wave {self.wave + 1} did not pass: {len(differing)} of {len(wanted)} read "
                    f"back do not show what was set, the first being {differing[0]}"
                )
        self._on_event(WavePassed(number=self.wave + 1, read_back=len(wanted)))

    @property
    def _careful(self) -> bool:
        return self._staged and self.wave is not None and self.wave < CAREFUL

    async def _hold(self) -> None:
        seconds = self._rollout.hold
        if seconds > 0:
            now = self._now()
            detail = "the hold between two waves"
            self._wait(Wait(reason=Reason.HOLD, since=now, until=now + seconds, detail=detail))
            await self._clock.sleep(seconds)
            self._on_event(RunGoesOn())

    async def _look_before(self, wave: int) -> None:
        """Find devices of the wave that are online, for the health gate."""
        gate = self._rollout.health
        if gate is None:
            return
        self._tell_health("the devices of the next wave are looked at")
        operations = (work.operation for work in self._works_of(wave) if not work.unchanged)
        # A deleted device is meant to be gone.
        present = (each for each in operations if each.subject() and not each.holds(None))
        sample = list(islice(present, gate.sample))
        online = await self._each(self._is_online, sample)
        self._were_online = [each for each, yes in zip(sample, online, strict=True) if yes]
        self._on_event(RunGoesOn())

    async def _check_health(self) -> None:
        gate: HealthGate | None = self._rollout.health
        were, self._were_online = self._were_online, []
        if gate is None or not were or self.wave is None:
            return
        self._tell_health("the devices of the last wave are looked at")
        lost = (await self._each(self._is_online, were)).count(False)
        self._on_event(RunGoesOn())
        if lost * 100 > gate.most_lost * len(were):
            raise WaveNotPassedError(
                f"wave {self.wave + 1} did not pass: {lost} of {len(were)} devices that were "
                f"online before it are not any more; the most is {gate.most_lost:g} %"
            )

    def _tell_health(self, detail: str) -> None:
        self._wait(Wait(reason=Reason.HEALTH, since=self._now(), detail=detail))

    async def _is_online(self, operation: Operation[Any]) -> bool:
        return await is_online(self._client, operation)

    async def _shows(self, operation: Operation[Any]) -> str:
        """Look at a device; give "" where it shows what was set, else what was asked of it."""
        reading = operation.reads()
        if reading is None:
            return ""
        problem = ""
        for seconds in LOOKS:
            if seconds:
                await self._clock.sleep(seconds)
            try:
                state = await self._client.call(reading, record=CallRecord(), patient=True)
            except NotFoundError:
                state = None
            except EnapterError as error:
                problem = f" ({error})"
                continue
            if operation.holds(state):
                return ""
            problem = ""
        return f"{type(operation).__name__} of {operation.subject()}{problem}"

    async def _each(self, look: Any, operations: list[Operation[Any]]) -> list[Any]:
        """Look at all, a few at once; give what each look gave, in order."""
        found: list[Any] = []
        for start in range(0, len(operations), AT_ONCE):
            some = operations[start : start + AT_ONCE]
            async with asyncio.TaskGroup() as tasks:
                looks = [tasks.create_task(look(each)) for each in some]
            found += [each.result() for each in looks]
        return found

    def _wait(self, wait: Wait) -> None:
        self._on_event(RunWaiting(wait=wait))

    def _now(self) -> float:
        return self._clock.monotonic()
