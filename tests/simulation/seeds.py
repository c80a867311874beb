"""From a seed to its story."""

from typing import Final

from tests.simulation.calls import tell_calls
from tests.simulation.jobs import tell_job
from tests.simulation.noun_calls import tell_noun_calls
from tests.simulation.noun_jobs import tell_noun_job
from tests.simulation.story import Story

CALLS_OF: Final = (0, 3)
"""Of every five seeds, these are about single calls, and the others about fleet runs."""
NOUNS: Final = 1_000_000
"""From this seed on, stories are about the operations of all nouns, on an emulator."""


def tell(seed: int) -> Story:
    """Run the story of a seed, which is always the same."""
    story = Story(seed)
    if seed >= NOUNS:
        (tell_noun_job if seed % 2 else tell_noun_calls)(story)
    elif seed % 5 in CALLS_OF:
        tell_calls(story)
    else:
        tell_job(story)
    return story
