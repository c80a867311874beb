"""How many examples a property is tried with: few and always the same, or many and by chance.

The main run tries the same examples each time. `HYPOTHESIS_PROFILE=long` before the same
command tries `LONG_FACTOR` times as many, drawn anew, and prints how to repeat what fails.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings

LONG_FACTOR: Final = 25
LONG: Final = os.environ.get("HYPOTHESIS_PROFILE") == "long"

IN_TIME: Final = pytest.mark.timeout(3600 if LONG else 60)
"""For the modules whose tests take a budget."""


def examples(count: int) -> settings:
    """Return the settings of a property that the main run tries with so many examples."""
    return settings(
        max_examples=count * LONG_FACTOR if LONG else count,
        deadline=None,
        derandomize=not LONG,
        database=None,
        print_blob=LONG,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )
