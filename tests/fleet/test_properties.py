"""Whatever happens to a job's sessions, its report on each device matches the server.

The invariants of each story are in `tests/fleet/stories.py`.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given

from tests.fleet.stories import Play, Story, stories
from tests.support.budget import IN_TIME, examples
from tests.support.oracle import LOOPS, Loop, run_on
from tests.support.rig import TransportKind

pytestmark = [
    IN_TIME,
    pytest.mark.parametrize("kind", ["direct", "session"]),
    pytest.mark.parametrize("loop", LOOPS),
]

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only a place without a disk's delays, where there is one


def play(kind: TransportKind, loop: Loop, story: Story) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        run_on(loop, Play(kind, story, Path(folder)).play())


@given(story=stories("whole", sessions=2))
@examples(12)
def test_a_job_never_lies(kind: TransportKind, loop: Loop, story: Story) -> None:
    play(kind, loop, story)


@given(story=stories("whole", "stop", "cut", "leave", "cancel"))
@examples(16)
def test_a_job_ended_at_any_moment_and_resumed_never_lies(
    kind: TransportKind, loop: Loop, story: Story
) -> None:
    play(kind, loop, story)


@given(story=stories("stop", "cut", "leave", "cancel", sessions=2, slow=True))
@examples(10)
def test_a_job_ended_while_it_awaits_answers_never_lies(
    kind: TransportKind, loop: Loop, story: Story
) -> None:
    play(kind, loop, story)
