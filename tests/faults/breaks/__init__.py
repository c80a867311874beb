"""Named breaks of the package, each with the tests that must catch it.

`python -m tests.faults.sabotage` shows that the tests catch them; `python -m tests.simulation
--break all` shows that the simulation finds those marked for it. A break whose text is no longer in
the package is an error, so that none becomes obsolete unnoticed.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.accepted import ACCEPTED
from tests.faults.breaks.answers import ANSWERS
from tests.faults.breaks.backends import BACKENDS
from tests.faults.breaks.breaking import Break, NotThereError
from tests.faults.breaks.calls import CALLS
from tests.faults.breaks.connections import CONNECTIONS
from tests.faults.breaks.distributed import DISTRIBUTED
from tests.faults.breaks.files import FILES
from tests.faults.breaks.jobs import JOBS
from tests.faults.breaks.streams import STREAMS
from tests.faults.breaks.timeseries import TIMESERIES

__all__ = ["BREAKS", "SIMULATED", "Break", "NotThereError"]

BREAKS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        **CALLS,
        **CONNECTIONS,
        **ANSWERS,
        **JOBS,
        **BACKENDS,
        **STREAMS,
        **DISTRIBUTED,
        **FILES,
        **ACCEPTED,
        **TIMESERIES,
    }
)

SIMULATED: Final[Mapping[str, Break]] = MappingProxyType(
    {name: each for name, each in BREAKS.items() if each.simulated}
)
"""Those that the simulation must find, too."""
