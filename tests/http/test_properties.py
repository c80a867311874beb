"""Whatever a server does, in whatever order: a call's report matches the server's log.

The numbers in `tests/support/oracle.py` are those of the properties in `tests/faults/README.md`.
"""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async._http.transport import Timeouts
from enapter_async.errors import EnapterError
from enapter_async.operation import Operation
from tests.support.budget import IN_TIME, examples
from tests.support.oracle import LOOPS, Loop, nothing_is_held, play_and_judge, quiet, run_on
from tests.support.plans import Plan, late_reads, late_writes, plans, reads, writes
from tests.support.rig import ASSIGN, CONFIG, SLUG, UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, Step

pytestmark = [
    IN_TIME,
    pytest.mark.parametrize("kind", ["direct", "session"]),
    pytest.mark.parametrize("loop", LOOPS),
]

BRISK = Timeouts(connect=0.15, read=0.03)


@pytest.fixture(autouse=True)
def json_library() -> None:
    """Use the installed JSON library: the folder's other tests try both."""


@given(plan=plans())
@examples(100)
def test_a_call_never_lies(kind: TransportKind, loop: Loop, plan: Plan) -> None:
    run_on(loop, play_and_judge(kind, plan))


@given(plan=plans(cancelled=True))
@examples(80)
def test_a_call_cancelled_at_any_moment_never_lies(
    kind: TransportKind, loop: Loop, plan: Plan
) -> None:
    run_on(loop, play_and_judge(kind, plan))


@given(plan=plans(writes=late_writes | writes, reads=late_reads | reads, steps=3, attempts=2))
@examples(30)
def test_a_call_that_gives_up_waiting_never_lies(
    kind: TransportKind, loop: Loop, plan: Plan
) -> None:
    run_on(loop, play_and_judge(kind, plan, timeouts=BRISK))


@given(plan=plans(writes=late_writes | writes, reads=late_reads | reads, steps=3, greeted=False))
@examples(30)
def test_a_call_that_runs_out_of_time_ends_in_time(
    kind: TransportKind, loop: Loop, plan: Plan
) -> None:
    run_on(loop, play_and_judge(kind, plan, deadline=0.12))


@given(plan=plans(writes=late_writes | writes, reads=late_reads | reads, cancelled=True, steps=3))
@examples(30)
def test_a_call_cancelled_as_it_runs_out_of_time_leaves_nothing(
    kind: TransportKind, loop: Loop, plan: Plan
) -> None:
    run_on(loop, play_and_judge(kind, plan, deadline=0.12))


@given(
    script=st.lists(late_writes | writes, max_size=12).map(tuple),
    cancel=st.lists(st.booleans(), min_size=12, max_size=12),
    moment=st.floats(0.0, 0.01),
)
@examples(20)
def test_cancelled_writers_of_a_device_release_its_turn(
    kind: TransportKind, loop: Loop, script: tuple[Step, ...], cancel: list[bool], moment: float
) -> None:
    run_on(loop, give_up(kind, script, cancel, moment))


async def give_up(
    kind: TransportKind, script: tuple[Step, ...], cancel: list[bool], moment: float
) -> None:
    async with FaultServer() as server:
        server.script(*script)
        async with open_rig(kind, server, timeouts=BRISK) as rig:
            operations: list[Operation[Any]] = [UPDATE, ASSIGN, CONFIG, SLUG] * 3
            calls = [asyncio.create_task(rig.run(operation)) for operation in operations]
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
            nothing_is_held(rig)
            server.clear()
            rig.clock.skipped += 1000
            await asyncio.wait_for(rig.run(UPDATE), 60)
        await quiet(server)
