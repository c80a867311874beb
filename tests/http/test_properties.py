"""Whatever a server does, in whatever order: what a call says is what the server knows."""

import asyncio
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enapter_async._http.transport import Timeouts
from enapter_async.errors import AmbiguousOutcomeError, EnapterError
from enapter_async.operation import Operation, Repeat
from tests.faults.clock import FakeClock
from tests.faults.kinds import APPLIED, FINAL, MAYBE, NINE_INTERIMS, REFUSED
from tests.faults.replies import errors, good, half_head, hang, late_effect, truncated
from tests.faults.rig import (
    ALL,
    ASSIGN,
    CONFIG,
    DELETE,
    SLUG,
    TOKEN,
    UPDATE,
    Rig,
    TransportKind,
    attempts,
    open_rig,
)
from tests.faults.server import FaultServer, Step, applied, ignored
from tests.test_security import shown

DEADLINE = 30.0
SPEED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

maybe = st.sampled_from([reply for reply in MAYBE.values() if reply is not NINE_INTERIMS])
uncertain = st.one_of(maybe, st.sampled_from(list(APPLIED.values())))
# A server that says no has not done it, one that says yes has, and "not found" is left to
# the honest answers: these servers fail in every way, but they do not lie.
final = [reply for name, reply in FINAL.items() if name != "status-404"]
steps = st.one_of(
    st.builds(ignored, maybe),
    st.builds(applied, uncertain),
    st.builds(ignored, st.sampled_from([*REFUSED.values(), *final])),
    st.just(ignored(errors(429, ("Retry-After", "3600")))),
    st.just(applied(good())),
)
slow_steps = st.sampled_from(
    [
        applied(hang()),
        ignored(hang()),
        ignored(late_effect()),
        applied(half_head("hang")),
        applied(truncated("hang")),
    ]
)
operations = st.sampled_from([*ALL.values(), SLUG])


@attrs.frozen
class Story:
    """What one call told, and what the server saw of it."""

    operation: Operation[Any]
    policy_attempts: int
    regenerate: bool
    result: Any
    error: EnapterError | None
    rig: Rig
    elapsed: float

    @property
    def effects(self) -> int:
        return self.rig.server.world.done()

    @property
    def requests(self) -> int:
        return len(self.rig.server.arrivals)


async def play(
    kind: TransportKind,
    operation: Operation[Any],
    script: list[Step],
    *,
    count: int,
    regenerate: bool = False,
    timeouts: Timeouts | None = None,
) -> Story:
    policy = attempts(
        count, deadline=DEADLINE, on_ambiguous="regenerate" if regenerate else "raise"
    )
    clock = FakeClock()
    result, error = None, None
    async with FaultServer() as server:
        server.script(*script)
        limits = timeouts or Timeouts()
        async with open_rig(kind, server, clock, retry=policy, timeouts=limits) as rig:
            began = clock.monotonic()
            try:
                result = await rig.run(operation)
            except EnapterError as raised:
                error = raised
            elapsed = clock.monotonic() - began
            assert rig.held() == 0  # P7
        return Story(operation, count, regenerate, result, error, rig, elapsed)


def judge(story: Story) -> None:
    operation, error = story.operation, story.error
    writes = operation.repeat is not Repeat.READ
    if operation is CONFIG and not story.regenerate:
        assert story.effects <= 1  # P1
    if error is None and writes:
        assert story.effects >= 1  # P2
    if error is not None and not isinstance(error, AmbiguousOutcomeError):
        assert story.effects == 0  # P3
    reads_back = 1 if operation.repeat is Repeat.CONVERGENT else 0
    assert story.requests <= story.policy_attempts + reads_back  # P4
    assert story.elapsed <= DEADLINE + 0.5  # P5
    if error is not None:
        told = shown(error)
        assert TOKEN not in told  # P6
        assert "PASSWORD-SECRET" not in told
        assert 1 <= len(error.attempts) <= story.policy_attempts
        assert error.__context__ is None
    ended = story.rig.ended
    assert ended.error is error
    assert ended.attempts == (error.attempts if error else ended.attempts)
    if operation in (UPDATE, SLUG, ASSIGN) and error is None:
        assert operation.holds(story.result)
    if operation is DELETE and error is None:
        assert "dev-1" not in story.rig.server.world.devices


@pytest.mark.parametrize("kind", ["direct", "session"])
@given(
    operation=operations,
    script=st.lists(steps, max_size=5),
    count=st.integers(1, 4),
    regenerate=st.booleans(),
)
@SPEED
def test_a_call_never_lies(
    kind: TransportKind,
    operation: Operation[Any],
    script: list[Step],
    count: int,
    *,
    regenerate: bool,
) -> None:
    judge(asyncio.run(play(kind, operation, script, count=count, regenerate=regenerate)))


@pytest.mark.parametrize("kind", ["direct", "session"])
@given(
    operation=operations,
    script=st.lists(st.one_of(slow_steps, steps), min_size=1, max_size=3),
    count=st.integers(1, 2),
)
@settings(SPEED, max_examples=15)
def test_a_call_that_runs_out_of_time_never_lies(
    kind: TransportKind, operation: Operation[Any], script: list[Step], count: int
) -> None:
    brisk = Timeouts(connect=0.15, read=0.05)
    judge(asyncio.run(play(kind, operation, script, count=count, timeouts=brisk)))


@pytest.mark.parametrize("kind", ["direct", "session"])
@given(
    scripts=st.lists(st.one_of(slow_steps, steps), max_size=12),
    cancel=st.lists(st.booleans(), min_size=12, max_size=12),
    moment=st.floats(0.0, 0.01),
)
@settings(SPEED, max_examples=15)
def test_calls_that_are_given_up_at_any_moment_leave_nothing(
    kind: TransportKind, scripts: list[Step], cancel: list[bool], moment: float
) -> None:
    asyncio.run(give_up(kind, scripts, cancel, moment))


async def give_up(
    kind: TransportKind, script: list[Step], cancel: list[bool], moment: float
) -> None:
    async with FaultServer() as server:
        server.script(*script)
        options: dict[str, Any] = {"timeouts": Timeouts(connect=0.15, read=0.05)}
        async with open_rig(kind, server, **options) as rig:
            writes: list[Operation[Any]] = [UPDATE, ASSIGN, CONFIG, SLUG] * 3
            calls = [asyncio.create_task(rig.run(write)) for write in writes]
            await asyncio.sleep(moment)
            for call, give in zip(calls, cancel, strict=True):
                if give:
                    call.cancel()
            ends = await asyncio.gather(*calls, return_exceptions=True)
            odd = [
                end
                for end in ends
                if isinstance(end, BaseException)
                and not isinstance(end, EnapterError | asyncio.CancelledError)
            ]
            assert odd == []
            assert rig.held() == 0
            server.clear()
            rig.clock.skipped += 1000
            await asyncio.wait_for(rig.run(UPDATE), 2)
