"""Handles the steps between two waves: verification, the hold, the health gate, the guard."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from enapter_async.clock import Clock
from enapter_async.errors import APIError, EnapterError
from enapter_async.fleet.errors import WaveNotPassedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.waves import WaveLog, WaveVerification
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
from enapter_async.fleet.reading import Caller, read_state
from enapter_async.fleet.rollout.examination import Examination, devices, sampled
from enapter_async.fleet.rollout.waves import CAREFUL, Rollout
from enapter_async.fleet.waits import Reason, Wait
from enapter_async.operation import Operation, described

LOOKS: Final = (0.0, 1.0, 3.0)
"""Seconds to wait before each read of a device: a replica may lag behind."""
HOW_TO_GO_ON: Final = (
    "a resume checks it again; with --retry-failed it retries failed operations first, and with "
    "--accept-wave it continues anyway"
)


class WaveRunner:
    """Takes a run from wave to wave. Each call of `items_of` yields all items of a wave.

    `log` is the journal's record of the waves; None if the run has no journal.
    """

    def __init__(
        self,
        rollout: Rollout,
        client: Caller,
        clock: Clock,
        *,
        sizes: list[int] | None,
        items_of: Callable[[int], Iterator[WorkItem]],
        log: WaveLog | None,
        guard: Guard,
        on_event: OnEvent,
    ) -> None:
        self._rollout = rollout
        self._client = client
        self._clock = clock
        self._sizes = sizes
        self._items_of = items_of
        self._guard = guard
        self._on_event = on_event
        self._log = log
        self._current: WaveVerification | None = None
        waiting = partial(self._waiting, Reason.HEALTH)
        self._examination = Examination(client, clock, rollout, waiting)

    @property
    def wave(self) -> int | None:
        """The current wave, counted from 0; None before the first."""
        return None if self._current is None else self._current.number

    def ended(self, outcome: Outcome[Any]) -> None:
        """Record an outcome of the current wave."""
        if self._current is not None and self._current.number < CAREFUL:
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
        apart = [await self._examine(each) for each, _ in passing]
        for (each, read_back), not_configured in zip(passing, apart, strict=True):
            await self._note_passed(each, read_back, not_configured, _unmet(each))
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
        found = [] if current is None else [current]
        if log is None:
            return found
        for wave in log.unpassed(before=CAREFUL if before is None else before):
            if current is None or wave != current.number:
                recalled = await self._recall(wave)
                found += [] if recalled is None else [recalled]
        judged = [each for each in found if not log.is_accepted(each.number)]
        for each in found:
            if each not in judged:
                await log.passed(each.number, {"accepted": True})
        return judged

    async def _recall(self, wave: int) -> WaveVerification | None:
        """Return what the journal says about a wave that has started but not passed, if any."""
        log = self._log
        return None if log is None else await log.recall(wave, results=wave < CAREFUL)

    async def _begin(self, wave: int) -> None:
        current = await self._recall(wave) or WaveVerification(wave)
        if current.seen is None:
            sample = sampled(self._rollout, self._items_of(wave))
            current.seen = await self._examination.before(wave, sample)
        await self._guard.before_wave(wave, lambda: self._items_of(wave))
        if self._log is not None:
            self._log.begun(wave, current.seen)
        self._current = current
        size = self._sizes[wave] if self._sizes else None
        waves = len(self._sizes) if self._sizes else None
        self._on_event(WaveBegan(number=wave + 1, size=size, waves=waves))

    async def _read_back(self, verification: WaveVerification) -> int:
        """Check that a wave's devices show the requested values; return how many were checked."""
        wanted = verification.shown()
        if not wanted:
            return 0
        detail = f"reading back {devices(len(wanted))} of wave {verification.number + 1}"
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
        self,
        verification: WaveVerification,
        read_back: int,
        not_configured: int = 0,
        unmet: tuple[str, ...] = (),
    ) -> None:
        if self._log is not None:
            await self._log.passed(verification.number, {"read_back": read_back})
        self._on_event(
            WavePassed(
                number=verification.number + 1,
                read_back=read_back,
                not_configured=not_configured,
                unmet=unmet,
            )
        )

    def _refusal(self, verification: WaveVerification, why: str) -> WaveNotPassedError:
        """Record that a wave did not pass, and return the error to raise."""
        message = f"wave {verification.number + 1} did not pass: {why}"
        if self._log is None:
            return WaveNotPassedError(message)
        self._log.not_passed(verification.number, why)
        return WaveNotPassedError(f"{message}; {HOW_TO_GO_ON}")

    async def _hold(self) -> None:
        seconds = self._rollout.hold
        if seconds > 0:
            with self._waiting(Reason.HOLD, "the hold between two waves", seconds):
                await self._clock.sleep(seconds)

    async def _examine(self, verification: WaveVerification) -> int:
        """Check health and gates after a wave; return how many devices are counted separately."""
        judged = await self._examination.after(verification.number, verification.seen)
        if judged.why:
            raise self._refusal(verification, f"{judged.why}{judged.apart_text}")
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


def _kind_of(error: EnapterError) -> str:
    """Name an error without its message, since this is stored in the journal and shown online."""
    return f"HTTP {error.status}" if isinstance(error, APIError) else type(error).__name__


def _unmet(verification: WaveVerification) -> tuple[str, ...]:
    """Return the conditions that no device of a wave met before it."""
    met = {} if verification.seen is None else verification.seen.met
    return tuple(condition for condition, names in met.items() if not names)
