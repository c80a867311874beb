"""Handles the steps between two waves: verification, the hold, the health gate, the guard."""

import contextlib
from collections.abc import Callable, Iterator
from itertools import compress, islice
from typing import Any, Final

from enapter_async.clock import Clock
from enapter_async.errors import APIError, EnapterError
from enapter_async.fleet.errors import WaveNotPassedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.wave_verification import WaveVerification
from enapter_async.fleet.journal.waves import WaveLog
from enapter_async.fleet.outcomes import (
    OnEvent,
    Outcome,
    RunGoesOn,
    RunWaiting,
    WaveBegan,
    WavePassed,
)
from enapter_async.fleet.patience import read_each
from enapter_async.fleet.planning.drift import Guard
from enapter_async.fleet.reading import Caller, health_name, is_online, read_state
from enapter_async.fleet.rollout.gates import Gates
from enapter_async.fleet.rollout.waves import CAREFUL, Rollout
from enapter_async.fleet.waits import Reason, Wait
from enapter_async.operation import Operation, described

LOOKS: Final = (0.0, 1.0, 3.0)
"""Seconds to wait before each read of a device: a replica may lag behind."""
HOW_TO_GO_ON: Final = (
    "a resume checks it again; with --retry-failed it retries failed operations first, and with "
    "--accept-wave it continues anyway"
)
EVERYTHING: Final = Rollout(waves=("rest",))


