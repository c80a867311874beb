"""A long run costs no more memory, and no more time per operation, than a short one.

For a million operations, run `python -m benchmarks.growth --full`.
"""

import sys

import pytest

from benchmarks.grid import in_a_process
from benchmarks.journal import emulated

FEW, MANY = 1_000, 5_000
MOST_GROWTH_MIB = 3.0
"""Less than a kilobyte per operation."""
MOST_SLOWING = 2.5
"""A cost that grows with each operation would make it five times as much at most."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the system's memory statistics")
@pytest.mark.timeout(120)
def test_memory_and_time_an_operation_stay_flat() -> None:
    with emulated(MANY, None) as base_url:
        few, many = (
            in_a_process("journal", base_url, None, count=count, way="journal", concurrency=64)
            for count in (FEW, MANY)
        )
    assert many["peak_mib"] - few["peak_mib"] < MOST_GROWTH_MIB
    # CPU time, which depends less on the machine's other load.
    assert many["cpu_us"] < few["cpu_us"] * MOST_SLOWING
