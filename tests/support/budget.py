"""The number of examples for a property test: a few fixed ones, or many random ones.

The main run uses the same examples each time. With `HYPOTHESIS_PROFILE=long`, the same command
tries `LONG_FACTOR` times as many random examples and prints how to reproduce a failure.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings

EXAMPLES: Final = 50
"""For properties without a budget of their own."""
LONG_FACTOR: Final = 25
LONG: Final = os.environ.get("HYPOTHESIS_PROFILE") == "long"

IN_TIME: Final = pytest.mark.timeout(3600 if LONG else 120)
"""For modules whose tests take a budget."""


def examples(count: int) -> settings:
    """Return the settings of a property that the main run tries with `count` examples."""
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
