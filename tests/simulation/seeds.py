"""From a seed to its story."""

from typing import Final

from tests.simulation.calls import tell_calls
from tests.simulation.jobs import tell_job
from tests.simulation.story import Story

CALLS_OF: Final = (0, 3)
"""Of each five seeds, these tell of single calls, and the others of fleet runs."""


def tell(seed: int) -> Story:
    """Tell the story of a seed, always the same."""
    story = Story(seed)
    if seed % 5 in CALLS_OF:
        tell_calls(story)
    else:
        tell_job(story)
    return story