class WaveRunner:
    """Takes a run from wave to wave. Each call of `items_of` yields all items of a wave.

    Without a `rollout` everything is one wave, which is not read back. `log` is the journal's
    record of the waves; None if the run has no journal.
    """

    def __init__(
        self,
        rollout: Rollout | None,
        client: Caller,
        clock: Clock,
        *,
        sizes: list[int] | None,
        items_of: Callable[[int], Iterator[WorkItem]],
        log: WaveLog | None,
        guard: Guard | None,
        on_event: OnEvent,
    ) -> None:
        self._staged = rollout is not None
        self._rollout = rollout or EVERYTHING
        self._client = client
        self._clock = clock
        self._sizes = sizes
        self._items_of = items_of
        self._guard = guard
        self._on_event = on_event
        self._log = log
        self._current: WaveVerification | None = None
        self._gates = Gates(client, self._rollout.gates, clock)
        self._sites: dict[str, str] = {}
        """The site of each device that the gates check, as far as this session knows it."""

    @property
    def wave(self) -> int | None:
        """The current wave, counted from 0; None before the first."""
        return None if self._current is None else self._current.number

    def ended(self, outcome: Outcome[Any]) -> None:
        """Record an outcome of the current wave."""
        if self._current is not None and self._is_careful(self._current):
            self._current.take(outcome.operation, outcome.state)

    async def turn_to(self, wave: int) -> None:
        """Finish the current wave, if any, and start another; no operation may be in flight.

        A wave of an earlier session that has not passed yet is finished first, in the same way.

        Raises:
            WaveNotPassedError: an earlier wave did not pass.
            JournalError: the journal could not record that it passed.
            EnapterError: the devices could not be read.
        """
        ending = await self._not_passed_yet(before=wave)
        passing = []
        for each in ending:
            if each.bad:
                raise self._refusal(each, each.bad)
            passing.append((each, await self._read_back(each)))
        if passing:
            await self._hold()
        for each, _ in passing:
            await self._check_health(each)
        apart = [await self._check_gates(each) for each, _ in passing]
        for (each, read_back), not_configured in zip(passing, apart, strict=True):
            await self._note_passed(each, read_back, not_configured)
        await self._begin(wave)

    async def finish(self) -> None:
        """Finish the last wave.

        Its failures are reported in the outcomes, and do not stop the run.

        Raises:
            WaveNotPassedError: one of the first waves, read back, does not show the new values.
            JournalError: the journal could not record that it passed.
        """
        for each in await self._not_passed_yet(before=None):
            await self._note_passed(each, await self._read_back(each))

    async def _not_passed_yet(self, *, before: int | None) -> list[WaveVerification]:
        """Return the waves that must pass before wave `before`, or before the run ends if None."""
        current, log = self._current, self._log
        found = [] if current is None or not self._staged else [current]
        if log is None:
            return found
        for wave in log.unpassed(before=CAREFUL if before is None else before, careful=CAREFUL):
            if current is None or wave != current.number:
                recalled = await self._recall(wave)
                found += [] if recalled is None else [recalled]
        judged = [each for each in found if not log.is_accepted(each.number)]
        for each in found:
            if each not in judged:
                await log.accepted(each.number)
        return judged

    async def _recall(self, wave: int) -> WaveVerification | None:
        """Return what earlier sessions recorded about a wave, or None if they recorded nothing."""
        log = self._log
        if log is None:
            return None
        online = log.online(wave)
        found = WaveVerification(wave)
        if wave < CAREFUL:
            recalled = await log.recall(wave)
            if recalled is None and online is None:
                return None
            found = recalled or found
        found.online = online
        found.met = log.met(wave)
        return found

    async def _begin(self, wave: int) -> None:
        current = await self._recall(wave) or WaveVerification(wave)
        if current.online is None:
            current.online = await self._look_before(wave)
            current.met = await self._look_through_gates(wave)
        if self._guard is not None:
            await self._guard.before_wave(wave, lambda: self._items_of(wave))
        if self._log is not None:
            self._log.begun(wave, current.online, current.met)
        self._current = current
        if self._staged:
            size = self._sizes[wave] if self._sizes else None
            waves = len(self._sizes) if self._sizes else None
            self._on_event(WaveBegan(number=wave + 1, size=size, waves=waves))

    async def _read_back(self, verification: WaveVerification) -> int:
        """Check that a wave's devices show the requested values; return how many were checked."""
        wanted = verification.shown()
        if not wanted:
            return 0
        detail = f"reading back {_devices(len(wanted))} of wave {verification.number + 1}"
        with self._waiting(Reason.READ_BACK, detail):
            differing = [each for each in await read_each(self._shows, wanted) if each]
        if differing:
            raise self._refusal(
                verification,
                f"{len(differing)} of {len(wanted)} devices read back do not show the new values, "
                f"first {differing[0]}",
            )
        return len(wanted)

    async def _note_passed(
        self, verification: WaveVerification, read_back: int, not_configured: int = 0
    ) -> None:
        if self._log is not None:
            await self._log.passed(verification.number, read_back=read_back)
        number = verification.number + 1
        self._on_event(
            WavePassed(number=number, read_back=read_back, not_configured=not_configured)
        )

    def _refusal(self, verification: WaveVerification, why: str) -> WaveNotPassedError:
        """Record that a wave did not pass, and return the error to raise."""
        message = f"wave {verification.number + 1} did not pass: {why}"
        if self._log is None:
            return WaveNotPassedError(message)
        self._log.not_passed(verification.number, why)
        return WaveNotPassedError(f"{message}; {HOW_TO_GO_ON}")

    def _is_careful(self, verification: WaveVerification) -> bool:
        return self._staged and verification.number < CAREFUL

    async def _hold(self) -> None:
        seconds = self._rollout.hold
        if seconds > 0:
            with self._waiting(Reason.HOLD, "the hold between two waves", seconds):
                await self._clock.sleep(seconds)

    async def _look_before(self, wave: int) -> tuple[str, ...]:
        """Find devices of the wave that are online, for the health gate."""
        gate = self._rollout.health
        if gate is None:
            return ()
        operations = (item.operation for item in self._items_of(wave) if not item.unchanged)
        # A device to be deleted is not expected online afterwards.
        current = (health_name(each.target()) for each in operations if not each.holds(None))
        sample = list(islice((each for each in current if each), gate.sample))
        if not sample:
            return ()
        detail = f"checking {_devices(len(sample))} of wave {wave + 1}"
        with self._waiting(Reason.HEALTH, detail):
            online = await read_each(self._is_online, sample)
        return tuple(compress(sample, online))

    async def _check_health(self, verification: WaveVerification) -> None:
        gate, were = self._rollout.health, verification.online
        if gate is None or not were:
            return
        detail = f"checking whether {_devices(len(were))} of wave {verification.number + 1}"
        detail += f" {'is' if len(were) == 1 else 'are'} still online"
        with self._waiting(Reason.HEALTH, detail):
            lost = (await read_each(self._is_online, were)).count(False)
        if lost * 100 > gate.most_lost * len(were):
            raise self._refusal(
                verification,
                f"{lost} of {len(were)} devices that were online before it are no longer online; "
                f"the limit is {gate.most_lost:g} %",
            )

    async def _look_through_gates(self, wave: int) -> dict[str, tuple[str, ...]]:
        """Find devices of the wave that meet the conditions of the gates."""
        if not self._gates.gates:
            return {}
        items = (item for item in self._items_of(wave) if not item.unchanged)
        named = (
            (name, item.group)
            for item in items
            if not item.operation.holds(None)
            and (name := health_name(item.operation.target())) is not None
            and ":" not in name  # gates are about devices
        )
        sites = dict(islice(named, self._gates.sample))
        self._sites |= sites
        if not sites:
            return {}
        with self._waiting(Reason.HEALTH, "checking the gates before the next wave"):
            return await self._gates.before(sites)

    async def _check_gates(self, verification: WaveVerification) -> int:
        """Check the gates after a wave; return how many devices are counted separately."""
        if not any(verification.met.values()):
            return 0
        with self._waiting(Reason.HEALTH, "checking the gates after the last wave"):
            judged = await self._gates.after(verification.met, self._sites)
        if judged.why:
            apart = f"; {judged.apart} devices are not configured" if judged.apart else ""
            raise self._refusal(verification, f"{judged.why}{apart}")
        return judged.apart

    @contextlib.contextmanager
    def _waiting(self, reason: Reason, detail: str, seconds: float | None = None) -> Iterator[None]:
        """Report that the run waits, and that it continues unless an error is raised."""
        now = self._clock.monotonic()
        until = None if seconds is None else now + seconds
        wait = Wait(reason=reason, since=now, until=until, detail=detail)
        self._on_event(RunWaiting(wait=wait))
        yield
        self._on_event(RunGoesOn())

    async def _is_online(self, device_id: str) -> bool:
        return await is_online(self._client, device_id)

    async def _shows(self, operation: Operation[Any]) -> str:
        """Read a device; return "" if it shows the new values, otherwise describe the operation."""
        reading = operation.reads()
        if reading is None:
            return ""
        problem = ""
        for seconds in LOOKS:
            if seconds:
                await self._clock.sleep(seconds)
            try:
                state = await read_state(self._client, reading)
                if state is None and (moved := operation.reads_moved()):
                    state = await read_state(self._client, moved)
            except EnapterError as error:
                problem = f" ({_kind_of(error)})"
                continue
            if operation.holds(state):
                return ""
            problem = ""
        return f"{described(operation)}{problem}"


def _devices(number: int) -> str:
    return f"{number:,} device{'' if number == 1 else 's'}"


def _kind_of(error: EnapterError) -> str:
    """Name an error without its message, since this is stored in the journal and shown online."""
    return f"HTTP {error.status}" if isinstance(error, APIError) else type(error).__name__
